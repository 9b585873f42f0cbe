//! What has to be tried again or to stop, and by when: rules L1 to L9.

use super::*;
use crate::sim::server::Removal;
use crate::{
    Condition, ErrorType, JoinFailure, LeaveCause, PeerIncompatible, PeerMisbehaved, RoomEvent,
    StanzaError, StreamCondition,
};

#[test]
fn l1_to_l4_at_the_end() {
    let mut hand = from_beginning();
    hand.see(&Happening::Healed);
    let end = hand.at.plus(Duration::from_secs(900));
    hand.oracle.judge(end);
    assert_eq!(hand.rules(), ["L4", "L4", "L4", "L1"]);
}

#[test]
fn l5_a_password_that_was_right_is_tried_once_more() {
    let again = Retry::At(Instant::from_millis(60_000));
    // Never right: not again.
    let mut hand = from_beginning();
    hand.open(0);
    hand.refuse(again);
    assert_eq!(hand.rules(), ["L5"]);
    // Right once: once more, and no more than that.
    let mut hand = from_beginning();
    let right = Learnt {
        logged_in: true,
        bound: false,
    };
    hand.open(0);
    hand.oracle.hosts.get_mut(&HOST).unwrap().learns(right);
    hand.tell(&Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: again,
    });
    hand.open(1);
    hand.refuse(again);
    // Right again, on a link that breaks before there is a session (seed 10967).
    hand.open(2);
    hand.oracle.hosts.get_mut(&HOST).unwrap().learns(right);
    hand.tell(&Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: again,
    });
    hand.open(3);
    hand.refuse(again);
    assert!(hand.oracle.fresh().is_empty());
    hand.open(4);
    hand.refuse(again);
    assert_eq!(hand.rules(), ["L5"]);
}

const AGAIN: Retry = Retry::At(Instant::from_micros(60_000_000));

fn stanza_error(kind: ErrorType, condition: Condition) -> StanzaError {
    StanzaError::new(kind, condition)
}

/// What is wrong if a stream that ended so is followed by another, and if it is not.
fn after(cause: &OfflineCause) -> [Vec<&'static str>; 2] {
    [AGAIN, Retry::Never].map(|retry| {
        let mut hand = from_beginning();
        hand.open(0);
        let cause = cause.clone();
        hand.tell(&Event::Offline { cause, retry });
        hand.rules()
    })
}

#[test]
fn l1_and_l5_what_passes_and_what_stays() {
    let again = [vec![], vec!["L1"]];
    let stop = [vec!["L5"], vec![]];
    let rejected = |condition| {
        let text = None;
        OfflineCause::Auth(AuthFailure::Rejected { condition, text })
    };
    assert_eq!(after(&rejected(SaslCondition::TemporaryAuthFailure)), again);
    assert_eq!(after(&rejected(SaslCondition::AccountDisabled)), stop);
    assert_eq!(after(&rejected(SaslCondition::Undefined)), stop);
    assert_eq!(after(&OfflineCause::Auth(AuthFailure::Downgraded)), stop);
    let stream = |condition| OfflineCause::StreamError {
        condition,
        text: None,
    };
    assert_eq!(after(&stream(StreamCondition::SystemShutdown)), again);
    assert_eq!(after(&stream(StreamCondition::Conflict)), stop);
    let bind = |kind, condition| OfflineCause::Bind(stanza_error(kind, condition));
    let limit = Condition::ResourceConstraint;
    assert_eq!(after(&bind(ErrorType::Cancel, limit)), again);
    let none = Condition::ServiceUnavailable;
    assert_eq!(after(&bind(ErrorType::Wait, none)), again);
    assert_eq!(after(&bind(ErrorType::Cancel, none)), stop);
    let cannot = OfflineCause::PeerIncompatible(PeerIncompatible::NoTls);
    assert_eq!(after(&cannot), stop);
    // It says that it was asked to, and nobody did.
    assert_eq!(after(&OfflineCause::Closed), again);
    assert_eq!(after(&OfflineCause::Internal("it")), [["S14"], ["S14"]]);
}

#[test]
fn l1_and_l5_a_third_breach_within_an_hour_is_the_last() {
    let breach = || OfflineCause::PeerMisbehaved(PeerMisbehaved::UnexpectedElement);
    let rules = |third: Duration, retry| {
        let mut hand = from_beginning();
        for (link, retry) in [(0, AGAIN), (1, AGAIN), (2, retry)] {
            if link == 2 {
                hand.at = hand.at.plus(third);
            }
            hand.open(link);
            let cause = breach();
            hand.tell(&Event::Offline { cause, retry });
        }
        hand.rules()
    };
    let hour = Duration::from_secs(3600);
    assert_eq!(rules(Duration::ZERO, Retry::Never), [""; 0]);
    assert_eq!(rules(Duration::ZERO, AGAIN), ["L5"]);
    assert_eq!(rules(hour, Retry::Never), ["L1"]);
}

#[test]
fn l1_a_password_that_was_right_is_not_given_up_at_once() {
    let mut hand = from_beginning();
    hand.open(0);
    hand.oracle.hosts.get_mut(&HOST).unwrap().learns(Learnt {
        logged_in: true,
        bound: false,
    });
    hand.refuse(Retry::Never);
    assert_eq!(hand.rules(), ["L1"]);
}

/// A host in a room, or not yet, and what its room does and tells it then.
struct Scene {
    entered: bool,
    passes: Duration,
    done: Option<Removal>,
    event: RoomEvent,
}

impl Scene {
    fn rules(self) -> Vec<&'static str> {
        let mut hand = from_beginning();
        hand.online("ana@x/h0");
        if self.entered {
            hand.join();
        }
        hand.at = hand.at.plus(self.passes);
        if let Some(how) = self.done {
            hand.remove(how);
        }
        let event = self.event;
        hand.tell(&Event::Room { room: ROOM, event });
        hand.rules()
    }

    fn left(cause: LeaveCause, done: Option<Removal>, retry: Retry) -> Vec<&'static str> {
        let event = RoomEvent::Left { cause, retry };
        let (entered, passes) = (true, Duration::ZERO);
        Self {
            entered,
            passes,
            done,
            event,
        }
        .rules()
    }

    fn refused(entered: bool, error: StanzaError, retry: Retry) -> Vec<&'static str> {
        let error = JoinFailure::Refused(error);
        let event = RoomEvent::JoinFailed { error, retry };
        let (passes, done) = (Duration::ZERO, None);
        Self {
            entered,
            passes,
            done,
            event,
        }
        .rules()
    }
}

#[test]
fn l1_and_l5_who_is_put_out_of_a_room() {
    let (never, none) = (Retry::Never, [""; 0]);
    let kicked = || LeaveCause::Kicked { reason: None };
    let banned = || LeaveCause::Banned { reason: None };
    for cause in [
        LeaveCause::ServiceShutdown,
        LeaveCause::TechnicalProblem,
        LeaveCause::Unexplained,
        LeaveCause::Dropped,
        // With its stream, which comes back.
        LeaveCause::Offline,
    ] {
        assert_eq!(Scene::left(cause.clone(), None, AGAIN), none);
        assert_eq!(Scene::left(cause, None, never), ["L1"]);
    }
    let did = |how| Some(how);
    assert_eq!(Scene::left(kicked(), did(Removal::Kicked), AGAIN), none);
    assert_eq!(Scene::left(kicked(), did(Removal::Kicked), never), ["L1"]);
    assert_eq!(Scene::left(banned(), did(Removal::Banned), never), none);
    assert_eq!(Scene::left(banned(), did(Removal::Banned), AGAIN), ["L5"]);
    // Nobody did.
    assert_eq!(Scene::left(banned(), did(Removal::Kicked), never), ["L1"]);
    assert_eq!(Scene::left(LeaveCause::NotMember, None, never), ["L1"]);
    assert_eq!(Scene::left(LeaveCause::Asked, None, never), ["L1"]);
    let destroyed = || LeaveCause::Destroyed {
        alternative: None,
        reason: None,
    };
    assert_eq!(Scene::left(destroyed(), None, never), ["L1"]);
}

#[test]
fn l5_a_second_kick_within_an_hour_is_the_last() {
    let rules = |later, retry| {
        let mut hand = from_beginning();
        hand.join();
        for (after, retry) in [(Duration::ZERO, AGAIN), (later, retry)] {
            hand.at = hand.at.plus(after);
            hand.remove(Removal::Kicked);
            let cause = LeaveCause::Kicked { reason: None };
            let event = RoomEvent::Left { cause, retry };
            hand.tell(&Event::Room { room: ROOM, event });
        }
        hand.rules()
    };
    let hour = Duration::from_secs(3600);
    assert_eq!(rules(Duration::ZERO, Retry::Never), [""; 0]);
    assert_eq!(rules(Duration::ZERO, AGAIN), ["L5"]);
    assert_eq!(rules(hour, Retry::Never), ["L1"]);
}

#[test]
fn l1_and_l5_whom_a_room_refuses() {
    let (never, none) = (Retry::Never, [""; 0]);
    let error = stanza_error;
    let locked = || error(ErrorType::Cancel, Condition::ItemNotFound);
    for entered in [false, true] {
        assert_eq!(Scene::refused(entered, locked(), AGAIN), none);
        assert_eq!(Scene::refused(entered, locked(), never), ["L1"]);
        let full = || error(ErrorType::Wait, Condition::ServiceUnavailable);
        assert_eq!(Scene::refused(entered, full(), never), ["L1"]);
        let closed = || error(ErrorType::Auth, Condition::NotAuthorized);
        assert_eq!(Scene::refused(entered, closed(), AGAIN), ["L5"]);
        assert_eq!(Scene::refused(entered, closed(), never), none);
        // It was not banned.
        let banned = || error(ErrorType::Auth, Condition::Forbidden);
        assert_eq!(Scene::refused(entered, banned(), never), ["L1"]);
    }
    let away = || error(ErrorType::Cancel, Condition::ServiceUnavailable);
    assert_eq!(Scene::refused(true, away(), never), ["L1"]);
    assert_eq!(Scene::refused(false, away(), never), none);
}

#[test]
fn l1_a_room_that_never_let_in_is_given_up_in_time_and_no_sooner() {
    let rules = |entered, secs| {
        let event = RoomEvent::JoinFailed {
            error: JoinFailure::TimedOut,
            retry: Retry::Never,
        };
        let (passes, done) = (Duration::from_secs(secs), None);
        Scene {
            entered,
            passes,
            done,
            event,
        }
        .rules()
    };
    assert_eq!(rules(false, 20), ["L1"]);
    assert_eq!(rules(false, 40), [""; 0]);
    assert_eq!(rules(true, 40), ["L1"]);
}

/// A host is refused at last after a stream that stood for so many seconds, so many without
/// one, and another stream.
#[test]
fn l1_the_time_of_a_first_join_is_one_for_all_streams() {
    let rules = |first: u64, none: u64, second: u64| {
        let mut hand = from_beginning();
        let room = RoomId(7);
        let jid = BareJid::parse("other@muc.parley.local").expect("an address");
        let join = JoinRoom::new(jid, Nick::Suggested("u0".into()));
        hand.online("ana@x/h1");
        hand.ask(Request::Join(&join, room));
        hand.at = hand.at.plus(Duration::from_secs(first));
        hand.open(1);
        hand.tell(&Event::Offline {
            cause: OfflineCause::PeerClosed,
            retry: Retry::At(hand.at.plus(Duration::from_secs(1))),
        });
        hand.at = hand.at.plus(Duration::from_secs(none));
        hand.online("ana@x/h1");
        hand.at = hand.at.plus(Duration::from_secs(second));
        let event = RoomEvent::JoinFailed {
            error: JoinFailure::TimedOut,
            retry: Retry::Never,
        };
        hand.tell(&Event::Room { room, event });
        hand.rules()
    };
    assert_eq!(rules(25, 100, 6), [""; 0]);
    assert_eq!(rules(15, 100, 6), ["L1"]);
    assert_eq!(rules(1, 0, 30), [""; 0]);
}

/// A post whose outcome comes so many seconds after it was asked for, and a fault so
/// many seconds before that.
fn outcome_after(secs: u64, fault: Option<(&Fault, u64)>) -> Vec<&'static str> {
    let mut hand = Hand::following(Start::Cursor(Cursor::Beginning));
    let fault_at = |before: u64| Instant::from_millis((1000 - before) * 1000);
    if let Some((fault, before)) = fault {
        hand.at = fault_at(before);
        hand.oracle.see(hand.at, &Happening::Fault(fault));
    }
    let asked = Instant::from_millis(1000 * 1000);
    let request = Request::Post(ROOM, &Post::new("one"), PostId(1));
    let host = HOST;
    hand.oracle.see(asked, &Happening::Asked { host, request });
    let event = &Event::Post {
        id: PostId(1),
        outcome: PostOutcome::NotSent(crate::NotSent::Offline),
    };
    let told = asked.plus(Duration::from_secs(secs));
    hand.oracle.see(told, &Happening::Told { host, event });
    hand.rules()
}

#[test]
fn l4_a_freeze_excuses_until_it_is_over() {
    assert_eq!(outcome_after(60, None), [""; 0]);
    assert_eq!(outcome_after(62, None), ["L4"]);
    let freeze = |secs| Fault::Freeze {
        host: HOST,
        lasts: Duration::from_secs(secs),
    };
    // It ended before, or in time, or holds up the outcome.
    assert_eq!(outcome_after(62, Some((&freeze(100), 200))), ["L4"]);
    assert_eq!(outcome_after(62, Some((&freeze(210), 200))), ["L4"]);
    assert_eq!(outcome_after(70, Some((&freeze(270), 200))), [""; 0]);
    assert_eq!(outcome_after(71, Some((&freeze(270), 200))), ["L4"]);
    // A leap makes nothing late.
    let leap = Fault::Leap {
        host: HOST,
        by: Duration::from_secs(3000),
    };
    assert_eq!(outcome_after(62, Some((&leap, 200))), ["L4"]);
    // Some timer is so late, until all is well.
    let skew = Fault::Skew {
        host: HOST,
        after: 3,
        by: Duration::from_secs(20),
    };
    assert_eq!(outcome_after(80, Some((&skew, 200))), [""; 0]);
    assert_eq!(outcome_after(82, Some((&skew, 200))), ["L4"]);
}

#[test]
fn l4_a_timer_that_went_off_late_excuses_what_was_due_until_then() {
    let skew = Fault::Skew {
        host: HOST,
        after: 0,
        by: Duration::from_secs(20),
    };
    // The timer goes off so many seconds after the post was asked for, 20 late.
    let rules = |late_at: u64, told: u64| {
        let mut hand = Hand::following(Start::Cursor(Cursor::Beginning));
        let at = |secs: u64| Instant::from_millis((1000 + secs) * 1000);
        let host = HOST;
        hand.oracle.see(at(0), &Happening::Fault(&skew));
        let request = Request::Post(ROOM, &Post::new("one"), PostId(1));
        hand.oracle.see(at(1), &Happening::Asked { host, request });
        let untimely = Happening::Untimely {
            host,
            timer: crate::Timer::Post,
            early: false,
            by: Duration::from_secs(20),
        };
        hand.oracle.see(at(late_at), &untimely);
        let event = &Event::Post {
            id: PostId(1),
            outcome: PostOutcome::NotSent(crate::NotSent::Offline),
        };
        hand.oracle.see(at(told), &Happening::Told { host, event });
        hand.rules()
    };
    assert_eq!(rules(81, 81), [""; 0]);
    assert_eq!(rules(81, 83), ["L4"]);
    // Another one, that was due and went off before the post was, or right before its end.
    assert_eq!(rules(1, 63), ["L4"]);
    assert_eq!(rules(61, 81), [""; 0]);
}

#[test]
fn l6_more_attempts_than_the_budget_of_an_hour_allows() {
    let rules = |between: u64, ahead: Duration| {
        let mut hand = from_beginning();
        for link in 0..125 {
            hand.at = hand.at.plus(Duration::from_secs(between));
            hand.open(link);
            let cause = OfflineCause::PeerClosed;
            let lead = if link > 60 { ahead } else { Duration::ZERO };
            let at = hand.at.plus(lead).plus(Duration::from_secs(between));
            hand.tell(&Event::Offline {
                cause,
                retry: Retry::At(at),
            });
            if link == 60 && !ahead.is_zero() {
                let leap = Fault::Leap {
                    host: HOST,
                    by: ahead,
                };
                hand.see(&Happening::Fault(&leap));
            }
        }
        hand.rules()
    };
    let mut hand = from_beginning();
    for link in 0..41 {
        hand.open(link);
    }
    assert_eq!(hand.rules(), ["L6"]);
    assert_eq!(rules(0, Duration::ZERO), ["L6"]);
    assert_eq!(rules(25, Duration::ZERO), ["L6"]);
    assert_eq!(rules(29, Duration::ZERO), [""; 0]);
    // Its clock says that the hour is over.
    assert_eq!(rules(25, Duration::from_secs(3600)), [""; 0]);
}

#[test]
fn l9_closing_is_judged_when_its_time_is_over() {
    let mut hand = from_beginning();
    hand.ask(Request::Close);
    hand.at = hand.at.plus(CLOSING);
    hand.see(&Happening::Healed);
    assert_eq!(hand.rules(), ["L9"]);
}
