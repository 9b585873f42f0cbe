//! What the engine tells its host: the only queue to drain.

mod outcome;
mod weight;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::error::{AuthFailure, StanzaError, StreamCondition};
use crate::ids::{ArchiveId, Cursor, PostId, QueryId, RoomId, SubscriptionId};
use crate::jid::{BareJid, Jid};
use crate::time::{Instant, Timer};
use crate::xml::XmlError;

pub use outcome::{
    CannotTell, DiscoInfo, FetchEvent, NotSent, PostOutcome, RequestError, Resolution, Via,
};

/// What happened. Owned, in order, each of its kind as often as its text says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A stream is ready: logged in and bound, or resumed ([`Login::resumed`]).
    Online {
        /// The address the server gave us.
        jid: Jid,
        /// How we got in, and what the server can do.
        login: Box<Login>,
    },
    /// A stream, or the attempt at one, ended: exactly once for each
    /// [`Transport::Connect`](crate::Transport::Connect).
    ///
    /// Where the stream can be resumed (XEP-0198), what lives on it is not over
    /// yet: rooms are [`Left`](RoomEvent::Left) and posts
    /// [`Unknown`](PostOutcome::Unknown) only when it turns out that it cannot.
    Offline {
        /// Why.
        cause: OfflineCause,
        /// Whether and when the engine tries again by itself.
        retry: Retry,
    },
    /// Something happened in a room.
    Room {
        /// Where.
        room: RoomId,
        /// What.
        event: RoomEvent,
    },
    /// The next entry of a subscription.
    Entry {
        /// Of which.
        subscription: SubscriptionId,
        /// The entry.
        entry: Entry,
    },
    /// The outcome of a post: exactly one for each.
    Post {
        /// Which.
        id: PostId,
        /// What became of it.
        outcome: PostOutcome,
    },
    /// Progress or the outcome of a fetch: any number of pages, then exactly one
    /// [`FetchEvent::Done`] or [`FetchEvent::Failed`].
    Fetch {
        /// Which.
        id: QueryId,
        /// What.
        event: FetchEvent,
    },
    /// The outcome of a [`resolve`](crate::Engine::resolve): exactly one for each.
    Resolved {
        /// Which.
        id: QueryId,
        /// What was found.
        resolution: Resolution,
    },
    /// The outcome of a discovery: exactly one for each.
    Disco {
        /// Which.
        id: QueryId,
        /// What was found.
        result: Result<Box<DiscoInfo>, RequestError>,
    },
    /// The engine has ended as it was asked to. Nothing comes after it.
    Closed,
}

/// How a login went, and what the server announced.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Login {
    /// Whether TLS protects the stream.
    pub tls: bool,
    /// The SASL mechanism used, as named on the wire.
    pub mechanism: &'static str,
    /// The channel binding used: `tls-exporter`, `tls-server-end-point` or none.
    pub channel_binding: Option<&'static str>,
    /// The mechanisms the server offered, at most 32, and at most 32 characters of each.
    pub offered: Vec<String>,
    /// The channel-binding types the server announced (XEP-0440), at most 8, and at most 32
    /// characters of each.
    pub announced_bindings: Vec<String>,
    /// The server offers stream management (XEP-0198).
    pub stream_management: bool,
    /// The stream before this one was resumed: rooms, posts and subscriptions go
    /// on as if nothing had happened.
    pub resumed: bool,
    /// The largest stanza the server takes, in bytes (XEP-0478).
    pub max_bytes: Option<u64>,
    /// Silence after which the server closes the stream, in seconds (XEP-0478).
    pub idle_seconds: Option<u64>,
}

/// Why a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OfflineCause {
    /// The transport failed, or could not be opened.
    Transport(TransportFailure),
    /// The peer was silent for too long.
    TimedOut(Timer),
    /// The peer closed the stream in good order, or the connection without a word.
    PeerClosed,
    /// The connection was closed in the middle of a stanza, or of other markup: the peer
    /// did not get to say all that it wanted to.
    Truncated,
    /// The peer ended the stream with an error.
    StreamError {
        /// Which.
        condition: StreamCondition,
        /// The peer's words, hostile until escaped; at most 1 KiB.
        text: Option<String>,
    },
    /// The peer's XML was refused.
    Xml(XmlError),
    /// The peer broke the protocol.
    PeerMisbehaved(PeerMisbehaved),
    /// The peer cannot do what we need.
    PeerIncompatible(PeerIncompatible),
    /// The login failed.
    Auth(AuthFailure),
    /// The server gave us no resource.
    Bind(StanzaError),
    /// The host asked for it.
    Closed,
    /// A mistake of this library, named. Please report it.
    Internal(&'static str),
}

/// What the peer did that no correct peer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// Bytes came after `<proceed/>` and before TLS: somebody injects (CVE-2011-0411).
    DataAfterProceed,
    /// An element came that has no place in this state of the negotiation.
    UnexpectedElement,
    /// A second stream header, or one of another domain.
    WrongStreamHeader,
    /// A stanza of `jabber:server`, which has no place between server and client.
    WrongContentNamespace,
    /// The server bound us to another account.
    BoundToAnotherAccount,
    /// The bind result holds no valid address.
    MalformedBind,
    /// White space without end before the login.
    IdleFlood,
    /// It says that it handled more stanzas than it was sent (XEP-0198).
    HandledCountTooHigh {
        /// How many it says.
        h: u32,
        /// How many it was sent.
        sent: u32,
    },
    /// It says that it handled fewer stanzas than it said before (XEP-0198).
    HandledCountBackwards,
    /// A count of handled stanzas that is missing or no number (XEP-0198).
    MalformedHandledCount,
    /// It resumed another stream than the one it was asked to (XEP-0198).
    ResumedAnother,
}

/// What the peer cannot do, although we need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PeerIncompatible {
    /// No TLS on offer, and the configuration requires it.
    NoTls,
    /// TLS was offered and then refused.
    TlsRefused,
    /// A stream older than XMPP 1.0.
    LegacyStream,
    /// No resource binding on offer.
    NoBind,
}

/// Why the transport failed. Made by the host, which alone knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportFailure {
    /// What failed.
    pub kind: TransportFailureKind,
    /// The host's words about it.
    pub detail: String,
}

/// What failed at the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TransportFailureKind {
    /// The name of the host could not be resolved.
    Resolve,
    /// No address of the host took the connection.
    Connect,
    /// TLS could not be set up, for a reason other than the certificate.
    Tls,
    /// The server's certificate cannot be trusted: no retry mends that.
    Certificate,
    /// Reading or writing failed.
    Io,
}

/// Whether and when something is tried again without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// At this instant.
    At(Instant),
    /// Not by itself: somebody has to change something first.
    Never,
}

/// What happened in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RoomEvent {
    /// We are in, at first or again.
    Joined(Box<Joined>),
    /// The room refused us.
    JoinFailed {
        /// Why.
        error: JoinFailure,
        /// Whether the engine tries again by itself. With `Never` the room id is dead.
        retry: Retry,
    },
    /// An occupant came. Those present when we join are reported before [`Self::Joined`].
    OccupantJoined {
        /// The occupant's nick.
        nick: String,
    },
    /// An occupant went.
    OccupantLeft {
        /// The occupant's nick.
        nick: String,
        /// Why.
        cause: LeaveCause,
    },
    /// An occupant, ourselves included, goes by another nick now.
    NickChanged {
        /// The old one.
        from: String,
        /// The new one.
        to: String,
    },
    /// The room's subject: on joining, and on each change.
    Subject {
        /// The subject; empty if there is none.
        text: String,
        /// Who set it, if the room says.
        by: Option<String>,
    },
    /// The room was lost while we were away, and made anew by our coming back (status
    /// 201): with it, most likely, its archive. [`Self::Joined`] follows.
    ///
    /// Where somebody else was back before us, nothing tells.
    Recreated,
    /// What the room lets be known changed while we are in it (XEP-0045 v1.35.5, section
    /// 10.2.1, statuses 170 to 174): what it is now. Who shows the room to a person
    /// must warn them where more is known than before (sections 14.3 and 14.5).
    ///
    /// Told once for each change. What changed while we were out is in [`Self::Joined`].
    PrivacyChanged(Privacy),
    /// The room said that something else of its configuration changed (XEP-0045 v1.35.5,
    /// section 10.2.1, statuses 102 to 104), and not what: [`Joined::info`] may no longer
    /// hold. It is asked for again, and told if it is another ([`Self::Described`]).
    ConfigChanged,
    /// The room said what it can do, which it had not in time for [`Self::Joined`]: what it
    /// said there was nothing ([`RoomInfo::default`]). If it has an archive, subscriptions
    /// are based on it from now on ([`Entry::CaughtUp`]). Or that changed with its configuration:
    /// where it has no archive any more, subscriptions are told a gap
    /// ([`GapReason::NoArchive`]), and go on with what is said.
    Described(RoomInfo),
    /// The room would not be destroyed.
    DestroyRefused(StanzaError),
    /// We are out.
    Left {
        /// Why.
        cause: LeaveCause,
        /// Whether the engine joins again by itself. With `Never` the room id is dead.
        retry: Retry,
    },
}

/// How we stand in a room just joined.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Joined {
    /// The room.
    pub room: BareJid,
    /// Our nick, as the room gave it: it may differ from the one asked for.
    pub nick: String,
    /// The room did not exist before; it was created and unlocked.
    pub created: bool,
    /// What the room can do.
    pub info: RoomInfo,
    /// What it lets be known of who is in it.
    pub privacy: Privacy,
}

/// What a room lets be known of those who are in it, as it says itself (XEP-0045 v1.35.5).
///
/// A room MUST say so when it lets us in, and when it changes (sections 7.2.3, 7.2.12 and
/// 10.2.1); "the user's client MUST warn the user" (sections 14.3 and 14.5), which is for
/// the host to do. By default neither. What is `false` was not said: that is no promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Privacy {
    /// Everybody in it is shown the address of everybody else, ours too: it is
    /// non-anonymous (status 100 or 172). Its moderators see it in any room.
    pub occupants_see_jids: bool,
    /// What is said in it is logged publicly (status 170). An archive that only its
    /// occupants may read is another matter: [`RoomInfo::archive`].
    pub logged: bool,
}

/// What a room says it can do (XEP-0045 v1.35.5, section 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RoomInfo {
    /// It has an archive (`urn:xmpp:mam:2`).
    pub archive: bool,
    /// Its stanza-ids can be trusted (`urn:xmpp:sid:0`).
    pub stanza_ids: bool,
    /// It names its occupants by lasting ids (`urn:xmpp:occupant-id:0`).
    pub occupant_ids: bool,
    /// It outlives its last occupant.
    pub persistent: bool,
    /// Only members may enter.
    pub members_only: bool,
    /// Only those with voice may post.
    pub moderated: bool,
    /// It says by itself whether we are in it, and troubles no other client of ours
    /// to (`muc#self-ping-optimization`, XEP-0410).
    pub self_ping: bool,
}

/// Why a room could not be joined.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JoinFailure {
    /// The nick that was chosen belongs to somebody else.
    NickConflict,
    /// The room or its service refused.
    Refused(StanzaError),
    /// No answer in time.
    TimedOut,
    /// The stream ended for good before the room answered.
    Offline,
    /// The room let us in for the first time, and put us out again before
    /// [`RoomEvent::Joined`] could be told. Who is kicked then does not come back, and
    /// causes that pass (a service that shuts down) are told only when the time of the join
    /// ([`Timing::join`](crate::Timing::join)) is over.
    PutOut(LeaveCause),
}

/// Why somebody is no longer in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaveCause {
    /// Of their own will, or we asked to leave.
    Asked,
    /// Kicked (status 307). Whether the engine comes back: [`Limits::kicks`](crate::Limits::kicks).
    Kicked {
        /// The reason given, hostile until escaped.
        reason: Option<String>,
    },
    /// Banned (301).
    Banned {
        /// The reason given, hostile until escaped.
        reason: Option<String>,
    },
    /// No longer a member (321), or the room has become members-only (322).
    NotMember,
    /// The service shuts down (332).
    ServiceShutdown,
    /// The room does not say: some remove an occupant whose client answered with
    /// an error, without a word.
    Unexplained,
    /// A technical problem, a broken link between servers for instance (333).
    TechnicalProblem,
    /// The room lost us without a word: it said so when it was asked (XEP-0410), or
    /// refused a post as a stranger's.
    Dropped,
    /// The room was destroyed.
    Destroyed {
        /// Where to go instead, as the room says. Never followed by itself.
        alternative: Option<BareJid>,
        /// The reason given, hostile until escaped.
        reason: Option<String>,
    },
    /// The stream under it ended, and was not resumed.
    Offline,
}

/// In words, without those of the room.
impl fmt::Display for LeaveCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("left"),
            Self::Kicked { .. } => f.write_str("kicked"),
            Self::Banned { .. } => f.write_str("banned"),
            Self::NotMember => f.write_str("the room is for members"),
            Self::ServiceShutdown => f.write_str("the service shuts down"),
            Self::Unexplained => f.write_str("removed without a word"),
            Self::TechnicalProblem => f.write_str("a technical problem of the room"),
            Self::Dropped => f.write_str("the room had lost us without a word"),
            Self::Destroyed { alternative, .. } => match alternative {
                Some(room) => write!(f, "the room was destroyed in favour of {room}"),
                None => f.write_str("the room was destroyed"),
            },
            Self::Offline => f.write_str("the connection ended"),
        }
    }
}

/// A message of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Its position in the archive; `None` if the room did not archive it.
    pub id: Option<ArchiveId>,
    /// Who said it: the nick. Anybody can take any free nick.
    pub nick: String,
    /// The lasting id of the occupant (XEP-0421), where the room gives one.
    pub occupant_id: Option<String>,
    /// What was said. Hostile until escaped.
    pub body: String,
    /// The id its sender gave it (XEP-0359), which readers must not trust alone.
    pub origin_id: Option<String>,
    /// The archive id of the message this answers (XEP-0461).
    pub reply_to: Option<String>,
    /// When the archive says it was said (XEP-0082); `None` on a live message, and where
    /// it says what is no time. To be shown, not to be relied on.
    pub stamp: Option<String>,
    /// Whether this engine posted it. Known by id, never by nick.
    pub own: bool,
    /// How it reached us.
    pub source: Source,
}

impl Message {
    /// How many bytes it holds.
    pub(crate) fn weight(&self) -> usize {
        let texts = [
            &self.occupant_id,
            &self.origin_id,
            &self.reply_to,
            &self.stamp,
        ];
        let texts = texts.into_iter().flatten().map(String::len);
        let id = self.id.as_ref().map(|id| id.as_str().len());
        texts
            .chain(id)
            .chain([self.nick.len(), self.body.len(), size_of::<Self>()])
            .fold(0, usize::saturating_add)
    }
}

/// How a message reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Source {
    /// As it was said.
    Live,
    /// From the archive.
    Archive,
}

/// An entry of a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A message, in the order of the archive, once. One without an id has no place there
    /// that is known; if the archive shows it all the same, it comes again, with its id.
    Message(Box<Message>),
    /// A message that the archive did not show when it was its turn: it lies before
    /// one that was delivered already; or, behind a [gap](Self::Gap) after a resumption of the
    /// stream, at a place that nobody knows. Once, like all others.
    Late(Box<Message>),
    /// All that the archive held when asked has been delivered; what follows is
    /// live. Comes again after each interruption.
    CaughtUp {
        /// Where the subscription stands; `None` if the room has no archive to
        /// stand in, or has not said so in time. If it says later that it has one
        /// ([`RoomEvent::Described`]), what was said before we came is delivered then,
        /// but for what was delivered already, and the place is told.
        at: Option<Cursor>,
    },
    /// All up to there was delivered, and compared with the archive twice, or once where more
    /// is said meanwhile than is remembered
    /// ([`Limits::remembered_ids`](crate::Limits::remembered_ids)): nothing is
    /// expected to come late before it any more. From time to time, after
    /// [`Timing::audit`](crate::Timing::audit), and in a busy room more often; never while the
    /// archive says that what it shows may still change (`stable='false'`), unless no more can
    /// be remembered. What to do with it is for [`Bookmark::take`](crate::Bookmark::take) to
    /// know.
    Confirmed {
        /// A place that the reader has passed.
        at: Cursor,
    },
    /// Messages may be missing here.
    Gap {
        /// The last position before the hole, if it is known.
        after: Option<Cursor>,
        /// Why.
        reason: GapReason,
    },
    /// Nothing comes any more: the room is left for good.
    Ended,
}

/// Why messages may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapReason {
    /// The archive no longer shows the position to go on from, so that nobody can tell
    /// what came after it. What it has left follows: from the last place that was compared, if
    /// it still shows that, else from the oldest that is known to have been delivered, else from
    /// the oldest that it has. What was delivered is not delivered again as far as it is
    /// remembered, which holds for a quarter of
    /// [`Limits::remembered_ids`](crate::Limits::remembered_ids) at least.
    CursorExpired,
    /// The room has no archive, or one whose ids it does not put on live
    /// messages (XEP-0359), or does not let us read it, or did not say in time what it
    /// has: what was said while we were away is lost to us, unless it is delivered later
    /// ([`RoomEvent::Described`]). Or it had none until now: what was missed meanwhile, or held back
    /// for a reader that took nothing, the archive of now does not show.
    NoArchive,
    /// The stream broke before the position of a subscription from
    /// [`Start::Now`](crate::Start::Now) was known; or messages were delivered whose
    /// position was never known, so that it begins with "now" again.
    NeverAnchored,
    /// More was said than is held back ([`Limits::held_messages`](crate::Limits::held_messages))
    /// before the position of a subscription from [`Start::Now`](crate::Start::Now) was known,
    /// or while the reader took nothing in a room without an archive to read it from.
    Overflow,
    /// The room was lost and made anew ([`RoomEvent::Recreated`]): what was said since
    /// the position was lost with it, if it was not kept by chance. What its archive
    /// holds after the position, or all if it does not know it, follows.
    Recreated,
    /// Reading the archive failed again and again.
    ArchiveFailed(RequestError),
    /// The archive did not show in time what the room said: what was said before
    /// it and is not in the archive yet may come as [`Entry::Late`], or not at all. Or it
    /// let go of the place from which it was to be looked through for what it was late to
    /// show. Or it does not show something that was heard, and left to be read, since more was
    /// said than is held back. Or it shows nothing of what was delivered, which is more than can
    /// be remembered: what was said up to there is compared no more.
    Unsettled,
}
