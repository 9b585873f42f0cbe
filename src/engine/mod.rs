//! The engine: everything composed, the only owner of timers and queues.
//!
//! [`Engine`] is the surface. Behind it stands the `Machine`: [`link`] brings the
//! stream up, [`liveness`] notices when it is dead, [`ending`] ends it, [`retry`] says
//! when there is another, [`session`] knows what outlives it, [`route`] takes stanzas
//! to whom they concern, [`command`] takes what the host asks for, [`fetching`] reads
//! archives, [`posts`] looks after posts, [`resolving`] after those that were in doubt.

mod command;
mod ending;
mod fetches;
mod fetching;
mod link;
mod liveness;
mod machine;
mod posts;
mod refusal;
mod resolving;
mod retry;
mod route;
mod session;
mod weight;

use core::fmt;

use crate::command::{Fetch, JoinRoom, Post, Start};
use crate::config::{ChannelBinding, Config, Security};
use crate::event::{Event, TransportFailure};
use crate::ids::{PostId, QueryId, RoomId, Seed, SubscriptionId};
use crate::jid::Jid;
use crate::saved::SavedSession;
use crate::time::{Deadline, Instant};
use crate::token::PostToken;
use crate::xml::Framer;
use machine::{Machine, Then};

pub use refusal::{JoinError, PostError, QueryError};

/// An XMPP client as a state machine: bytes and time in, bytes and events out.
///
/// It opens no socket, reads no clock and draws no randomness. A host does that
/// for it, in a loop:
///
/// 1. do what [`wants`](Self::wants) says: open, protect or close the transport,
///    write, read, wait until the deadline at most;
/// 2. report what came of it: [`transport_opened`](Self::transport_opened),
///    [`tls_established`](Self::tls_established), [`written`](Self::written),
///    [`handle_input`](Self::handle_input), [`handle_eof`](Self::handle_eof),
///    [`transport_failed`](Self::transport_failed),
///    [`handle_timeout`](Self::handle_timeout);
/// 3. take the [`poll_event`](Self::poll_event)s, and give commands whenever it
///    likes.
///
/// # The contract
///
/// - **No drain rule.** Calls may follow each other in any order, with any
///   number of `wants` and `poll_event` between them: the bytes and the events
///   are the same.
/// - **Quiescence.** After a call nothing is left to do but what `wants` says.
///   A spurious `handle_timeout` changes nothing.
/// - **`wants` is pure and truthful.** If it asks for nothing, only the host or
///   the peer can change anything.
/// - **Bounded.** A call does work in proportion to the bytes it was given and
///   the [`Limits`](crate::Limits); collections are bounded by these.
/// - **Time** that runs backwards stands still. Never a panic.
/// - **One outcome** for each id, one [`Event::Offline`] for each transport asked
///   for, nothing after [`Event::Closed`].
/// - **Deterministic.** The same configuration, seed and calls give the same
///   bytes and events on every platform.
/// - **Back-pressure is not death.** While `wants().read` is false no timer that
///   accuses the peer of silence fires.
///
/// # When it connects again
///
/// [`Event::Offline`] says why a stream ended and whether another follows:
///
/// | class | for instance | then |
/// |---|---|---|
/// | transient | I/O, silence, `system-shutdown`, `reset`, `internal-server-error`, `temporary-auth-failure` | full jitter below a ceiling that doubles from [`Timing::backoff_min`](crate::Timing::backoff_min) to [`backoff_max`](crate::Timing::backoff_max) |
/// | slow | `resource-constraint`, `policy-violation`; broken XML or protocol; a password that was right before and is refused, once | no sooner than [`Timing::slow_min`](crate::Timing::slow_min), up to [`slow_max`](crate::Timing::slow_max) |
/// | attention | a password refused, `conflict`, an untrusted certificate, no TLS, no mechanism that the policy allows, `host-unknown`, `see-other-host`; broken XML or protocol for the third time in an hour | [`Retry::Never`](crate::Retry::Never): [`reconnect`](Self::reconnect) is for the host to call |
///
/// Ceilings start afresh when a stream has lasted for
/// [`Timing::stable`](crate::Timing::stable), not when a login succeeds. However the
/// dice fall, in no hour are there more attempts than
/// [`Limits::attempts_per_hour`](crate::Limits::attempts_per_hour), those that the host
/// asks for aside. `see-other-host` is not followed: the engine knows no addresses, and
/// a host that follows it must verify the new server for the account's domain, as RFC
/// 6120 section 4.9.3.19 asks. [`Config::reconnect`](crate::Config::reconnect) turns all
/// of it off, [`disconnect`](Self::disconnect) stops it.
///
/// # Rooms
///
/// A room that is joined is kept joined, each on its own: none waits for another.
/// [`RoomEvent::Left`](crate::RoomEvent::Left) says whether the engine goes back in.
/// After a shutdown of the service (332), a technical problem (333), or without a
/// reason it does, with backoff. After a kick (307) it does once, after a pause:
/// [`Limits::kicks`](crate::Limits::kicks). A ban (301), a lost membership (321, 322)
/// and the room's destruction are final; an alternate venue is told and not followed.
/// A room that is silent for [`Timing::self_ping`](crate::Timing::self_ping) is asked
/// whether we are still in it (XEP-0410).
///
/// # Broken streams
///
/// Where the server manages streams (XEP-0198), a broken one is resumed by the
/// next: [`Event::Offline`] is told as ever, but rooms stay joined and posts in
/// flight stay so, and go on after the next [`Event::Online`], whose
/// [`Login::resumed`](crate::Login::resumed) is then true. Only where the server
/// cannot resume it, or the time for that is over, rooms are left and joined anew.
///
/// Then posts that can have been handled are looked for in the rooms' archives, and
/// sent again if they are not there and cannot come any more. A session can be handed on
/// to another process ([`suspend`](Self::suspend)), and what became of a post another
/// process can find out ([`resolve`](Self::resolve)).
pub struct Engine {
    framer: Framer,
    machine: Machine,
}

/// What the host should do for the engine now. See [`Engine::wants`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wants<'a> {
    /// The state the transport should be in.
    pub transport: Transport,
    /// Bytes to write, the oldest first. Report how many were with [`Engine::written`].
    pub write: &'a [u8],
    /// Whether to read. While it is false, input is not taken.
    pub read: bool,
    /// When to call [`Engine::handle_timeout`]. `None`: only the host or the peer
    /// can change anything.
    pub deadline: Option<Deadline>,
}

/// The state the transport should be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// None. Drop what there is.
    Closed,
    /// A new byte stream to the account's server. Answer with
    /// [`Engine::transport_opened`] or [`Engine::transport_failed`]. A number
    /// other than before means that the attempt before it was given up, and
    /// that whatever there was is to be dropped.
    Connect {
        /// Counts the transports asked for since the engine was made, from one.
        attempt: u32,
    },
    /// As it is.
    Open,
    /// TLS on top of it. Answer with [`Engine::tls_established`] or
    /// [`Engine::transport_failed`]. Do not read before that.
    StartTls,
    /// Write what is left, then close it and call [`Engine::handle_eof`].
    Shutdown,
}

impl Engine {
    /// An engine that wants a transport at once.
    #[must_use]
    pub fn new(config: Config, seed: Seed, now: Instant) -> Self {
        let framer = Framer::new(config.limits.xml.clone());
        Self {
            framer,
            machine: Machine::new(config, seed, now),
        }
    }

    /// An engine that wants a transport at once, and goes on with a session that another
    /// [suspended](Self::suspend), be it in another process (XEP-0198 v1.6.3, section 5).
    ///
    /// It asks the server to resume the stream. [`Event::Online`] says whether it did
    /// ([`Login::resumed`](crate::Login::resumed)); then stanzas that the server had not
    /// handled are sent again, before anything new. If it did not, or what was saved
    /// contradicts what the server says, the session is let go and another begins, under
    /// the same resource.
    ///
    /// Rooms, subscriptions and posts are not part of it: [`join`](Self::join) as after
    /// [`new`](Self::new), with the same nicks, [`subscribe`](Self::subscribe) from a
    /// bookmark, and [`resolve`](Self::resolve) what is in doubt. A session of another
    /// account is ignored.
    #[must_use]
    pub fn resume(config: Config, seed: Seed, now: Instant, saved: SavedSession) -> Self {
        let mut engine = Self::new(config, seed, now);
        engine.machine.restore(saved);
        engine
    }

    /// Ends the engine without ending its stream, and hands out what it takes to
    /// [`resume`](Self::resume) it in another process, within
    /// [`SavedSession::max`](crate::SavedSession::max). [`Event::Closed`] follows, after the
    /// outcomes of all that was under way: a post without one is
    /// [`Unknown`](crate::PostOutcome::Unknown) if this stream had it, since the resumed one
    /// may carry it yet, else [`NotSent`](crate::PostOutcome::NotSent).
    ///
    /// `None` where there is no stream that the server can resume, or what it lacks is more
    /// than a text of [`SavedSession::MAX_BYTES`](crate::SavedSession::MAX_BYTES) holds, which
    /// takes a greater [`Limits::unacked_bytes`](crate::Limits::unacked_bytes): then this is
    /// [`close`](Self::close). The transport is to be dropped as it is.
    pub fn suspend(&mut self, now: Instant) -> Option<SavedSession> {
        self.with(now, Machine::hand_on)
    }

    /// A byte stream to the account's server is open.
    ///
    /// Ignored unless a transport is wanted.
    pub fn transport_opened(&mut self, now: Instant, security: Security) {
        if self.with(now, |machine| machine.transport_opened(security)) {
            self.framer.restart();
        }
    }

    /// TLS stands on the transport, the certificate verified for the account's
    /// domain (RFC 6120, section 13.7.2.1).
    ///
    /// Ignored unless TLS is wanted.
    pub fn tls_established(&mut self, now: Instant, binding: ChannelBinding) {
        if self.with(now, |machine| machine.tls_established(binding)) {
            self.framer.restart();
        }
    }

    /// Opening, protecting, reading or writing the transport failed: the stream
    /// is over, the engine is not.
    pub fn transport_failed(&mut self, now: Instant, why: TransportFailure) {
        self.with(now, |machine| machine.transport_failed(why));
    }

    /// Takes bytes from the peer, in pieces of any size; returns how many.
    ///
    /// Fewer than given means: take events with [`poll_event`](Self::poll_event),
    /// then offer the rest again.
    #[must_use]
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.machine.enter(now);
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            if self.machine.refuses_input() || self.machine.injected() {
                taken = bytes.len();
                break;
            }
            if !self.machine.reads() {
                break;
            }
            // No more at a time than the white space that is allowed, so that it is
            // noticed in whatever pieces it comes.
            let most = self.machine.idle_allowance(self.framer.idle_bytes());
            let (n, frame) = self.framer.push(rest.get(..most).unwrap_or(rest));
            taken = taken.saturating_add(n);
            match frame {
                None => self.machine.idle(self.framer.idle_bytes()),
                Some(Err(error)) => self.machine.xml_refused(error),
                Some(Ok(frame)) => {
                    if self.machine.on_frame(frame) == Then::Restart {
                        self.framer.restart();
                    }
                    // Not at the end of the call: pieces must make no difference.
                    self.machine.manage();
                }
            }
        }
        self.machine.settle();
        taken.min(bytes.len())
    }

    /// The peer ended the byte stream, or the [`Transport::Shutdown`] that was
    /// wanted is done.
    pub fn handle_eof(&mut self, now: Instant) {
        let whole = self.framer.is_between_frames();
        self.with(now, |machine| machine.eof(whole));
    }

    /// Does what is due. Spurious calls change nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.with(now, Machine::timeouts);
    }

    /// The transport took the first `n` bytes of [`Wants::write`].
    pub fn written(&mut self, now: Instant, n: usize) {
        self.with(now, |machine| machine.written(n));
    }

    /// What the host should do now. Pure: the answer stays the same until an
    /// input or a command changes it, and looking changes nothing.
    #[must_use]
    pub fn wants(&self) -> Wants<'_> {
        self.machine.wants()
    }

    /// The next event, in order. While too many wait, input is not taken.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.machine.poll_event()
    }

    /// Joins a room, now or as soon as the stream is up, and joins it again
    /// after each interruption until it is left.
    ///
    /// [`RoomEvent::Joined`](crate::RoomEvent::Joined) or
    /// [`RoomEvent::JoinFailed`](crate::RoomEvent::JoinFailed) follows.
    ///
    /// # Errors
    /// [`JoinError`]; nothing changed.
    pub fn join(&mut self, now: Instant, room: JoinRoom) -> Result<RoomId, JoinError> {
        self.with(now, |machine| machine.join(room))
    }

    /// Leaves a room. [`RoomEvent::Left`](crate::RoomEvent::Left) follows, and
    /// its subscriptions, fetches and posts end. What still waits to be sent, be it only for
    /// the end of the room's archive to be known, is not sent. An unknown room is ignored.
    pub fn leave(&mut self, now: Instant, room: RoomId) {
        self.with(now, |machine| machine.leave(room));
    }

    /// Destroys a room that we own (XEP-0045 v1.35.5, section 10.9).
    /// [`RoomEvent::Left`](crate::RoomEvent::Left) follows, or
    /// [`RoomEvent::DestroyRefused`](crate::RoomEvent::DestroyRefused).
    pub fn destroy(&mut self, now: Instant, room: RoomId) {
        self.with(now, |machine| machine.destroy(room));
    }

    /// Posts a message: at once, or as soon as we are in the room, in the order
    /// of the calls. Exactly one [`Event::Post`] follows.
    ///
    /// # Errors
    /// [`PostError`]; nothing was queued.
    pub fn post(&mut self, now: Instant, room: RoomId, post: Post) -> Result<PostId, PostError> {
        self.with(now, |machine| machine.post(room, post))
    }

    /// Draws the id of a post that is yet to be made, and says by what it can be found:
    /// for a host that writes this down before it [posts](crate::Post::under), so that a
    /// process that ends at any moment leaves nothing in doubt that the next could not
    /// [`resolve`](Self::resolve). Nothing is sent, and nothing has to follow.
    ///
    /// The token names the nick that we have now: prepare while in the room, and not long
    /// before the post.
    ///
    /// # Errors
    /// [`PostError::UnknownRoom`].
    pub fn prepare(&mut self, now: Instant, room: RoomId) -> Result<PostToken, PostError> {
        self.with(now, |machine| machine.prepare(room))
    }

    /// Reads a room's archive, over as many pages as it takes, continuing after
    /// an interruption. [`Event::Fetch`]s follow.
    ///
    /// # Errors
    /// [`QueryError`]; nothing changed.
    pub fn fetch(
        &mut self,
        now: Instant,
        room: RoomId,
        fetch: Fetch,
    ) -> Result<QueryId, QueryError> {
        self.with(now, |machine| machine.fetch(room, fetch))
    }

    /// Gives up a fetch, discovery or resolution: no further event of it comes, but those that wait.
    pub fn cancel(&mut self, now: Instant, query: QueryId) {
        self.with(now, |machine| machine.cancel(query));
    }

    /// Finds out what became of a post that was
    /// [`Unknown`](crate::PostOutcome::Unknown), be it of this engine or of
    /// another process. Exactly one [`Event::Resolved`] follows, at the latest
    /// after [`Timing::post`](crate::Timing::post). Its room has to be joined.
    ///
    /// # Errors
    /// [`QueryError`]; nothing changed.
    pub fn resolve(&mut self, now: Instant, token: &PostToken) -> Result<QueryId, QueryError> {
        self.with(now, |machine| machine.resolve(token))
    }

    /// Follows a room. [`Event::Entry`]s follow, and go on after each
    /// interruption with what was missed meanwhile.
    ///
    /// At most `credit` messages are delivered until more are
    /// [`grant`](Self::grant)ed; `u32::MAX` is no bound. What does not fit is
    /// left in the archive and read from there later, so that a slow reader
    /// costs no memory.
    ///
    /// # Errors
    /// [`QueryError`]; nothing changed.
    pub fn subscribe(
        &mut self,
        now: Instant,
        room: RoomId,
        start: Start,
        credit: u32,
    ) -> Result<SubscriptionId, QueryError> {
        self.with(now, |machine| machine.subscribe(room, start, credit))
    }

    /// Lets a subscription deliver `credit` messages more.
    pub fn grant(&mut self, now: Instant, subscription: SubscriptionId, credit: u32) {
        self.with(now, |machine| machine.grant(subscription, credit));
    }

    /// Ends a subscription: no further entry of it comes, but those that wait.
    pub fn unsubscribe(&mut self, now: Instant, subscription: SubscriptionId) {
        self.with(now, |machine| machine.unsubscribe(subscription));
    }

    /// Asks an entity what it is and can do (XEP-0030 v2.5.0, section 3).
    /// Exactly one [`Event::Disco`] follows.
    ///
    /// # Errors
    /// [`QueryError`]; nothing changed.
    pub fn disco_info(&mut self, now: Instant, of: &Jid) -> Result<QueryId, QueryError> {
        self.with(now, |machine| machine.disco(of, crate::ns::DISCO_INFO))
    }

    /// Asks an entity what belongs to it (XEP-0030 v2.5.0, section 4).
    /// Exactly one [`Event::Disco`] follows.
    ///
    /// # Errors
    /// [`QueryError`]; nothing changed.
    pub fn disco_items(&mut self, now: Instant, of: &Jid) -> Result<QueryId, QueryError> {
        self.with(now, |machine| machine.disco(of, crate::ns::DISCO_ITEMS))
    }

    /// Tries to connect at once, whatever the backoff or an earlier
    /// [`Retry::Never`](crate::Retry::Never) says. Ignored while there is a
    /// transport, or one is being opened.
    pub fn reconnect(&mut self, now: Instant) {
        self.with(now, Machine::reconnect);
    }

    /// Goes offline in good order and stays so until [`reconnect`](Self::reconnect)
    /// asks for a stream. If there is one, or an attempt at one, [`Event::Offline`]
    /// follows with [`OfflineCause::Closed`](crate::OfflineCause::Closed). Rooms,
    /// subscriptions, fetches and posts end: nothing comes back by itself.
    pub fn disconnect(&mut self, now: Instant) {
        self.with(now, Machine::disconnect);
    }

    /// Ends in good order: what is written is flushed, the stream closed.
    /// [`Event::Closed`] follows, after the outcomes of all that was under way.
    pub fn close(&mut self, now: Instant) {
        self.with(now, Machine::close);
    }

    /// Runs one call of the host, from the time it came to what follows from it.
    fn with<T>(&mut self, now: Instant, call: impl FnOnce(&mut Machine) -> T) -> T {
        self.machine.enter(now);
        let result = call(&mut self.machine);
        self.machine.settle();
        result
    }

    /// How many bytes it holds at the moment, as far as peers can make it hold any:
    /// never more than [`Limits::worst_case_bytes`](crate::Limits::worst_case_bytes).
    ///
    /// Pure. It takes time in proportion to what is held, so that it is for a gauge that
    /// is looked at now and then. Texts count exactly, what collections need around them
    /// about; what the host brought, its configuration and the posts it queued, does not
    /// count, nor does what an allocator adds.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        let held = self
            .machine
            .held()
            .saturating_add(self.framer.allocated_bytes());
        u64::try_from(held).unwrap_or(u64::MAX)
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        self.machine.config()
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("wants", &self.wants().transport)
            .finish_non_exhaustive()
    }
}
