//! The oracle: it knows what is true, sees every call, event and byte, and says at once
//! which rule is broken.
//!
//! | rule | what holds | how it is checked |
//! |---|---|---|
//! | S1 | nothing is invented | every message given is one that the room accepted, word for word; `own` only on what this process posted |
//! | S2 | nothing twice | by subscription and by fetch |
//! | S3 | in order | in the order in which the room accepted, but for what has no place in the archive; what is said to be late comes after what follows it, unless what the reader stands on is gone, or a gap was told there |
//! | S4 | no silent gap | what is passed by is not in the archive (any more), or a gap was told after it was said; a gap is told only for what there truly was: for each reason that is what the world did, and what the host read of it, by the table in `verdicts`. Judged at once and for each host: only what was said before a host came in, or began to follow, and was shown by the archive after that, may come late. It has to be said to be late, and has come before a reader has stood at the end for a minute, however the host fares afterwards (where no query was made to fail) |
//! | S5 | honest cursors | a subscription from a kept cursor gives exactly what follows; a cursor told is right behind what was given; a subscription or fetch from a cursor that the archive had let go of says so, and only then |
//! | S6 | posted at most once | the room accepts a text no more often than it was posted, copies that a crash took out of the archive, or that went with their room, not counted |
//! | S7 | true outcomes | `Committed` is there, at that place; `Rejected` and `NotSent` are not, then or later |
//! | S8 | one outcome | of each post and fetch, one `Offline` for each transport, nothing after `Closed` or the end of a room |
//! | S9 | nothing in clear, nothing early | from the bytes written: only STARTTLS before TLS, no stanza before the session is bound |
//! | S10 | no login without the server's | `Online` only after a login that succeeded and was bound, in the bytes read; and not after one that [was noted](Note::FalseProof) to have been let in by somebody who does not know the password |
//! | S11 | no errors for messages | nor for presences; each request, by its id and whose it is, is answered once, within half a minute, over the link that it came by or one that resumes it |
//! | S12 | answers only from whom was asked | no event has the mark anywhere that the texts of liars have ([`Note::Forged`]) |
//! | S13 | bounds | events and bytes of one instant, messages of a fetch, and what the engine [holds](crate::Engine::held_bytes), looked at after each instant in which it was driven |
//! | S14 | no livelock | by [`World`](crate::sim::World), in rounds at one instant; and no [`Internal`](crate::OfflineCause::Internal) mistake is told |
//! | S15, S16 | chunking and determinism | not here: by running twice and comparing [`Report::hash`](crate::sim::Report::hash) |
//! | S17 | stream management | `h` of the host against what it had read; whoever is asked for it says it, within half a minute, and never goes back; what is resent is what was not acknowledged, all of it, in its order, byte by byte, before anything else and within half a minute |
//! | S18 | no wall clock | the engine is given none: there is nothing to check |
//! | S19 | no secrets | in all of every event, and in the bytes written, where SASL has them in base64 only |
//! | S20 | one join at a time | from the bytes written, and `Joined` only when out |
//! | L1 | back | everybody online and in all rooms at the end, but for who waits, a minute at most, or ten where the server is to be left in peace; and at once: nothing is given up that may pass, and nobody is said to be kicked, banned, no member or out of a destroyed room to whom that was not done |
//! | L2, L3 | all is delivered | what was said after the heal, and before |
//! | L4 | posts resolve | by their deadline, heal or not, and before a process dies |
//! | L5 | what is for good stops | no attempt after `Retry::Never`, and that after whatever stays, of a stream or of a room |
//! | L6 | bounded attempts | [`ATTEMPTS`] a minute, and [`Limits::attempts_per_hour`](crate::Limits::attempts_per_hour) by default, by the host's clock, but for those that its bot asked for; in `requests`, how often it asks one room to let it in, and whether it is in |
//! | L7 | no busy loop | [`STANZAS`] written by a host over one link, and how often it asks an archive for the same page |
//! | L8 | a slow reader loses nothing | L2 and L3, with `ignore` and portions of credit |
//! | L9 | closing ends | whoever was told to close is closed [`CLOSING`] later |
//!
//! What may pass and what stays (L1, L5) is the oracle's own table, in `verdicts`; a
//! room that is over by it is judged no further. It takes limits and times to be those by
//! default, but for [what is held back](Oracle::holding) and
//! [remembered](Oracle::remembering).
//!
//! What befalls a host excuses what it does late only while it lasts. A freeze, or a bot
//! that ignores its engine, puts off what was due then (L4, L9, S11) to its end; a timer
//! that goes off late puts off by as much what was due from when it was to go off until it
//! did, and what is due while it has not, since nobody tells which it will be; a throttled
//! link holds up answers until it has let go of what was under way, and one that is written
//! little at a time for as long as its fill takes to be written so. Who has to have
//! compared with the archive (S4) has had to since he was caught up last: that is judged
//! when something befalls him, and again once he is caught up after it has ended. It has
//! not ended while a query of an archive is still to be failed or spoilt: that waits for its
//! query, which may come after the heal.
//!
//! L1 to L3 are judged at the end, if all was well for at least [`RECOVERY`]. The
//! faults that the client is known not to bear are
//! [`FaultKinds::beyond_the_client`](crate::sim::plan::FaultKinds::beyond_the_client):
//! they are kept out of plans rather than out of the rules.
//!
//! Texts tell posts apart: post no text twice to a room unless you mean two messages.

mod delivered;
mod evidence;
mod fetching;
mod found;
mod host;
mod reading;
mod requests;
mod scan;
#[cfg(test)]
mod tests;
mod trouble;
mod truth;
mod verdicts;
mod wire;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::sim::happening::{Ending, Happening, HostId, LinkId, Side, Violation, Watch};
use crate::sim::plan::{Fault, FaultKind};
use crate::sim::server::{Note, Operation};
use crate::{Instant, Limits};
use found::Found;
use host::Host;
use trouble::Trouble;
use truth::Truth;
use wire::Wire;

/// How long it may take until all is well with the clients after all is well with the
/// world: a dead link is noticed within 45 s, the next attempt comes within 60 s, may
/// find the server's old session in its way, and then the rooms within 30 s.
pub const RECOVERY: Duration = Duration::from_secs(200);
/// What was said so long before the end has to be delivered.
pub const DELIVERY: Duration = Duration::from_secs(60);
/// How long a fetch may take, where all is well, with what it waits for.
const FETCHED: Duration = Duration::from_secs(300);
/// How long closing may take: two patient waits of the engine, and the way.
pub const CLOSING: Duration = Duration::from_secs(15);
/// How long a request of the server may wait for its answer.
const ANSWER: Duration = Duration::from_secs(30);
/// Attempts to connect in a minute, without being asked.
pub const ATTEMPTS: usize = 40;
/// Stanzas a host writes over one link.
pub const STANZAS: u32 = 20_000;
/// Events a host is told at one instant; 58 was the most in 600 worlds.
const TOLD_AT_ONCE: u32 = 256;
/// Bytes a host writes at one instant; 27 KB was the most in 600 worlds.
const BYTES_AT_ONCE: usize = 128 * 1024;

/// Bytes an engine holds. Its [`Limits`] allow gigabytes, most of it for rooms
/// and pages that no plan has; less than half of this was the most in 600 worlds, so that
/// what is not let go of gets there.
const HELD: u64 = 512 * 1024;

/// Watches a world and holds it to the rules.
///
/// ```
/// use parley_xmpp::sim::{Oracle, Watch};
///
/// let mut oracle = Oracle::new();
/// // ... oracle.see(at, &happening) for all that happens, then:
/// oracle.judge(parley_xmpp::Instant::ZERO);
/// assert!(oracle.take_violations().is_empty());
/// ```
#[derive(Debug)]
pub struct Oracle {
    tls: bool,
    truth: Truth,
    hosts: BTreeMap<HostId, Host>,
    links: BTreeMap<LinkId, Wire>,
    healed: Option<Instant>,
    found: Found,
}

impl Default for Oracle {
    fn default() -> Self {
        Self::new()
    }
}

impl Oracle {
    /// An oracle of a world in which TLS is required.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tls: true,
            truth: Truth::default(),
            hosts: BTreeMap::new(),
            links: BTreeMap::new(),
            healed: None,
            found: Found {
                held: Limits::default().held_messages,
                remembered: Limits::default().remembered_ids,
                ..Found::default()
            },
        }
    }

    /// An oracle of a world without TLS.
    #[must_use]
    pub fn without_tls() -> Self {
        Self {
            tls: false,
            ..Self::new()
        }
    }

    /// An oracle of hosts that [hold back](Limits::held_messages) so many messages, where
    /// that is not as it is by default.
    #[must_use]
    pub const fn holding(mut self, messages: usize) -> Self {
        self.found.held = messages;
        self
    }

    /// An oracle of hosts that [remember](Limits::remembered_ids) so many archive ids,
    /// where that is not as it is by default.
    #[must_use]
    pub const fn remembering(mut self, ids: usize) -> Self {
        self.found.remembered = ids;
        self
    }

    /// Judges what can only be judged at the end.
    pub fn judge(&mut self, end: Instant) {
        self.found.now = end;
        self.pass();
        let found = &mut self.found;
        for (id, host) in &mut self.hosts {
            let name = format!("host {} ({})", id.0, host.account);
            if !host.alive {
                continue;
            }
            host.disturb(None, &self.truth, found);
            host.settle_transports(found);
            host.overdue(found);
            if host.closing.is_some() {
                continue;
            }
            let Some(healed) = self.healed.filter(|h| end.since(*h) >= RECOVERY) else {
                continue;
            };
            let waits = host.next_attempt.is_some_and(|at| end.since(at) < DELIVERY);
            if !host.rests && !host.locked_out && !waits {
                converged(host, &name, &self.truth, healed, found);
            }
        }
    }

    /// What was broken, in the order in which it was noticed; what is taken is gone.
    pub fn take_violations(&mut self) -> Vec<(Instant, Violation)> {
        self.found.shown = 0;
        core::mem::take(&mut self.found.violations)
    }

    /// How often which path was taken.
    #[must_use]
    pub const fn tally(&self) -> &BTreeMap<&'static str, u64> {
        &self.found.tally
    }

    /// What was found since this was asked last.
    pub(in crate::sim) fn fresh(&mut self) -> Vec<(Instant, Violation)> {
        let found = &mut self.found;
        let fresh = found.violations.get(found.shown..).unwrap_or_default();
        if fresh.is_empty() {
            return Vec::new();
        }
        let fresh = fresh.to_vec();
        found.shown = found.violations.len();
        fresh
    }

    /// Time has passed: judges what had to be done by now (L9, S11).
    fn pass(&mut self) {
        let found = &mut self.found;
        for (id, host) in self.hosts.iter_mut().filter(|(_, host)| host.alive) {
            let name = || format!("host {} ({})", id.0, host.account);
            let wire = host.link.and_then(|link| self.links.get_mut(&link));
            if let Some(wire) = wire.filter(|wire| !wire.talk.ended) {
                let trouble = &host.trouble;
                let now = found.now;
                let late = |since: Instant| now > trouble.excused_over_link(since, ANSWER);
                if wire.talk.leaves_unanswered(late) {
                    let what = format!("{} leaves a request without an answer", name());
                    found.violate("S11", what);
                }
                if wire.talk.leaves_unacknowledged(late) {
                    let what = format!("{} does not acknowledge what it is asked for", name());
                    found.violate("S17", what);
                }
                if wire.talk.leaves_unsent(late) {
                    let what = format!("{} does not send again what was not handled", name());
                    found.violate("S17", what);
                }
            }
            host.close_in_time(found);
        }
    }

    fn noted(&mut self, note: &Note) {
        let found = &mut self.found;
        if let Some((rule, what)) = self.truth.note(found.now, note) {
            let body = match note {
                Note::Accepted { body, .. } => body.as_str(),
                _ => "",
            };
            found.violate(rule, format!("{body:?} {what}"));
        }
        match note {
            Note::Session { resumed: true, .. } => found.count("session resumed"),
            Note::StreamError { condition, .. } => found.count(condition.as_str()),
            Note::RoomGone { .. } => found.count("room gone"),
            Note::Left { told: false, .. } => found.count("put out without a word"),
            Note::Unarchived { .. } => found.count("unarchived"),
            Note::Accepted {
                archive_id: None, ..
            } => found.count("not archived"),
            Note::Migrated { .. } => found.count("archive taken over"),
            Note::Unstable { .. } => found.count("page may change"),
            Note::Overtaken { .. } => found.count("overtaken when a stream was resumed"),
            Note::Tampered { stanzas, .. } => self.truth.tampered(stanzas),
            Note::Garbled { .. } => found.count("page garbled"),
            Note::Forged { .. } => found.count("lied to"),
            Note::FalseProof { account, .. } => {
                found.count("let in without a proof");
                // It answers what it read just now: over the link of which host, unless
                // several of the account wrote at that instant.
                let now = found.now;
                let mut hosts = self
                    .hosts
                    .values_mut()
                    .filter(|host| host.account == *account && host.heard_at == Some(now));
                if let (Some(host), None) = (hosts.next(), hosts.next()) {
                    host.is_deceived();
                }
            }
            Note::Trusted { account, .. } => {
                let what = format!("{account} goes on with a login without a valid signature");
                found.violate("S10", what);
            }
            _ => {}
        }
    }

    fn fault(&mut self, fault: &Fault) {
        self.found.count(fault.kind().name());
        // What came before is judged before it is excused.
        if let Fault::Server(operation) = fault {
            if Truth::is_lied_about_by(operation) {
                for host in self.hosts.values_mut() {
                    host.disturb(None, &self.truth, &mut self.found);
                }
            }
            self.truth.operated(self.found.now, operation);
        }
        if let Some(id) = fault.host() {
            let host = self.hosts.entry(id).or_default();
            if Trouble::is_in(fault) {
                host.disturb(None, &self.truth, &mut self.found);
            }
            host.trouble.befalls(fault, self.found.now);
            if matches!(fault, Fault::Leap { .. }) {
                self.truth.leapt(&host.account);
            }
        }
        if let Fault::Server(Operation::ChangePassword { account, password }) = fault {
            let right = *password == crate::sim::run::password(account);
            for host in self.hosts.values_mut().filter(|h| h.account == *account) {
                host.locked_out = !right;
            }
        }
        if matches!(fault.kind(), FaultKind::Restart | FaultKind::Restore) {
            self.found.count("killed");
        }
    }

    fn written(&mut self, link: LinkId, bytes: &[u8]) {
        let Some(wire) = self.links.get_mut(&link) else {
            return;
        };
        let Some(host) = self.hosts.get_mut(&wire.host) else {
            return;
        };
        host.works(0, bytes.len(), &mut self.found);
        let before = wire.talk.stanzas;
        wire.talk.closing |= host.closing.is_some();
        host.seen.runs_ahead(host.trouble.ahead);
        let kept = (&mut host.sm, &mut host.seen);
        wire.wrote(bytes, self.tls, kept, &mut self.found);
        for talked in core::mem::take(&mut wire.talk.talked) {
            host.talked(talked, &mut self.found);
        }
        if wire.talk.stanzas >= STANZAS && before < STANZAS {
            let what = format!("{STANZAS} stanzas written over one link");
            self.found.violate("L7", what);
        }
    }

    fn read(&mut self, link: LinkId, bytes: &[u8]) {
        let Some(wire) = self.links.get_mut(&link) else {
            return;
        };
        let Some(host) = self.hosts.get_mut(&wire.host) else {
            return;
        };
        host.seen.runs_ahead(host.trouble.ahead);
        let learnt = wire.heard(bytes, (&mut host.sm, &mut host.seen), &mut self.found);
        host.learns(learnt);
        for talked in core::mem::take(&mut wire.talk.talked) {
            host.talked(talked, &mut self.found);
        }
        wire.talk.date(self.found.now);
    }
}

/// So long before, or the beginning of time.
fn earlier(at: Instant, by: Duration) -> Instant {
    let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
    Instant::from_micros(at.as_micros().saturating_sub(by))
}

/// Judges whether a host is where it wants to be (L1 to L3).
fn converged(host: &Host, name: &str, truth: &Truth, healed: Instant, found: &mut Found) {
    let end = found.now;
    if !host.online {
        return found.violate("L1", format!("{name} is not online"));
    }
    for room in host.rooms.values() {
        if !room.joined && !room.dead && end.since(room.asked) > DELIVERY {
            found.violate("L1", format!("{name} is not in {}", room.name));
        }
    }
    host.fetched(FETCHED, found);
    // Who is not let in, for its nick is taken, cannot follow either.
    let is_in = |room: usize| host.rooms.values().any(|r| r.joined && r.truth == room);
    let follows = host.follows.values();
    for follow in follows.filter(|follow| !follow.over && is_in(follow.room)) {
        let Some(room) = truth.rooms.get(follow.room) else {
            continue;
        };
        found.count("followed to the end");
        let Some(next) = follow.next else {
            if follow.caught_up == 0 {
                found.violate("L3", format!("{name} never learnt where it stands"));
            }
            continue;
        };
        let late = |place: &usize| {
            follow.misses(room, *place)
                && room
                    .items
                    .get(*place)
                    .is_some_and(|item| end.since(item.said) > DELIVERY)
        };
        let owed = follow.owed.keys().copied();
        if let Some(place) = owed.chain(next..room.items.len()).find(late) {
            let item = room.items.get(place);
            let (said, body) = item.map_or((end, ""), |item| (item.said, item.body.as_str()));
            let rule = if said >= healed { "L2" } else { "L3" };
            let place = format!("{place} of {}", room.items.len());
            found.violate(
                rule,
                format!("{name} was never given {body:?} ({place}, {said:?})"),
            );
        }
    }
}

impl Watch for Oracle {
    fn see(&mut self, at: Instant, happening: &Happening<'_>) {
        if core::mem::replace(&mut self.found.now, at) != at {
            self.pass();
        }
        match happening {
            Happening::Started { host, account } => {
                let host = self.hosts.entry(*host).or_default();
                host.started(account, &mut self.found);
            }
            Happening::Died { host } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.disturb(None, &self.truth, &mut self.found);
                    host.overdue(&mut self.found);
                    host.alive = false;
                }
            }
            Happening::Opening { link, host } => {
                self.links.insert(*link, Wire::new(*host));
                if let Some(host) = self.hosts.get_mut(host) {
                    let old = host.link.replace(*link);
                    host.cut = false;
                    if let Some(old) = old.and_then(|old| self.links.remove(&old)) {
                        host.sm.keep(old.talk);
                    }
                    host.opening(*link, &mut self.found);
                }
            }
            Happening::Protected { link } => {
                if let Some(wire) = self.links.get_mut(link) {
                    wire.protect();
                }
            }
            Happening::Written { link, by, bytes } if *by == Side::Host => {
                self.written(*link, bytes);
            }
            Happening::Read { link, by, bytes } if *by == Side::Host => self.read(*link, bytes),
            Happening::Read { link, .. } => {
                let host = self.links.get(link).map(|wire| wire.host);
                // Over a link that it gave up, it may be heard all the same.
                if let Some(host) = host.and_then(|host| self.hosts.get_mut(&host))
                    && host.link == Some(*link)
                {
                    host.heard_at = Some(at);
                }
            }
            Happening::Broken { link, how } => {
                self.found.count(match how {
                    Ending::Fin => "cut: fin",
                    Ending::Reset => "cut: reset",
                    Ending::Silence => "cut: silence",
                    Ending::Truncation => "cut: truncation",
                    Ending::Alert => "cut: alert",
                    Ending::HalfOpen => "cut: half-open",
                });
                let host = self.links.get(link).map(|wire| wire.host);
                if let Some(host) = host.and_then(|host| self.hosts.get_mut(&host))
                    && host.link == Some(*link)
                {
                    host.cut_off(&self.truth, &mut self.found);
                }
            }
            Happening::Ended { link, at, .. } => {
                if let Some(wire) = self.links.get_mut(link)
                    && *at == Side::Host
                {
                    wire.talk.ended = true;
                }
            }
            Happening::Asked { host, request } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.asked(request, &mut self.truth, &mut self.found);
                }
            }
            Happening::Told { host, event } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.works(1, 0, &mut self.found);
                    host.told(event, &mut self.truth, &mut self.found);
                }
            }
            Happening::Held {
                host,
                bytes,
                most,
                reads,
            } => {
                if !reads {
                    self.found.count("reading stopped");
                }
                if *bytes > (*most).min(HELD) {
                    let what = format!("host {} holds {bytes} bytes", host.0);
                    self.found.violate("S13", what);
                }
            }
            Happening::Noted(note) => self.noted(note),
            Happening::Fault(fault) => self.fault(fault),
            Happening::Untimely {
                host,
                early: false,
                by,
                ..
            } => {
                if let Some(host) = self.hosts.get_mut(host) {
                    host.trouble.untimely(*by, at);
                }
            }
            Happening::Healed => {
                self.healed = Some(at);
                self.truth.healed(at);
                for host in self.hosts.values_mut() {
                    host.trouble.healed(at);
                }
            }
            Happening::Violated(violation) => {
                let Violation { rule, detail } = violation;
                self.found.violate(rule, String::from(detail));
                self.found.shown = self.found.violations.len();
            }
            _ => {}
        }
    }
}
