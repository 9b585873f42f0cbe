//! The task that listens and keeps the time.

use alloc::boxed::Box;
use core::future::Future as _;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use ::tokio::net::TcpListener;
use ::tokio::sync::oneshot;
use ::tokio::task::JoinSet;
use ::tokio::time::{Instant as Moment, Sleep, sleep_until, timeout};

use super::line::{self, Carriage};
use crate::sim::server::Operation;

/// As far into the future as a timer is set.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);
/// Connections taken, and deadlines met, in one turn.
const TURN: usize = 64;
/// How long no connection is taken after the system refused to give one.
const BREATHER: Duration = Duration::from_millis(50);
/// How long clients may take to part when the server ends in good order.
const PARTING: Duration = Duration::from_secs(2);

/// How the server is to end. Dropping the sender ends it without a word.
#[derive(Debug)]
pub(super) enum End {
    /// Streams are ended in good order first.
    Gracefully,
}

pub(super) struct Driver {
    carriage: Carriage,
    listener: TcpListener,
    /// The most connections at a time, those that are being set up included.
    most: usize,
    lines: JoinSet<()>,
    sleep: Pin<Box<Sleep>>,
    /// Until when no connection is taken.
    breather: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    pub(super) fn new(carriage: Carriage, listener: TcpListener, most: usize) -> Self {
        Self {
            carriage,
            listener,
            most,
            lines: JoinSet::new(),
            sleep: Box::pin(sleep_until(Moment::now())),
            breather: None,
        }
    }

    /// Runs until it is told to end, or nobody is left who could tell it.
    pub(super) async fn run(mut self, mut end: oneshot::Receiver<End>) {
        let end = core::future::poll_fn(|cx| {
            if let Poll::Ready(end) = Pin::new(&mut end).poll(cx) {
                return Poll::Ready(end);
            }
            self.poll(cx);
            Poll::Pending
        })
        .await;
        if let Ok(End::Gracefully) = end {
            self.part().await;
        }
        // Whoever is left is cut off: dropping the set ends their tasks.
        self.lines.shutdown().await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Some(_)) = self.lines.poll_join_next(cx) {}
        self.poll_listener(cx);
        self.poll_time(cx);
    }

    fn poll_listener(&mut self, cx: &mut Context<'_>) {
        if let Some(breather) = &mut self.breather {
            if breather.as_mut().poll(cx).is_pending() {
                return;
            }
            self.breather = None;
        }
        for _ in 0..TURN {
            match self.listener.poll_accept(cx) {
                // One too many is closed at once.
                Poll::Ready(Ok((tcp, _))) if self.lines.len() < self.most => {
                    self.lines.spawn(line::carry(self.carriage.clone(), tcp));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => {
                    // Out of file descriptors, most likely: trying again at once
                    // would spin.
                    let mut breather = Box::pin(sleep_until(Moment::now() + BREATHER));
                    if breather.as_mut().poll(cx).is_ready() {
                        cx.waker().wake_by_ref();
                    }
                    self.breather = Some(breather);
                    return;
                }
                Poll::Pending => return,
            }
        }
        cx.waker().wake_by_ref();
    }

    fn poll_time(&mut self, cx: &mut Context<'_>) {
        for _ in 0..TURN {
            let mut hub = self.carriage.shared.lock();
            let Some(deadline) = hub.wait_for_deadline(cx.waker()) else {
                return;
            };
            let left = deadline.since(hub.now());
            if left.is_zero() {
                hub.act(|server, now| server.handle_timeout(now));
                continue;
            }
            let at = hub
                .start()
                .checked_add(Duration::from_micros(deadline.as_micros()))
                .filter(|_| left < FAR)
                .unwrap_or_else(|| Moment::now() + FAR);
            drop(hub);
            // A far deadline moves with every look; only a nearer one needs a new timer.
            if (left < FAR && self.sleep.deadline() != at) || self.sleep.is_elapsed() {
                self.sleep.as_mut().reset(at);
            }
            if self.sleep.as_mut().poll(cx).is_pending() {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Says goodbye to everybody, and waits a little for them to go.
    async fn part(&mut self) {
        self.carriage
            .shared
            .lock()
            .act(|server, now| server.operate(now, &Operation::Stop));
        let lines = &mut self.lines;
        let gone = async { while lines.join_next().await.is_some() {} };
        let _ = timeout(PARTING, gone).await;
    }
}
