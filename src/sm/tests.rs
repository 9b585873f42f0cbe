//! The counters, from the inside: near the wrap above all.

use super::*;
use crate::cx::{EventQueue, Outbound, Requests};
use crate::ids::{IdSource, Seed};
use crate::limits::{Limits, Timing, XmlLimits};
use crate::time::Timers;
use crate::xml::{Frame, Framer};
use alloc::format;
use alloc::string::String;
use proptest::prelude::*;

/// One end of a stream.
struct End {
    out: Outbound,
    timers: Timers,
    ids: IdSource,
    requests: Requests,
    events: EventQueue,
    limits: Limits,
    timing: Timing,
    management: Management,
    now: Instant,
}

impl End {
    /// The stream is managed; both sides have counted so far already.
    fn counting_from(sent: u32, handled: u32) -> Self {
        let mut end = Self {
            out: Outbound::default(),
            timers: Timers::default(),
            ids: IdSource::new(Seed::new([1; 32])),
            requests: Requests::default(),
            events: EventQueue::default(),
            limits: Limits::default(),
            timing: Timing::default(),
            management: Management::default(),
            now: Instant::ZERO,
        };
        end.with(|management, cx| management.enable(cx));
        let enabled = "<enabled xmlns='urn:xmpp:sm:3' id='a' resume='true' max='60'/>";
        assert_eq!(end.hear(enabled), Ok(true));
        end.management.wire = sent;
        end.management.handled = handled;
        end.write_out();
        end
    }

    fn with<T>(&mut self, f: impl FnOnce(&mut Management, &mut Cx<'_>) -> T) -> T {
        let mut cx = Cx {
            now: self.now,
            out: &mut self.out,
            events: &mut self.events,
            timers: &mut self.timers,
            ids: &mut self.ids,
            requests: &mut self.requests,
            limits: &self.limits,
            timing: &self.timing,
        };
        f(&mut self.management, &mut cx)
    }

    fn hear(&mut self, text: &str) -> Result<bool, PeerMisbehaved> {
        let mut framer = Framer::new(XmlLimits::default());
        let header = "<stream:stream xmlns='jabber:client' xmlns:stream=\
                      'http://etherx.jabber.org/streams' version='1.0'>";
        let (n, frame) = framer.push(header.as_bytes());
        assert!(n == header.len() && matches!(frame, Some(Ok(Frame::Open(_)))));
        match framer.push(text.as_bytes()).1 {
            Some(Ok(Frame::Stanza(element))) => self.with(|m, cx| m.on_element(cx, element)),
            other => panic!("{other:?}"),
        }
    }

    fn ack(&mut self, h: u32) -> Result<bool, PeerMisbehaved> {
        self.hear(&format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"))
    }

    fn send(&mut self, n: u32) {
        for _ in 0..n {
            self.out.stanza(|w| {
                w.start("message").end();
            });
        }
    }

    fn write_out(&mut self) -> String {
        let text = String::from_utf8(self.out.waiting().to_vec()).unwrap();
        self.out.advance(text.len());
        text
    }
}

#[test]
fn sm4_what_we_sent_wraps() {
    let mut end = End::counting_from(u32::MAX - 2, 0);
    end.send(6);
    assert_eq!(end.ack(u32::MAX - 2), Ok(true));
    assert_eq!(end.ack(u32::MAX), Ok(true));
    let too_high = |h| Err(PeerMisbehaved::HandledCountTooHigh { h, sent: 3 });
    assert_eq!(end.ack(4), too_high(4));
    assert_eq!(
        end.ack(u32::MAX - 1),
        Err(PeerMisbehaved::HandledCountBackwards)
    );
    assert_eq!(end.ack(0), Ok(true));
    assert_eq!(end.ack(3), Ok(true));
    assert_eq!(end.ack(2), Err(PeerMisbehaved::HandledCountBackwards));
    assert_eq!(end.ack(4), too_high(4));
}

#[test]
fn sm4_what_we_handled_wraps() {
    let mut end = End::counting_from(0, u32::MAX);
    let ask = "<r xmlns='urn:xmpp:sm:3'/>";
    assert_eq!(end.hear(ask), Ok(false));
    assert_eq!(end.write_out(), "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>");
    end.management.handled();
    assert_eq!(end.hear(ask), Ok(false));
    assert_eq!(end.write_out(), "<a xmlns='urn:xmpp:sm:3' h='0'/>");
    assert!(end.with(|m, cx| m.suspend(cx)).is_some());
    assert_eq!(end.management.resume().unwrap().h, 0);
}

#[test]
fn sm4_a_resumption_over_the_wrap_sends_the_rest_again() {
    let mut end = End::counting_from(u32::MAX, 0);
    end.send(3);
    assert!(end.with(|m, cx| m.suspend(cx)).is_some());
    end.out.reset();
    // While there is no stream it only waits.
    end.send(1);
    assert_eq!(end.write_out(), "");
    assert_eq!(end.with(|m, cx| m.failed(cx, Some(0))), Ok(1));
    assert_eq!(end.with(|m, cx| m.failed(cx, None)), Ok(0));
    assert_eq!(end.with(|m, cx| m.resumed(cx, 1)), Ok(()));
    assert_eq!(end.write_out(), "<message/>".repeat(2));
    assert_eq!(end.out.whole(), 4);
    assert_eq!(end.ack(3), Ok(true));
    assert!(!end.out.keeps_from(3) && end.out.keeps_from(4));
}

/// Section 5: the server keeps the session for `max` seconds, here 60.
#[test]
fn sm12_a_stream_can_be_resumed_until_its_time_is_up() {
    let mut end = End::counting_from(0, 0);
    end.send(1);
    let until = Instant::ZERO.plus(Duration::from_secs(60));
    assert_eq!(end.with(|m, cx| m.suspend(cx)), Some(until));
    // The attempts that fail meanwhile do not prolong it.
    end.now = Instant::from_micros(until.as_micros() - 1);
    assert!(!end.with(|m, cx| m.is_lost(cx)));
    assert_eq!(end.with(|m, cx| m.suspend(cx)), Some(until));
    end.now = until;
    assert!(end.with(|m, cx| m.is_lost(cx)));
    assert_eq!(end.with(|m, cx| m.suspend(cx)), None);
}

/// Section 5: what was not handled MUST be sent again; where that is not there any more, there
/// is nothing to resume, though there be time.
#[test]
fn sm13_a_stream_of_which_too_much_was_kept_is_lost() {
    let mut end = End::counting_from(0, 0);
    end.send(1);
    assert!(end.with(|m, cx| m.suspend(cx)).is_some());
    let most = u32::try_from(end.limits.unacked_stanzas).unwrap();
    end.send(2 * most);
    assert!(end.with(|m, cx| m.is_lost(cx)));
    assert_eq!(end.with(|m, cx| m.suspend(cx)), None);
}

/// Only what was sent again can be what the server chokes on.
#[test]
fn a_resumed_stream_without_an_answer_is_resumed_again_where_nothing_was_sent_on_it() {
    for (sent, resumable) in [(0, true), (1, false)] {
        let mut end = End::counting_from(0, 0);
        end.send(sent);
        assert!(end.with(|m, cx| m.suspend(cx)).is_some());
        end.out.reset();
        assert_eq!(end.with(|m, cx| m.resumed(cx, 0)), Ok(()));
        end.management.unanswered();
        assert_eq!(end.with(|m, cx| m.suspend(cx)).is_some(), resumable);
    }
}

/// A question is for what is unacknowledged; there may be nothing of that any more.
#[test]
fn nothing_is_asked_where_all_is_acknowledged() {
    let mut end = End::counting_from(0, 0);
    end.send(1);
    end.out.urge();
    end.with(|m, cx| m.ask_if_due(cx));
    assert!(end.write_out().ends_with("<r xmlns='urn:xmpp:sm:3'/>"));
    end.send(1);
    end.out.urge();
    assert_eq!(end.ack(2), Ok(true));
    end.with(|m, cx| m.ask_if_due(cx));
    assert_eq!(end.write_out(), "<message/>");
}

fn us() -> Jid {
    Jid::parse("ada@parley.local/here").unwrap()
}

/// Section 5: `h` is "the sequence number of the last handled stanza", of the whole session,
/// whichever process counts.
#[test]
fn another_process_counts_on() {
    let mut end = End::counting_from(5, 7);
    end.send(2);
    assert_eq!(end.ack(6), Ok(true));
    let saved = end.with(|m, cx| m.saved(cx, &us(), "ada")).unwrap();
    let mut other = End::counting_from(0, 0);
    other.out = Outbound::default();
    other.with(|m, cx| m.restore(cx, saved));
    assert_eq!(other.management.resume().unwrap().h, 7);
    assert_eq!(
        other.with(|m, cx| m.failed(cx, Some(8))),
        Err(PeerMisbehaved::HandledCountTooHigh { h: 8, sent: 7 })
    );
    assert_eq!(other.with(|m, cx| m.resumed(cx, 6)), Ok(()));
    assert_eq!(other.write_out(), "<message/>");
}

/// What this process would not resume is not handed to another.
#[test]
fn what_cannot_be_resumed_is_not_saved() {
    let saved = |end: &mut End| end.with(|m, cx| m.saved(cx, &us(), "ada")).is_some();
    let mut end = End::counting_from(0, 0);
    end.send(1);
    assert!(saved(&mut end));
    assert!(end.with(|m, cx| m.suspend(cx)).is_some());
    assert!(saved(&mut end));
    end.now = Instant::ZERO.plus(Duration::from_secs(60));
    assert!(!saved(&mut end), "its time is up");
    end.now = Instant::ZERO;
    end.management.fruitless = FRUITLESS;
    assert!(!saved(&mut end), "it breaks each time");
    end.management.fruitless = 0;
    end.management.state = State::Asked;
    assert!(!saved(&mut end), "the server has not agreed");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// As one who counts without an end and writes down the lowest 32 bits.
    #[test]
    fn the_counters_are_those_of_a_model(
        start in prop_oneof![Just(0_u32), u32::MAX - 40..=u32::MAX, any::<u32>()],
        ops in prop::collection::vec((0..3_u8, 0..50_u32), 0..40),
    ) {
        let mut end = End::counting_from(start, start);
        let (mut sent, mut acked, mut handled) = (0_u32, 0_u32, 0_u32);
        let wire = |count: u32| start.wrapping_add(count);
        for (op, n) in ops {
            match op {
                0 => {
                    end.send(n);
                    sent += n;
                }
                1 => {
                    (0..n).for_each(|_| end.management.handled());
                    handled += n;
                    end.write_out();
                    prop_assert_eq!(end.hear("<r xmlns='urn:xmpp:sm:3'/>"), Ok(false));
                    let h = wire(handled);
                    prop_assert_eq!(end.write_out(), format!("<a xmlns='urn:xmpp:sm:3' h='{h}'/>"));
                }
                _ => {
                    // Right by a little, or wrong by a little, in both directions.
                    let claim = (acked + n).wrapping_sub(10);
                    let expected = if claim.wrapping_sub(acked) <= sent - acked {
                        acked = claim;
                        Ok(true)
                    } else if n < 10 {
                        Err(PeerMisbehaved::HandledCountBackwards)
                    } else {
                        let (h, sent) = (wire(claim), wire(sent));
                        Err(PeerMisbehaved::HandledCountTooHigh { h, sent })
                    };
                    prop_assert_eq!(end.ack(wire(claim)), expected);
                }
            }
        }
    }
}
