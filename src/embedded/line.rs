//! One connection from its first byte to its end, and TLS where it is agreed on.
//!
//! A byte 0x16 at the beginning is the handshake of TLS (RFC 8446 section 5.1), and
//! no stream begins with it: so one port takes both.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future as _;
use core::pin::pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use ::tokio::net::TcpStream;
use ::tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::Identity;
use super::hub::Shared;
use super::wire::{Socket, Wire};
use crate::Security;
use crate::sim::server::{ConnectionId, ServerTransport};

/// How long a client may take for its first byte, and for the handshake of TLS.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a client may take to close its side.
const PARTING: Duration = Duration::from_secs(2);
/// Steps without a pause before other tasks of the thread have theirs.
const STEPS: u32 = 32;
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// What every connection is carried with.
#[derive(Clone, Debug)]
pub(super) struct Carriage {
    pub(super) shared: Arc<Shared>,
    pub(super) identity: Arc<Identity>,
    /// How long bytes wait in each direction.
    pub(super) delay: Duration,
}

/// Carries one connection until it is over.
pub(super) async fn carry(carriage: Carriage, tcp: TcpStream) {
    let (up, cuts) = {
        let hub = carriage.shared.lock();
        (hub.server().is_up(), hub.cuts())
    };
    if !up {
        return refuse(&tcp);
    }
    let Some((socket, security)) = open(&carriage.identity, tcp).await else {
        return;
    };
    let Some(mut line) = Line::register(carriage, socket, &security, cuts) else {
        return;
    };
    while let Some(next) = line.next().await {
        match next {
            Next::StartTls => {
                if !line.start_tls().await {
                    return;
                }
            }
            Next::Shutdown => return line.shut_down().await,
        }
    }
}

/// As near as one gets to a port on which nobody listens.
fn refuse(tcp: &TcpStream) {
    let _ = tcp.set_zero_linger();
}

/// Waits for the first byte, and for TLS if that is how it begins.
async fn open(identity: &Identity, tcp: TcpStream) -> Option<(Socket, Security)> {
    // Without it a small stanza waits for the acknowledgement of the one before.
    tcp.set_nodelay(true).ok()?;
    let peer = tcp.peer_addr().ok()?;
    let mut first = [0];
    let count = timeout(PATIENCE, tcp.peek(&mut first)).await.ok()?.ok()?;
    if count == 0 {
        return None;
    }
    if first == [HANDSHAKE] {
        let stream = timeout(PATIENCE, handshake(identity, tcp))
            .await
            .ok()?
            .ok()?;
        let binding = identity.binding(stream.get_ref().1);
        return Some((Socket::Tls(stream), Security::Tls(binding)));
    }
    let loopback = peer.ip().to_canonical().is_loopback();
    Some((Socket::Clear(tcp), Security::Clear { loopback }))
}

async fn handshake(identity: &Identity, tcp: TcpStream) -> io::Result<Box<TlsStream<TcpStream>>> {
    let acceptor = TlsAcceptor::from(Arc::clone(&identity.server));
    acceptor.accept(tcp).await.map(Box::new)
}

/// What the server wants for a connection that its stream does not do by itself.
enum Next {
    StartTls,
    Shutdown,
}

/// A connection that the server knows. Dropping it breaks it.
struct Line {
    carriage: Carriage,
    id: ConnectionId,
    wire: Wire,
}

impl Line {
    /// `None` if the server is down by now, or everything was cut meanwhile.
    fn register(
        carriage: Carriage,
        socket: Socket,
        security: &Security,
        cuts: u64,
    ) -> Option<Self> {
        let wire = Wire::new(socket, carriage.delay);
        let id = {
            let mut hub = carriage.shared.lock();
            let same = hub.cuts() == cuts;
            let id = same.then(|| hub.act(|server, now| server.accept(now, security.clone())));
            let Some(id) = id.flatten() else {
                drop(hub);
                wire.reset();
                return None;
            };
            hub.register(id);
            id
        };
        Some(Self { carriage, id, wire })
    }

    /// Carries bytes until the server wants something else; `None` if the
    /// connection is over.
    async fn next(&mut self) -> Option<Next> {
        core::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next>> {
        let (id, shared, wire) = (self.id, &self.carriage.shared, &mut self.wire);
        for _ in 0..STEPS {
            // The lock is given back before anything is encrypted, written or read: a task
            // that had it meanwhile would hardly ever be without it, and the others of a
            // busy server would wait for seconds.
            let (transport, may_read) = {
                let mut hub = shared.lock();
                // Anew each time: what is done below may have used the waker up.
                if !hub.wait(id, cx.waker()) {
                    wire.reset();
                    return Poll::Ready(None);
                }
                let wants = hub.server().wants(id);
                wire.stage(wants.write);
                let may_read = wants.read && wants.transport == ServerTransport::Open;
                (wants.transport, may_read)
            };
            match transport {
                ServerTransport::Closed => return Poll::Ready(None),
                _ if wire.is_staged() || wire.poll_flushed(cx).is_pending() => {}
                ServerTransport::StartTls => return Poll::Ready(Some(Next::StartTls)),
                ServerTransport::Shutdown => return Poll::Ready(Some(Next::Shutdown)),
                ServerTransport::Open => {}
            }
            let wrote = match wire.poll_write(cx) {
                Poll::Ready(Ok(count)) => {
                    let mut hub = shared.lock();
                    hub.act(|server, now| server.written(now, id, count));
                    true
                }
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => false,
            };
            let read = match wire.poll_read(cx, may_read) {
                Poll::Ready(Ok([])) => {
                    let mut hub = shared.lock();
                    hub.act(|server, now| server.handle_eof(now, id));
                    true
                }
                Poll::Ready(Ok(bytes)) => {
                    let mut hub = shared.lock();
                    hub.act(|server, now| server.handle_input(now, id, bytes));
                    true
                }
                Poll::Ready(Err(_)) => return Poll::Ready(None),
                Poll::Pending => false,
            };
            if !wrote && !read {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The handshake after STARTTLS. `false` if the connection is over.
    async fn start_tls(&mut self) -> bool {
        let Some(tcp) = self.wire.take_clear() else {
            return false;
        };
        let Carriage {
            shared, identity, ..
        } = &self.carriage;
        let id = self.id;
        let stream = {
            let mut work = pin!(timeout(PATIENCE, handshake(identity, tcp)));
            core::future::poll_fn(|cx| {
                {
                    let mut hub = shared.lock();
                    let cut = !hub.wait(id, cx.waker());
                    if cut || hub.server().wants(id).transport == ServerTransport::Closed {
                        return Poll::Ready(None);
                    }
                }
                work.as_mut()
                    .poll(cx)
                    .map(|result| result.ok().and_then(Result::ok))
            })
            .await
        };
        let Some(stream) = stream else {
            return false;
        };
        let binding = identity.binding(stream.get_ref().1);
        self.wire.put(Socket::Tls(stream));
        shared
            .lock()
            .act(|server, now| server.tls_established(now, id, binding));
        true
    }

    /// Closes our side, and waits a little for the client to close its own: a
    /// connection closed with bytes unread would take back what we wrote last.
    async fn shut_down(mut self) {
        let parting = core::future::poll_fn(|cx| self.wire.poll_parted(cx));
        let _ = timeout(PARTING, parting).await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let (mut hub, id) = (self.carriage.shared.lock(), self.id);
        if hub.forget(id) {
            hub.act(|server, now| server.transport_failed(now, id));
        }
    }
}
