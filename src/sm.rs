//! Stream management (XEP-0198 v1.6.3, namespace `urn:xmpp:sm:3`): what each side
//! says that it handled, and a session that outlives its stream.
//!
//! Counts in both directions, asks and answers, and keeps what is needed to resume
//! a broken stream. The stanzas themselves, kept until they are acknowledged, are
//! with [`Outbound`](crate::cx::Outbound); when to resume is for the engine to
//! decide. Numbers are mod 2^32 on the wire (section 4) and do not wrap inside.
//!
//! It does not: reconnect to the server's preferred `location` (section 5, a MAY
//! that needs a host to follow it: it is kept for one, with a session that is saved); ask for a `max` of its own; inline anything
//! into SASL2 or Bind 2 (section 9).

#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::ToString as _;
use core::time::Duration;

use crate::cx::{Cx, Question};
use crate::event::PeerMisbehaved;
use crate::jid::Jid;
use crate::ns;
use crate::planted::{Bug, planted};
use crate::saved::SavedSession;
use crate::time::{Instant, Timer, TimerKey};
use crate::xml::{Element, Writer};

/// After so many stanzas without an acknowledgement one is asked for. Posts ask at once.
const ASK_AFTER: u64 = 16;

/// Where an answer acknowledges nothing although much is outstanding, it is asked again after
/// that long, or when there is more to ask about.
const STALLED_PAUSE: Duration = Duration::from_secs(1);

/// How long a broken stream is taken to be resumable where the server does not
/// say: servers' defaults are five and ten minutes.
const UNKNOWN_MAX: Duration = Duration::from_secs(300);
/// However long the server says, no longer than this: rooms wait for it.
const LONGEST_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Section 5: "The SM-ID SHOULD NOT be longer than 4000 bytes". One that is longer
/// is not kept, and the stream not resumed.
const ID_BYTES: usize = 4000;

/// So often in a row a stream may be resumed and break again without that the
/// server acknowledges anything of what is sent again: it may be that which breaks it.
const FRUITLESS: u8 = 3;

/// So often in a row a stream may end when the server was asked to resume the session, in place of
/// an answer: it may be that which it cannot do. Whose doing each end was is not asked, for a server
/// that dies of it looks like a network that breaks; which breaks anywhere, and so often in a row at
/// this point only by a rare chance.
const ASKED_IN_VAIN: u8 = 5;

/// The management of a session.
#[derive(Debug, Default)]
pub(crate) struct Management {
    state: State,
    /// The number of the first stanza that the peer has not acknowledged.
    acked: u64,
    /// The `h` that stands for `acked`.
    wire: u32,
    /// Stanzas of the peer that were handled, as `h` says it.
    handled: u32,
    /// By what the stream can be resumed.
    resumption: Option<Resumption>,
    /// An acknowledgement was asked for and has not come: the only one at a time.
    asked: bool,
    /// That request, until the transport has taken it.
    question: Question,
    /// The peer answers, and acknowledges nothing of what is too much.
    stalled: Option<Stalled>,
    /// Where our last `<a/>` ends in the stream.
    answered: u64,
    /// The peer asked again while that waits to be written.
    owes: bool,
    fruitless: u8,
    /// So often in a row a stream ended that was to resume the session, without an answer.
    asked_in_vain: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing is managed.
    #[default]
    Off,
    /// `<enable/>` was sent: what we send counts.
    Asked,
    /// `<enabled/>` came: what the peer sends counts as well.
    On,
    /// The stream broke, and may be resumed until then.
    Suspended(Instant),
}

/// Answers that acknowledge nothing.
#[derive(Clone, Copy, Debug)]
struct Stalled {
    /// When the first came.
    since: Instant,
    /// What had been sent when the last came.
    count: u64,
}

#[derive(Debug)]
struct Resumption {
    id: Box<str>,
    max: Duration,
    location: Option<Box<str>>,
}

/// What is asked of the server to resume a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resume<'a> {
    pub(crate) id: &'a str,
    pub(crate) h: u32,
}

impl Management {
    /// Asks for management of the stream just bound, in the same breath as the
    /// stanzas that follow. Section 4: "The counter for an entity's own sent
    /// stanzas is set to zero and started after sending either `<enable/>` or
    /// `<enabled/>`."
    pub(crate) fn enable(&mut self, cx: &mut Cx<'_>) {
        *self = Self {
            state: State::Asked,
            acked: cx.out.count(),
            ..Self::default()
        };
        cx.out.write(|w| {
            w.start("enable").attr("xmlns", ns::SM);
            w.attr("resume", "true").end();
        });
        cx.out.keep(cx.limits);
        // "Upon receiving the enable request, the server MUST reply".
        cx.arm(Timer::Ack, 0, cx.timing.request);
    }

    /// Takes an element of the management, on a stream that is up. Says whether
    /// the peer acknowledged something.
    pub(crate) fn on_element(
        &mut self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
    ) -> Result<bool, PeerMisbehaved> {
        match (element.name(), self.state) {
            ("enabled", State::Asked) => {
                self.state = State::On;
                self.resumption = Resumption::read(element);
                cx.disarm(Timer::Ack, 0);
                Ok(true)
            }
            // Section 6: "Stream management errors SHOULD be considered recoverable".
            ("failed", State::Asked) => {
                *self = Self::default();
                cx.disarm(Timer::Ack, 0);
                cx.out.keep_nothing();
                Ok(true)
            }
            ("a", State::On) => {
                let before = self.acked;
                self.asked = false;
                self.acknowledged(cx, count(element)?)?;
                if self.acked > before || !self.is_too_much(cx) {
                    self.stalled = None;
                    cx.disarm(Timer::Ack, 0);
                } else {
                    self.stall(cx);
                }
                Ok(true)
            }
            ("r", State::On) if planted(Bug::RequestUnanswered) => Ok(false),
            ("r", State::On) => {
                self.answer(cx);
                Ok(false)
            }
            // Out of place, and of no consequence: a request before anything is
            // counted, a second `<enabled/>`, which must not set counters back.
            _ => Ok(false),
        }
    }

    /// A stanza of the peer was handled. Section 4: the counter is "started after
    /// receiving either `<enable/>` or `<enabled/>`".
    pub(crate) const fn handled(&mut self) {
        if matches!(self.state, State::On) {
            self.handled = self.handled.wrapping_add(1);
        }
    }

    /// Asks for an acknowledgement, if it is time. There is never more than one
    /// request without an answer.
    pub(crate) fn ask_if_due(&mut self, cx: &mut Cx<'_>) {
        let due = cx.out.is_urgent() || self.is_too_much(cx);
        let is_news = |stalled: Stalled| cx.out.count() > stalled.count;
        if due && cx.out.count() > self.acked && self.stalled.is_none_or(is_news) {
            self.ask(cx);
        }
    }

    /// Whether so much is not acknowledged that it is asked for without anything urgent.
    fn is_too_much(&self, cx: &Cx<'_>) -> bool {
        let unacked = cx.out.count().saturating_sub(self.acked);
        unacked >= ASK_AFTER || unacked > 0 && cx.out.is_full()
    }

    /// The peer answered, and acknowledged nothing of what is too much. That is allowed, for it
    /// may be at work on it; to ask again at once would be answered likewise, for ever.
    fn stall(&mut self, cx: &mut Cx<'_>) {
        let since = self.stalled.map_or(cx.now, |stalled| stalled.since);
        self.stalled = Some(Stalled {
            since,
            count: cx.out.count(),
        });
        let left = cx.timing.request.saturating_sub(cx.now.since(since));
        cx.arm(Timer::Ack, 0, left.min(STALLED_PAUSE));
    }

    /// The time for an acknowledgement is over. Says whether it was only the pause before it is
    /// asked for again: not for longer than an answer may take.
    pub(crate) fn ask_again(&mut self, cx: &mut Cx<'_>) -> bool {
        let patient = |stalled: Stalled| cx.now.since(stalled.since) < cx.timing.request;
        self.stalled.is_some_and(patient) && self.ask(cx)
    }

    /// Asks for an acknowledgement, unless that was done already or nothing is
    /// managed; says whether it did. Any answer is a sign of life as well.
    pub(crate) fn ask(&mut self, cx: &mut Cx<'_>) -> bool {
        if self.state != State::On || self.asked {
            return false;
        }
        self.asked = true;
        cx.out.asked();
        cx.out.write(|w| {
            w.start("r").attr("xmlns", ns::SM).end();
        });
        self.question = Question::written(cx.out);
        cx.arm(Timer::Ack, 0, cx.timing.request);
        cx.arm(Timer::KeepaliveReply, 0, cx.timing.keepalive_reply);
        true
    }

    /// The transport took something, and with that our request maybe, or more of what is before it.
    fn question_on_its_way(&mut self, cx: &mut Cx<'_>) {
        if !self.question.moved(cx.out) {
            return;
        }
        for (timer, after) in [
            (Timer::Ack, cx.timing.request),
            (Timer::KeepaliveReply, cx.timing.keepalive_reply),
        ] {
            if cx.timers.is_armed(TimerKey::single(timer)) {
                cx.arm(timer, 0, after);
            }
        }
    }

    /// Answers a request. Section 4: "the recipient MUST acknowledge it by sending
    /// an `<a/>` element ... containing a value of 'h' that is equal to the number of
    /// stanzas handled". A peer that asks faster than it reads is answered once,
    /// when it has read the answer before.
    fn answer(&mut self, cx: &mut Cx<'_>) {
        if self.answered > cx.out.sent() {
            self.owes = true;
        } else {
            self.write_answer(cx);
        }
    }

    /// The transport took something: an answer that is owed may be due.
    pub(crate) fn written(&mut self, cx: &mut Cx<'_>) {
        self.question_on_its_way(cx);
        if self.owes && self.answered <= cx.out.sent() {
            self.owes = false;
            self.write_answer(cx);
        }
    }

    /// Says what was handled, unasked, if anything is managed. Section 4: it is
    /// "RECOMMENDED that initiating entities (usually clients) send an `<a/>`
    /// element right before they gracefully close the stream".
    pub(crate) fn take_leave(&mut self, cx: &mut Cx<'_>) {
        if self.state == State::On {
            self.write_answer(cx);
        }
    }

    fn write_answer(&mut self, cx: &mut Cx<'_>) {
        let h = self.handled.to_string();
        cx.out.write(|w| {
            w.start("a").attr("xmlns", ns::SM).attr("h", &h).end();
        });
        self.answered = cx.out.end();
    }

    /// The peer handled `h` stanzas.
    fn acknowledged(&mut self, cx: &mut Cx<'_>, h: u32) -> Result<(), PeerMisbehaved> {
        let number = self.number(h, cx.out.offered())?;
        if number > self.acked {
            self.fruitless = 0;
        }
        self.acked = number;
        self.wire = h;
        cx.out.handled(number);
        Ok(())
    }

    /// The number of the first stanza above `h`, of `sent` in all.
    ///
    /// Section 6: `h` "higher than the amount of stanzas that it was sent" ends the
    /// stream; so does one lower than before (by RFC 1982, since numbers wrap),
    /// which no order of acknowledgements explains.
    fn number(&self, h: u32, sent: u64) -> Result<u64, PeerMisbehaved> {
        let outstanding = sent.saturating_sub(self.acked);
        let ahead = h.wrapping_sub(self.wire);
        if u64::from(ahead) <= outstanding {
            return Ok(self.acked.saturating_add(u64::from(ahead)));
        }
        Err(if ahead >= 1 << 31 {
            PeerMisbehaved::HandledCountBackwards
        } else {
            let sent = u32::try_from(outstanding & u64::from(u32::MAX)).unwrap_or(u32::MAX);
            PeerMisbehaved::HandledCountTooHigh {
                h,
                sent: self.wire.wrapping_add(sent),
            }
        })
    }

    /// The number of the first stanza that the server has not said it handled; zero
    /// where it says nothing.
    pub(crate) const fn acked(&self) -> u64 {
        self.acked
    }

    /// Whether the server can resume the stream if it breaks, or did break.
    pub(crate) const fn resumable(&self) -> bool {
        self.resumption.is_some()
    }

    /// The stream broke. Says whether it can be resumed, in which case what is
    /// sent waits for the next stream, and until when.
    pub(crate) fn suspend(&mut self, cx: &mut Cx<'_>) -> Option<Instant> {
        if let State::Suspended(until) = self.state {
            return (!self.is_lost(cx)).then_some(until);
        }
        let resumption = self.resumption.as_ref()?;
        if self.state != State::On || self.fruitless >= FRUITLESS || !cx.out.keeps_from(self.acked)
        {
            return None;
        }
        let until = cx.now.plus(resumption.max);
        self.state = State::Suspended(until);
        self.asked = false;
        self.question = Question::default();
        self.stalled = None;
        self.owes = false;
        self.answered = 0;
        cx.out.park();
        Some(until)
    }

    /// A stream that was resumed is given up, for the server does not answer on it. If it
    /// acknowledged nothing of what was sent again, it is not resumed once more: Prosody 0.12
    /// goes on with the parser of the broken stream, and where that stands in the middle of
    /// a stanza, everything after is taken for a part of it.
    pub(crate) const fn unanswered(&mut self) {
        if self.fruitless > 0 {
            self.fruitless = FRUITLESS;
        }
    }

    /// The stream that was to resume the session ended without an answer.
    pub(crate) const fn left_without_answer(&mut self) {
        self.asked_in_vain = self.asked_in_vain.saturating_add(1);
    }

    /// What it takes to resume the stream in another process; `None` where the server
    /// cannot, or more is unacknowledged than is kept or than its text can hold.
    pub(crate) fn saved(&self, cx: &Cx<'_>, jid: &Jid, nick: &str) -> Option<SavedSession> {
        let resumption = self.resumption.as_ref()?;
        let lives = matches!(self.state, State::On | State::Suspended(_));
        if !lives || self.is_lost(cx) || self.fruitless >= FRUITLESS {
            return None;
        }
        let saved = SavedSession {
            jid: jid.clone(),
            nick: nick.into(),
            id: resumption.id.clone(),
            max: resumption.max,
            location: resumption.location.clone(),
            handled: self.handled,
            acked: self.wire,
            stanzas: cx.out.kept_from(self.acked)?,
        };
        saved.fits().then_some(saved)
    }

    /// Goes on with a session of another process, as one whose stream broke just now.
    /// Returns until when it can be resumed.
    pub(crate) fn restore(&mut self, cx: &mut Cx<'_>, saved: SavedSession) -> Instant {
        let until = cx.now.plus(saved.max.min(LONGEST_MAX));
        *self = Self {
            state: State::Suspended(until),
            acked: cx.out.count(),
            wire: saved.acked,
            handled: saved.handled,
            resumption: Some(Resumption {
                id: saved.id,
                max: saved.max.min(LONGEST_MAX),
                location: saved.location,
            }),
            ..Self::default()
        };
        cx.out.keep(cx.limits);
        cx.out.restore(saved.stanzas);
        until
    }

    pub(crate) const fn is_suspended(&self) -> bool {
        matches!(self.state, State::Suspended(_))
    }

    /// Whether a stream that broke can be resumed no more, at `cx.now`.
    pub(crate) fn is_lost(&self, cx: &Cx<'_>) -> bool {
        match self.state {
            State::Suspended(until) => {
                let lost = cx.now >= until || self.asked_in_vain >= ASKED_IN_VAIN;
                lost || !cx.out.keeps_from(self.acked)
            }
            _ => false,
        }
    }

    /// What to ask of the server on a new stream, if a broken one can be resumed.
    pub(crate) fn resume(&self) -> Option<Resume<'_>> {
        let resumption = self.resumption.as_ref().filter(|_| self.is_suspended())?;
        let wrong = u32::from(planted(Bug::HandledTooMany))
            .wrapping_sub(u32::from(planted(Bug::HandledTooFew)));
        Some(Resume {
            id: &resumption.id,
            h: self.handled.wrapping_add(wrong),
        })
    }

    /// The server resumed the stream, having handled `h` stanzas. Section 5: after
    /// `h` is taken as that of an `<a/>`, an entity "MUST re-send to the peer any
    /// stanzas that are still marked as unhandled".
    pub(crate) fn resumed(&mut self, cx: &mut Cx<'_>, h: u32) -> Result<(), PeerMisbehaved> {
        if !planted(Bug::ResumeSendsAll) {
            self.acknowledged(cx, h)?;
        }
        if planted(Bug::ResumeSendsNothing) {
            cx.out.handled(cx.out.count());
        }
        self.state = State::On;
        self.asked_in_vain = 0;
        if cx.out.count() > self.acked {
            self.fruitless = self.fruitless.saturating_add(1);
            cx.out.urge();
        }
        cx.out.unpark();
        Ok(())
    }

    /// The server does not resume the stream: from which number on no stanza was
    /// handled. Section 5: a `<failed/>` may name "the number of stanzas received
    /// before the timeout"; without it, it is those that no transport had whole.
    pub(crate) fn failed(&self, cx: &Cx<'_>, h: Option<u32>) -> Result<u64, PeerMisbehaved> {
        match h {
            Some(h) => self.number(h, cx.out.offered()),
            None => Ok(cx.out.whole()),
        }
    }

    /// The session is over, and with it what is kept for it.
    pub(crate) fn end(&mut self, cx: &mut Cx<'_>) {
        *self = Self::default();
        cx.disarm(Timer::Ack, 0);
        cx.disarm(Timer::Session, 0);
        cx.out.forget();
    }
}

impl Resumption {
    /// Section 5: the server "MUST include a 'resume' attribute set to "true" or
    /// "1" on the `<enabled/>` element and MUST include an 'id' attribute".
    fn read(enabled: Element<'_>) -> Option<Self> {
        enabled
            .attr("resume")
            .filter(|resume| matches!(*resume, "true" | "1"))?;
        let id = enabled
            .attr("id")
            .filter(|id| (1..=ID_BYTES).contains(&id.len()))?;
        let max = match enabled.attr("max").filter(|max| is_number(max)) {
            // More than a number can hold is for ever.
            Some(max) => Duration::from_secs(max.parse().unwrap_or(u64::MAX)),
            None => UNKNOWN_MAX,
        };
        let location = enabled
            .attr("location")
            .filter(|location| (1..=ID_BYTES).contains(&location.len()));
        (!max.is_zero()).then(|| Self {
            id: id.into(),
            max: max.min(LONGEST_MAX),
            location: location.map(Into::into),
        })
    }
}

/// Asks to resume a stream, in place of binding a resource.
pub(crate) fn write_resume(w: &mut Writer<'_>, resume: Resume<'_>) {
    w.start("resume")
        .attr("xmlns", ns::SM)
        .attr("h", &resume.h.to_string())
        .attr("previd", resume.id)
        .end();
}

/// The application's part of the stream error of section 6.
pub(crate) fn write_too_high(w: &mut Writer<'_>, h: u32, sent: u32) {
    w.start("handled-count-too-high")
        .attr("xmlns", ns::SM)
        .attr("h", &h.to_string())
        .attr("send-count", &sent.to_string())
        .end();
}

/// The `h` of an element: an unsignedInt, of digits only.
pub(crate) fn count(element: Element<'_>) -> Result<u32, PeerMisbehaved> {
    element
        .attr("h")
        .filter(|h| is_number(h))
        .and_then(|h| h.parse().ok())
        .ok_or(PeerMisbehaved::MalformedHandledCount)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}
