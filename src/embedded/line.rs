//! One connection: its bytes to the server and back, and TLS where it is agreed on.
//!
//! A byte 0x16 at the beginning is the handshake of TLS (RFC 8446 section 5.1), and
//! no stream begins with it: so one port takes both.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use ::tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use ::tokio::net::TcpStream;
use ::tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificate::Identity;
use super::hub::Shared;
use crate::Security;
use crate::sim::server::{ConnectionId, ServerTransport};

/// How long a client may take for its first byte, and for the handshake of TLS.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a client may read nothing of what there is to be read.
const STALL: Duration = Duration::from_secs(60);
/// How long a client may take to close its side.
const PARTING: Duration = Duration::from_secs(2);
/// Bytes read at a time.
const READ: usize = 8 * 1024;
/// Steps without a pause before other tasks of the thread have theirs.
const STEPS: u32 = 32;
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;

/// Carries one connection until it is over.
pub(super) async fn carry(shared: Arc<Shared>, identity: Arc<Identity>, tcp: TcpStream) {
    let (up, cuts) = {
        let hub = shared.lock();
        (hub.server().is_up(), hub.cuts())
    };
    if !up {
        return refuse(&tcp);
    }
    let Some((socket, security)) = open(&identity, tcp).await else {
        return;
    };
    let Some(mut line) = Line::register(shared, identity, socket, &security, cuts) else {
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

/// Where the bytes run.
#[derive(Debug)]
enum Socket {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Clear(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// What the server wants for a connection that its stream does not do by itself.
enum Next {
    StartTls,
    Shutdown,
}

/// A connection that the server knows. Dropping it breaks it.
struct Line {
    shared: Arc<Shared>,
    identity: Arc<Identity>,
    id: ConnectionId,
    /// `None` during a handshake, which then owns it, and when it is closed.
    socket: Option<Socket>,
    /// Something was written that may still wait within TLS.
    unflushed: bool,
    eof: bool,
    /// Since when the client takes nothing, as long as it does not.
    stalled: Option<Pin<Box<Sleep>>>,
    buffer: Box<[u8; READ]>,
}

impl Line {
    /// `None` if the server is down by now, or everything was cut meanwhile.
    fn register(
        shared: Arc<Shared>,
        identity: Arc<Identity>,
        socket: Socket,
        security: &Security,
        cuts: u64,
    ) -> Option<Self> {
        let id = {
            let mut hub = shared.lock();
            if hub.cuts() != cuts {
                refuse(socket.tcp());
                return None;
            }
            let Some(id) = hub.act(|server, now| server.accept(now, security.clone())) else {
                refuse(socket.tcp());
                return None;
            };
            hub.register(id);
            id
        };
        Some(Self {
            shared,
            identity,
            id,
            socket: Some(socket),
            unflushed: false,
            eof: false,
            stalled: None,
            buffer: Box::new([0; READ]),
        })
    }

    /// Carries bytes until the server wants something else; `None` if the
    /// connection is over.
    async fn next(&mut self) -> Option<Next> {
        core::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Next>> {
        let mut hub = self.shared.lock();
        let Some(socket) = &mut self.socket else {
            return Poll::Ready(None);
        };
        for _ in 0..STEPS {
            // Anew each time: what is done below may have used the waker up.
            if !hub.wait(self.id, cx.waker()) {
                refuse(socket.tcp());
                return Poll::Ready(None);
            }
            let wants = hub.server().wants(self.id);
            let transport = wants.transport;
            let may_read = wants.read && transport == ServerTransport::Open && !self.eof;
            if transport == ServerTransport::Closed {
                return Poll::Ready(None);
            }
            let mut moved = false;
            if wants.write.is_empty() {
                self.stalled = None;
                if self.unflushed {
                    match socket.poll_flush(cx) {
                        Poll::Ready(Ok(())) => self.unflushed = false,
                        Poll::Ready(Err(_)) => return Poll::Ready(None),
                        Poll::Pending => {}
                    }
                }
                if !self.unflushed {
                    match transport {
                        ServerTransport::StartTls => return Poll::Ready(Some(Next::StartTls)),
                        ServerTransport::Shutdown => return Poll::Ready(Some(Next::Shutdown)),
                        ServerTransport::Open | ServerTransport::Closed => {}
                    }
                }
            } else {
                match socket.poll_write(cx, wants.write) {
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                    Poll::Ready(Ok(count)) => {
                        self.unflushed = true;
                        self.stalled = None;
                        moved = true;
                        let id = self.id;
                        hub.act(|server, now| server.written(now, id, count));
                    }
                    Poll::Pending => {
                        let stalled = &mut self.stalled;
                        let stalled = stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
                        if stalled.as_mut().poll(cx).is_ready() {
                            return Poll::Ready(None);
                        }
                    }
                }
            }
            if may_read {
                let mut buffer = ReadBuf::new(self.buffer.as_mut_slice());
                match socket.poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) => {
                        let (bytes, id) = (buffer.filled(), self.id);
                        moved = true;
                        if bytes.is_empty() {
                            self.eof = true;
                            hub.act(|server, now| server.handle_eof(now, id));
                        } else {
                            hub.act(|server, now| server.handle_input(now, id, bytes));
                        }
                    }
                    // Many clients close TLS without saying so.
                    Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        let id = self.id;
                        self.eof = true;
                        moved = true;
                        hub.act(|server, now| server.handle_eof(now, id));
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(None),
                    Poll::Pending => {}
                }
            }
            if !moved {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// The handshake after STARTTLS. `false` if the connection is over.
    async fn start_tls(&mut self) -> bool {
        let Some(Socket::Clear(tcp)) = self.socket.take() else {
            return false;
        };
        let stream = {
            let (shared, id) = (&self.shared, self.id);
            let mut work = pin!(timeout(PATIENCE, handshake(&self.identity, tcp)));
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
        let binding = self.identity.binding(stream.get_ref().1);
        self.socket = Some(Socket::Tls(stream));
        let id = self.id;
        let mut hub = self.shared.lock();
        hub.act(|server, now| server.tls_established(now, id, binding));
        true
    }

    /// Closes our side, and waits a little for the client to close its own: a
    /// connection closed with bytes unread would take back what we wrote last.
    async fn shut_down(mut self) {
        let Some(mut socket) = self.socket.take() else {
            return;
        };
        let parting = async {
            core::future::poll_fn(|cx| socket.poll_shutdown(cx)).await?;
            loop {
                let mut buffer = ReadBuf::new(self.buffer.as_mut_slice());
                core::future::poll_fn(|cx| socket.poll_read(cx, &mut buffer)).await?;
                if buffer.filled().is_empty() {
                    return Ok::<_, io::Error>(());
                }
            }
        };
        let _ = timeout(PARTING, parting).await;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut hub = self.shared.lock();
        if hub.forget(self.id) {
            let id = self.id;
            hub.act(|server, now| server.transport_failed(now, id));
        }
    }
}
