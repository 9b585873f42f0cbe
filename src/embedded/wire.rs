//! The bytes of one connection: in clear or under TLS, at once or as on a slow link.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::Future as _;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use ::tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use ::tokio::net::TcpStream;
use ::tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

/// How long a client may read nothing of what there is to be read.
const STALL: Duration = Duration::from_secs(60);
/// Bytes read at a time.
const READ: usize = 8 * 1024;
/// Bytes written at a time: what fits into one record of TLS (RFC 8446 section 5.1).
const WRITE: usize = 16 * 1024;

/// Where the bytes run.
#[derive(Debug)]
pub(super) enum Socket {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// In the hands of a handshake.
    Away,
}

impl Socket {
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
            Self::Away => away(),
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::Away => away(),
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
            Self::Away => away(),
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Away => away(),
        }
    }
}

fn away<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
}

/// A socket, and what is under way on it.
#[derive(Debug)]
pub(super) struct Wire {
    socket: Socket,
    delay: Duration,
    /// What is to be written next.
    staged: Vec<u8>,
    /// Something was written that may still wait within TLS.
    unflushed: bool,
    /// What is to be written waits for it.
    leaving: Gate,
    /// What was read waits for it, and no more is read meanwhile.
    arriving: Gate,
    /// So much of the buffer waits to arrive; at the end of the input it is nothing.
    held: Option<usize>,
    eof: bool,
    /// Since when the client takes nothing, as long as it does not.
    stalled: Option<Pin<Box<Sleep>>>,
    buffer: Box<[u8; READ]>,
}

impl Wire {
    /// Bytes wait for `delay` in each direction.
    pub(super) fn new(socket: Socket, delay: Duration) -> Self {
        Self {
            socket,
            delay,
            staged: Vec::with_capacity(WRITE),
            unflushed: false,
            leaving: Gate::default(),
            arriving: Gate::default(),
            held: None,
            eof: false,
            stalled: None,
            buffer: Box::new([0; READ]),
        }
    }

    /// The bare connection, for the handshake of TLS; `None` if there is TLS already.
    pub(super) fn take_clear(&mut self) -> Option<TcpStream> {
        match core::mem::replace(&mut self.socket, Socket::Away) {
            Socket::Clear(tcp) => Some(tcp),
            Socket::Tls(_) | Socket::Away => None,
        }
    }

    pub(super) fn put(&mut self, socket: Socket) {
        self.socket = socket;
    }

    /// Makes the end of the connection a reset.
    pub(super) fn reset(&self) {
        let tcp = match &self.socket {
            Socket::Clear(tcp) => tcp,
            Socket::Tls(tls) => tls.get_ref().0,
            Socket::Away => return,
        };
        let _ = tcp.set_zero_linger();
    }

    /// Takes a copy of the first of `bytes`, in place of what was staged before.
    pub(super) fn stage(&mut self, bytes: &[u8]) {
        self.staged.clear();
        let first = bytes.get(..WRITE).unwrap_or(bytes);
        self.staged.extend_from_slice(first);
    }

    pub(super) const fn is_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Writes some of what is staged. Pending if that is nothing.
    ///
    /// # Errors
    /// If the connection is broken, or the client has read nothing for too long.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.staged.is_empty() {
            self.leaving.close();
            self.stalled = None;
            return Poll::Pending;
        }
        if self.leaving.poll(cx, self.delay).is_pending() {
            return Poll::Pending;
        }
        match self.socket.poll_write(cx, &self.staged) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(result) => {
                self.unflushed = true;
                self.stalled = None;
                Poll::Ready(result)
            }
            Poll::Pending => {
                let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
                let late = stalled.as_mut().poll(cx);
                late.map(|()| Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }

    /// Ready when nothing waits within TLS. That it broke is seen when something is
    /// written or read.
    pub(super) fn poll_flushed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.unflushed {
            let flushed = self.socket.poll_flush(cx);
            self.unflushed = flushed.is_pending();
        }
        if self.unflushed {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    /// Reads, if it may. The end of the input is an empty slice, once.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        may_read: bool,
    ) -> Poll<io::Result<&[u8]>> {
        if self.held.is_none() && may_read && !self.eof {
            let mut buffer = ReadBuf::new(self.buffer.as_mut_slice());
            match self.socket.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => self.held = Some(buffer.filled().len()),
                // Many clients close TLS without saying so.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    self.held = Some(0);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
            self.eof = self.held == Some(0);
        }
        if self.held.is_none() || !may_read || self.arriving.poll(cx, self.delay).is_pending() {
            return Poll::Pending;
        }
        self.arriving.close();
        let held = self.held.take().unwrap_or(0);
        Poll::Ready(Ok(self.buffer.get(..held).unwrap_or_default()))
    }

    /// Ready when our side is closed, and the client's too.
    pub(super) fn poll_parted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.socket.poll_shutdown(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(())) => {}
        }
        loop {
            let mut buffer = ReadBuf::new(self.buffer.as_mut_slice());
            match self.socket.poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }
}

/// Where bytes wait as long as a slow link takes.
#[derive(Debug, Default)]
struct Gate(Option<Pin<Box<Sleep>>>);

impl Gate {
    /// Ready when the time is over that began with the first call since the last
    /// [`close`](Self::close).
    fn poll(&mut self, cx: &mut Context<'_>, delay: Duration) -> Poll<()> {
        if delay.is_zero() {
            return Poll::Ready(());
        }
        let gate = self.0.get_or_insert_with(|| Box::pin(sleep(delay)));
        // Once over, it stays open.
        if gate.is_elapsed() {
            return Poll::Ready(());
        }
        gate.as_mut().poll(cx)
    }

    fn close(&mut self) {
        self.0 = None;
    }
}
