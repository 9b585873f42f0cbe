//! Every bound of the engine: what it bounds, its default, and what happens at it.
//!
//! A peer can make us keep something only in a collection that is named here.

use core::time::Duration;

/// Bounds on what a peer, or the host, can make the engine do and keep.
///
/// The defaults suit a program in a few hundred rooms. Change single fields:
///
/// ```
/// let mut limits = parley_xmpp::Limits::default();
/// limits.xml.stanza_bytes = 64 * 1024;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// What one stanza may look like.
    pub xml: XmlLimits,
    /// PBKDF2 rounds a server may ask for. Default 4096..=1 000 000: fewer is a
    /// downgrade (RFC 7677 section 4), more a denial of service. Outside: the login fails.
    pub scram_iterations: (u32, u32),
    /// PBKDF2 rounds computed in one call of the engine. Default 4096, some two milliseconds.
    pub scram_iterations_per_call: u32,
    /// Rooms at a time. Default 1024. At it: `join` is refused.
    pub rooms: usize,
    /// Occupants remembered of each room. Default 2048. At it: more are not
    /// remembered and come and go without an event.
    pub occupants: usize,
    /// Posts of one room without an outcome. Default 1024. At it: `post` is refused.
    pub posts_per_room: usize,
    /// Fetches and discoveries without an outcome. Default 64. At it: the command is refused.
    pub queries: usize,
    /// Subscriptions at a time. Default 4096. At it: `subscribe` is refused.
    pub subscriptions: usize,
    /// Events that wait for the host. Default 1024. At it: reading stops until
    /// the host has taken some.
    pub events: usize,
    /// Bytes of the events that wait for the host. Default 8 MiB. At it, likewise.
    pub event_bytes: usize,
    /// Bytes that wait to be written. Default 1 MiB. At it: posts wait for
    /// their turn. At twice as many reading stops, since the peer makes us write
    /// more than it reads.
    pub write_bytes: usize,
    /// Stanzas kept until the server says that it handled them (XEP-0198). Default
    /// 1024. At it: posts wait for their turn. At twice as many what is kept is
    /// let go, so that the stream cannot be resumed until the server has caught up.
    pub unacked_stanzas: usize,
    /// Bytes of stanzas kept until the server says that it handled them. Default
    /// 1 MiB. At it, likewise.
    pub unacked_bytes: usize,
    /// Live messages of one room held back while its archive is read. Default
    /// 256. At it: they are dropped and read from the archive instead.
    pub held_messages: usize,
    /// Bytes of live messages of one room held back, likewise. Default 1 MiB.
    pub held_bytes: usize,
    /// Kicks (status 307) that are answered by coming back, after a pause, within
    /// [`Timing::kick_memory`]. Default 1: a second kick is final. 0: each is. More
    /// than 16 count as 16. At it: the room is left for good. A single room may
    /// have its own: [`JoinRoom::kicks`](crate::JoinRoom::kicks).
    pub kicks: u32,
    /// Attempts to connect that the engine makes by itself in any hour. Default 120;
    /// a quarter of them may follow each other as fast as the backoff lets them, the
    /// rest come evenly spaced. At it: the next attempt waits. Zero counts as one.
    pub attempts_per_hour: u32,
    /// Messages asked for in one page of an archive. Default 100. Servers may send fewer.
    pub page: u32,
    /// Archive ids remembered for each room to recognise repetition. Default 1024. At least
    /// 32, four [pages](Self::page), and what is [held back](Self::held_messages) with one. In a
    /// room that is so busy that a quarter of them, or 256 messages, are heard between two
    /// comparisons with the archive, it is compared earlier.
    pub remembered_ids: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            xml: XmlLimits::default(),
            scram_iterations: (4096, 1_000_000),
            scram_iterations_per_call: 4096,
            rooms: 1024,
            occupants: 2048,
            posts_per_room: 1024,
            queries: 64,
            subscriptions: 4096,
            events: 1024,
            event_bytes: 8 * 1024 * 1024,
            write_bytes: 1024 * 1024,
            unacked_stanzas: 1024,
            unacked_bytes: 1024 * 1024,
            held_messages: 256,
            held_bytes: 1024 * 1024,
            kicks: 1,
            attempts_per_hour: 120,
            page: 100,
            remembered_ids: 1024,
        }
    }
}

impl Limits {
    /// The longest nick that is kept, in bytes (RFC 7622, section 3.4).
    pub(crate) const NICK_BYTES: usize = 1023;

    /// Whether an occupant can have this nick, which is the resource of an address. What
    /// characters it may have is for the room to say: it is told, compared and kept as it is.
    pub(crate) fn is_nick(text: &str) -> bool {
        (1..=Self::NICK_BYTES).contains(&text.len())
    }

    /// Bytes of one page of an archive that are kept while it is received. A
    /// heavier page is asked for again, smaller.
    pub(crate) const PAGE_BYTES: usize = 4 * 1024 * 1024;

    /// Raises what is so small that nothing could ever be done.
    pub(crate) fn make_usable(&mut self) {
        self.events = self.events.max(1);
        self.event_bytes = self.event_bytes.max(1);
        self.write_bytes = self.write_bytes.max(1);
        self.unacked_stanzas = self.unacked_stanzas.max(1);
        self.unacked_bytes = self.unacked_bytes.max(1);
        self.scram_iterations_per_call = self.scram_iterations_per_call.max(1);
        self.page = self.page.max(1);
        // What is held back and what a page brings have to be told apart; and a comparison
        // needs place for some pages.
        let page = usize::try_from(self.page).unwrap_or(usize::MAX);
        self.remembered_ids = self
            .remembered_ids
            .max(self.held_messages.saturating_add(page))
            .max(page.saturating_mul(4))
            .max(32);
    }

    /// An upper bound on the bytes that peers can make an engine keep.
    ///
    /// It is the sum of all bounds, each at its fullest at the same time: some
    /// gigabytes with the defaults, nearly all of it for a thousand full rooms
    /// that are all followed. Set the fields to what a host can spare. Posts that
    /// the host itself queued are not counted.
    #[must_use]
    pub fn worst_case_bytes(&self) -> u64 {
        let wide = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let times = |n: usize, each: u64| wide(n).saturating_mul(each);
        let stanza = wide(self.xml.stanza_bytes);
        // Decoded text, the unfinished tag, and records of attributes (at least five bytes each
        // on the wire), and of nodes and open elements: a letter and `<a>`, in four bytes, are two
        // and one. All in vectors that double.
        let xml = stanza.saturating_mul(48);
        let page = wide(Self::PAGE_BYTES).saturating_add(stanza);
        let held = wide(self.held_bytes).saturating_add(stanza);
        let remembered = times(self.remembered_ids, 2048);
        let room = times(self.occupants, wide(Self::NICK_BYTES).saturating_add(64))
            .saturating_add(held)
            .saturating_add(remembered)
            // Ids of one page of the archive, while posts are searched in it.
            .saturating_add(u64::from(self.page).saturating_mul(4096))
            // Hints at what lies next to what: 32 pairs of ids.
            .saturating_add(32 * 2304);
        // Two pages: one that is delivered, one that is compared; and what was told, what is
        // no message, and, by a digest each, whose echoes would be repeats.
        let subscription = page
            .saturating_mul(2)
            .saturating_add(held)
            .saturating_add(remembered.saturating_mul(2))
            .saturating_add(times(self.remembered_ids, 64))
            // And of what was dropped, 256 ids that are awaited and 256 that are late.
            .saturating_add(2 * 256 * 2048);
        // As they are kept, and once more as they are sent again.
        let unacked = wide(self.unacked_bytes)
            .saturating_mul(2)
            .saturating_add(stanza)
            .saturating_mul(2)
            .saturating_add(times(self.unacked_stanzas, 128));
        [
            xml,
            unacked,
            times(self.rooms, room),
            times(self.subscriptions, subscription),
            // What a fetch gave is remembered, to be given once.
            times(self.queries, page.saturating_add(remembered)),
            // Each room, subscription and query has one request at a time.
            times(self.rooms, 512),
            times(self.subscriptions, 512),
            times(self.queries, 512),
            wide(self.event_bytes)
                .saturating_add(page)
                .saturating_add(held),
            // In a vector that doubles; and where stanzas end, of which none has fewer bytes
            // than its place there.
            wide(self.write_bytes)
                .saturating_add(stanza)
                .saturating_mul(2 * 3),
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

/// What one stanza may look like. At any of these bounds the stream ends with
/// `<policy-violation/>`, as soon as the bound is crossed, not at the end of the stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct XmlLimits {
    /// Bytes of one stanza as received. Default 256 KiB, as Prosody's for clients.
    pub stanza_bytes: usize,
    /// Elements within elements, the stream not counted. Default 32.
    pub depth: usize,
    /// Elements and texts of one stanza. Default 4096.
    pub nodes: usize,
    /// Attributes of one element, namespace declarations included. Default 64.
    pub attributes: usize,
    /// Namespace declarations of one element. Default 16.
    pub declarations: usize,
    /// Namespace declarations in scope at one place. Default 64.
    pub bindings: usize,
    /// Bytes of one element or attribute name. Default 256.
    pub name_bytes: usize,
    /// Bytes of one attribute value. Default 16 KiB.
    pub value_bytes: usize,
    /// White space between two stanzas before anything is logged in. Default 4096.
    pub idle_bytes_before_login: usize,
}

impl Default for XmlLimits {
    fn default() -> Self {
        Self {
            stanza_bytes: 256 * 1024,
            depth: 32,
            nodes: 4096,
            attributes: 64,
            declarations: 16,
            bindings: 64,
            name_bytes: 256,
            value_bytes: 16 * 1024,
            idle_bytes_before_login: 4096,
        }
    }
}

/// How long the engine waits for what.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// For the host to open a transport. Default 30 s.
    pub connect: Duration,
    /// For one step of the negotiation. Default 15 s, not prolonged by progress in bytes.
    pub negotiation: Duration,
    /// For the whole login. Default 60 s.
    pub login: Duration,
    /// For the answer to a request. Default 30 s.
    pub request: Duration,
    /// For a room to let us in, retries included. Default 30 s.
    ///
    /// The time of a first join is one for all streams: what was spent asking on one that
    /// broke counts on the next, and the time without a stream, or with one that waits to be
    /// resumed, does not. When it is over the join has failed for good
    /// ([`JoinFailure::TimedOut`](crate::JoinFailure::TimedOut), or the room's last refusal);
    /// where the room let us in and only does not say what it can do, we are in
    /// ([`RoomEvent::Described`](crate::RoomEvent::Described)). Of a room that we were in,
    /// each attempt has this time, and another follows.
    pub join: Duration,
    /// For the transport to take 512 bytes of what is to be written, or all. Default 30 s.
    pub write: Duration,
    /// For the server to close its side. Default 5 s.
    pub close: Duration,
    /// Silence after which the server is asked for a sign of life. Default 30 s.
    pub keepalive: Duration,
    /// For that sign of life. Default 15 s.
    pub keepalive_reply: Duration,
    /// The shortest ceiling of the backoff. Default 0.5 s.
    pub backoff_min: Duration,
    /// The longest ceiling of the backoff. Default 60 s.
    pub backoff_max: Duration,
    /// The shortest pause where the server lacks resources or does not like what we
    /// do, which takes more than a moment to change. Default 30 s.
    pub slow_min: Duration,
    /// The longest pause there. Default 10 min.
    pub slow_max: Duration,
    /// How long a stream must last for the backoff to start afresh, and likewise a
    /// stay in a room. Default 60 s.
    pub stable: Duration,
    /// For an archive to show what its room said, at most; some lag behind. An archive
    /// that does not have a post in doubt is asked again after that long. Default 5 s.
    pub settle: Duration,
    /// Between two comparisons of what a subscription delivered with the archive. The
    /// first two after each catch-up come after [`settle`](Self::settle) and half a
    /// minute. Default 10 min.
    pub audit: Duration,
    /// Silence of a room after which it is asked whether we are still in it (XEP-0410);
    /// up to a quarter longer, drawn anew each time. Default 5 min. Shorter than a
    /// second counts as a second; [`Duration::MAX`] asks never.
    pub self_ping: Duration,
    /// The pause after a first kick before the room is joined again; up to half as
    /// long again, drawn, and doubled for each further kick. Default 10 s.
    pub kick_pause: Duration,
    /// How long a kick is remembered. Default 1 h.
    pub kick_memory: Duration,
    /// For a post to reach its outcome, unless the post says otherwise. Default 60 s.
    pub post: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            connect: secs(30),
            negotiation: secs(15),
            login: secs(60),
            request: secs(30),
            join: secs(30),
            write: secs(30),
            close: secs(5),
            keepalive: secs(30),
            keepalive_reply: secs(15),
            backoff_min: Duration::from_millis(500),
            backoff_max: secs(60),
            slow_min: secs(30),
            slow_max: secs(600),
            stable: secs(60),
            settle: secs(5),
            audit: secs(600),
            self_ping: secs(300),
            kick_pause: secs(10),
            kick_memory: secs(3600),
            post: secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_follows_the_limits() {
        let mut limits = Limits::default();
        let all = limits.worst_case_bytes();
        limits.rooms = 1;
        limits.subscriptions = 1;
        limits.queries = 1;
        limits.occupants = 100;
        let few = limits.worst_case_bytes();
        assert!(few < 64 * 1024 * 1024, "{few}");
        assert!(all > few);
        limits.held_bytes = usize::MAX;
        assert_eq!(limits.worst_case_bytes(), u64::MAX);
    }
}
