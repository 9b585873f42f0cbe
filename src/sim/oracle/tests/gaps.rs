//! For what a gap may be told, and which reasons are lies: rule S4.

use super::wire::{login, play, play_over};
use super::*;
use crate::{Condition, ErrorType, GapReason, StanzaError};
use Side::{Host, Server};

/// A host that follows a room from the beginning, is in it and gave all that was said.
fn standing() -> Hand {
    let mut hand = from_beginning();
    hand.open(0);
    play(&mut hand, &login());
    hand.online("ana@x/h0");
    hand.join();
    for (id, body) in SAID {
        hand.give(id, body);
    }
    let at = ArchiveId::new("c").map(Cursor::After);
    hand.entry(Entry::CaughtUp { at });
    hand.at = hand.at.plus(Duration::from_secs(600));
    hand
}

/// A gap is told behind all that was given.
fn gap(hand: &mut Hand, reason: GapReason) {
    let after = ArchiveId::new("c").map(Cursor::After);
    hand.entry(Entry::Gap { after, reason });
}

/// Its stream breaks, and it has a session of its own over another link.
fn come_again(hand: &mut Hand) {
    hand.tell(&Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: Retry::At(hand.at),
    });
    hand.open(1);
    play_over(LinkId(1), hand, &login());
    hand.online("ana@x/h0");
}

fn rules(mut hand: Hand, reason: GapReason) -> Vec<&'static str> {
    gap(&mut hand, reason);
    hand.rules()
}

fn gone(hand: &mut Hand, id: &str, tombstone: bool) {
    hand.see(&Happening::Noted(&Note::Unarchived {
        room: "red@muc.x".into(),
        archive_id: id.into(),
        tombstone,
    }));
}

/// A message with a place, as the room says it.
const LIVE: &str = "<message type='groupchat' from='red@muc.x/bo'><body>four</body>\
    <stanza-id xmlns='urn:xmpp:sid:0' by='red@muc.x' id='d'/></message>";
/// One without: what another says of it is worth nothing.
const UNPLACED: &str = "<message type='groupchat' from='red@muc.x/bo'><body>four</body>\
    <stanza-id xmlns='urn:xmpp:sid:0' by='blue@muc.x' id='d'/></message>";
const QUERY: &str = "<iq type='set' id='q' to='red@muc.x'><query xmlns='urn:xmpp:mam:2'/></iq>";

#[test]
fn nothing_happened_that_a_gap_could_be_told_for() {
    for reason in [
        GapReason::CursorExpired,
        GapReason::NeverAnchored,
        GapReason::Overflow,
        GapReason::Recreated,
        GapReason::Unsettled,
        GapReason::ArchiveFailed(RequestError::TimedOut),
        GapReason::ArchiveFailed(RequestError::Inconsistent("it")),
        GapReason::ArchiveFailed(RequestError::CursorExpired { oldest: None }),
        GapReason::ArchiveFailed(RequestError::ArchiveUnsupported),
    ] {
        assert_eq!(rules(standing(), reason), ["S4"]);
    }
}

#[test]
fn a_cursor_expires_with_its_place() {
    for (tombstone, broken) in [(false, &[][..]), (true, &["S4"])] {
        let mut hand = standing();
        gone(&mut hand, "c", tombstone);
        assert_eq!(rules(hand, GapReason::CursorExpired), broken);
    }
    // Another place is another matter.
    let mut hand = standing();
    gone(&mut hand, "b", false);
    assert_eq!(rules(hand, GapReason::CursorExpired), ["S4"]);
}

#[test]
fn a_room_that_is_made_anew_was_lost_before() {
    let lost = Note::RoomGone {
        room: "red@muc.x".into(),
    };
    let mut hand = standing();
    hand.see(&Happening::Noted(&lost));
    gap(&mut hand, GapReason::Recreated);
    assert!(hand.oracle.fresh().is_empty());
    // Once.
    assert_eq!(rules(hand, GapReason::Recreated), ["S4"]);
    // Before it asked to be let in.
    let mut hand = standing();
    hand.see(&Happening::Noted(&lost));
    let join = JoinRoom::new(BareJid::parse("red@muc.x").unwrap(), Nick::Random);
    let (room, follow) = (RoomId(2), SubscriptionId(2));
    hand.ask(Request::Join(&join, room));
    let start = Start::Now;
    hand.ask(Request::Subscribe(room, &start, follow));
    hand.tell(&Event::Entry {
        subscription: follow,
        entry: Entry::Gap {
            after: None,
            reason: GapReason::Recreated,
        },
    });
    assert_eq!(hand.rules(), ["S4"]);
}

#[test]
fn nobody_expires_who_stands_nowhere_or_at_the_beginning() {
    for after in [None, Some(Cursor::Beginning)] {
        let mut hand = standing();
        // Whatever the archive let go of.
        gone(&mut hand, "a", false);
        gone(&mut hand, "c", false);
        let reason = GapReason::CursorExpired;
        hand.entry(Entry::Gap { after, reason });
        assert_eq!(hand.rules(), ["S4"]);
    }
    // A place that nobody gave.
    let mut hand = standing();
    gone(&mut hand, "c", false);
    let after = ArchiveId::new("z").map(Cursor::After);
    let reason = GapReason::CursorExpired;
    hand.entry(Entry::Gap { after, reason });
    assert_eq!(hand.rules(), ["S4"]);
}

#[test]
fn a_place_expires_that_the_archive_does_not_show_yet() {
    // The last: its clock leaps while what it was told before is under way.
    for (shown, leaps, broken) in [
        (false, false, &[][..]),
        (true, false, &["S4"]),
        (true, true, &[]),
    ] {
        let mut hand = standing();
        let post = Post::new("four");
        hand.ask(Request::Post(ROOM, &post, PostId(9)));
        hand.accept_only("d", "four");
        hand.give("d", "four");
        if shown {
            hand.show("d");
        }
        if leaps {
            let at = hand.at;
            hand.see(&Happening::Fault(&Fault::Leap {
                host: HOST,
                by: Duration::from_secs(40),
            }));
            // In the same instant.
            hand.at = at;
        }
        let after = ArchiveId::new("d").map(Cursor::After);
        let reason = GapReason::CursorExpired;
        hand.entry(Entry::Gap { after, reason });
        assert_eq!(hand.rules(), broken);
    }
}

/// The room is asked what it can do.
const ASK: (Side, &str) = (
    Host,
    "<iq type='get' id='i' to='red@muc.x'>\
     <query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
);
/// It has an archive, and its ids are to be trusted.
const SAYS: &str = "<iq type='result' id='i' from='red@muc.x'>\
    <query xmlns='http://jabber.org/protocol/disco#info'>\
    <feature var='urn:xmpp:mam:2'/><feature var='urn:xmpp:sid:0'/></query></iq>";

#[test]
fn a_room_has_no_archive_if_it_says_so() {
    let lacks_ids = SAYS.replace("<feature var='urn:xmpp:sid:0'/>", "");
    let lacks_archive = SAYS.replace("<feature var='urn:xmpp:mam:2'/>", "");
    let other = lacks_ids.replace("red@", "blue@");
    let refuses = "<iq type='error' id='i' from='red@muc.x'><error type='auth'>\
        <forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    for (script, broken) in [
        (&[ASK, (Server, SAYS)][..], &["S4"][..]),
        (&[ASK, (Server, &lacks_ids)], &[]),
        (&[ASK, (Server, &lacks_archive)], &[]),
        (&[ASK, (Server, refuses)], &[]),
        // Nobody asked, or another answers.
        (&[], &["S4"]),
        (&[(Server, &lacks_ids)], &["S4"]),
        (&[ASK, (Server, &other)], &["S4"]),
        // It was asked, and the answer is not waited for.
        (&[ASK], &["S4"]),
        (&[ASK, (Server, SAYS), ASK], &["S4"]),
        // What it said last counts.
        (&[ASK, (Server, &lacks_ids), ASK, (Server, SAYS)], &["S4"]),
        (&[ASK, (Server, SAYS), ASK, (Server, refuses)], &[]),
    ] {
        let mut hand = standing();
        play(&mut hand, script);
        assert_eq!(rules(hand, GapReason::NoArchive), broken, "{script:?}");
    }
}

/// What was missed while it had none is in none that it has later: once, until it stands at the end
/// again.
#[test]
fn a_room_that_lacked_an_archive_has_none_of_what_was_missed() {
    let lacks_archive = SAYS.replace("<feature var='urn:xmpp:mam:2'/>", "");
    for (said, broken) in [(SAYS, &["S4"][..]), (&lacks_archive, &[])] {
        let mut hand = standing();
        play(&mut hand, &[ASK, (Server, said)]);
        hand.entry(Entry::CaughtUp { at: None });
        play(&mut hand, &[ASK, (Server, SAYS)]);
        assert_eq!(rules(hand, GapReason::NoArchive), broken, "{said}");
    }
}

#[test]
fn a_room_that_does_not_answer_has_no_archive_after_half_a_minute() {
    let told = |asks: usize, seconds: u64, ahead: u64| {
        let mut hand = standing();
        for _ in 0..asks {
            play(&mut hand, &[ASK]);
        }
        if ahead > 0 {
            hand.see(&Happening::Fault(&Fault::Leap {
                host: HOST,
                by: Duration::from_secs(ahead),
            }));
        }
        hand.at = hand.at.plus(Duration::from_secs(seconds));
        rules(hand, GapReason::NoArchive)
    };
    assert_eq!(told(1, 20, 0), ["S4"]);
    assert_eq!(told(1, 35, 0), [""; 0]);
    // By its own clock.
    assert_eq!(told(1, 1, 40), [""; 0]);
    assert_eq!(told(0, 1, 40), ["S4"]);
}

#[test]
fn a_question_may_wait_for_a_slow_link() {
    let told = |slow: bool, seconds: u64, script: &[(Side, &str)]| {
        let mut hand = standing();
        come_again(&mut hand);
        if slow {
            hand.see(&Happening::Fault(&Fault::Throttle {
                host: HOST,
                from: Host,
                bytes_per_second: 50,
                lasts: Duration::from_secs(200),
            }));
        }
        hand.at = hand.at.plus(Duration::from_secs(seconds));
        play_over(LinkId(1), &mut hand, script);
        rules(hand, GapReason::NoArchive)
    };
    assert_eq!(told(true, 35, &[]), [""; 0]);
    assert_eq!(told(true, 5, &[]), ["S4"]);
    assert_eq!(told(false, 35, &[]), ["S4"]);
    // Who was told does not wait.
    assert_eq!(told(true, 35, &[ASK, (Server, SAYS)]), ["S4"]);
}

#[test]
fn a_link_that_is_broken_takes_no_question() {
    let told = |cut: bool, seconds: u64| {
        let mut hand = standing();
        come_again(&mut hand);
        if cut {
            hand.see(&Happening::Broken {
                link: LinkId(1),
                how: Ending::Silence,
            });
        }
        hand.at = hand.at.plus(Duration::from_secs(seconds));
        rules(hand, GapReason::NoArchive)
    };
    assert_eq!(told(true, 35), [""; 0]);
    assert_eq!(told(true, 5), ["S4"]);
    assert_eq!(told(false, 35), ["S4"]);
}

#[test]
fn what_a_room_said_before_the_host_came_again_is_old() {
    let asks_again = ASK.1.replace("'i'", "'j'");
    let told = |left: bool, script: &[(Side, &str)]| {
        let mut hand = standing();
        play(&mut hand, &[ASK, (Server, SAYS)]);
        if left {
            hand.tell(&Event::Room {
                room: ROOM,
                event: crate::RoomEvent::Left {
                    cause: crate::LeaveCause::ServiceShutdown,
                    retry: Retry::At(hand.at),
                },
            });
        }
        hand.see(&Happening::Broken {
            link: LinkId(0),
            how: Ending::Silence,
        });
        play(&mut hand, script);
        hand.at = hand.at.plus(Duration::from_secs(35));
        rules(hand, GapReason::NoArchive)
    };
    assert_eq!(told(false, &[]), ["S4"]);
    assert_eq!(told(true, &[]), [""; 0]);
    assert_eq!(told(false, &[(Host, &asks_again)]), [""; 0]);
    // What was asked before that is not answered any more.
    let mut hand = standing();
    play(&mut hand, &[ASK, (Host, &asks_again), (Server, SAYS)]);
    hand.at = hand.at.plus(Duration::from_secs(35));
    assert_eq!(rules(hand, GapReason::NoArchive), [""; 0]);
}

#[test]
fn what_a_room_said_in_an_earlier_session_is_old() {
    let lacks = SAYS.replace("<feature var='urn:xmpp:sid:0'/>", "");
    let told = |script: &[(Side, &str)]| {
        let mut hand = standing();
        play(&mut hand, &[ASK, (Server, &lacks)]);
        come_again(&mut hand);
        play_over(LinkId(1), &mut hand, script);
        hand.at = hand.at.plus(Duration::from_secs(10));
        rules(hand, GapReason::NoArchive)
    };
    assert_eq!(told(&[]), ["S4"]);
    assert_eq!(told(&[ASK]), ["S4"]);
    let asks_again = ASK.1.replace("'i'", "'j'");
    let lacks_again = lacks.replace("'i'", "'j'");
    assert_eq!(
        told(&[(Host, &asks_again), (Server, &lacks_again)]),
        [""; 0]
    );
}

#[test]
fn who_was_never_anchored_stands_nowhere_and_was_away() {
    let away = Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: Retry::At(Instant::ZERO),
    };
    let told = |interrupted: bool, anchored: bool, placeless: bool| {
        let mut hand = Hand::following(Start::Now);
        hand.open(0);
        hand.said(SAID);
        if anchored {
            let at = ArchiveId::new("c").map(Cursor::After);
            hand.entry(Entry::CaughtUp { at });
        }
        if placeless {
            hand.give_placeless("four");
        }
        if interrupted {
            hand.tell(&away);
        }
        hand.entry(Entry::Gap {
            after: None,
            reason: GapReason::NeverAnchored,
        });
        hand.rules()
    };
    assert_eq!(told(true, false, false), [""; 0]);
    assert_eq!(told(false, false, false), ["S4"]);
    assert_eq!(told(true, true, false), ["S4"]);
    // What has no place may be given before the room says that it has an archive.
    assert_eq!(told(false, false, true), [""; 0]);
    assert_eq!(told(false, true, true), [""; 0]);
}

#[test]
fn who_stands_nowhere_does_so_until_it_is_told_a_place() {
    let away = Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: Retry::At(Instant::ZERO),
    };
    for anchored in [false, true] {
        let mut hand = Hand::following(Start::Now);
        hand.open(0);
        hand.said(SAID);
        hand.online("ana@x/h0");
        let never = Entry::Gap {
            after: None,
            reason: GapReason::NeverAnchored,
        };
        hand.entry(Entry::CaughtUp { at: None });
        hand.give_placeless("four");
        hand.tell(&away);
        hand.entry(never.clone());
        if anchored {
            let at = ArchiveId::new("c").map(Cursor::After);
            hand.entry(Entry::CaughtUp { at });
        }
        hand.open(1);
        hand.online("ana@x/h0");
        hand.tell(&away);
        hand.entry(never);
        let broken = if anchored { &["S4"][..] } else { &[] };
        assert_eq!(hand.rules(), broken);
    }
}

#[test]
fn what_overflows_was_said() {
    let hear = |held: usize, live: &str| {
        let mut hand = standing();
        hand.oracle = core::mem::take(&mut hand.oracle).holding(held);
        play(&mut hand, &[(Server, live), (Server, live)]);
        rules(hand, GapReason::Overflow)
    };
    assert_eq!(hear(1, LIVE), [""; 0]);
    assert_eq!(hear(2, LIVE), ["S4"]);
    // What has no place cannot be read later.
    assert_eq!(hear(2, UNPLACED), [""; 0]);
}

#[test]
fn an_archive_is_unsettled_while_it_does_not_show_what_was_said() {
    let heard = |shown: bool, later: u64| {
        let mut hand = standing();
        hand.accept_only("d", "four");
        play(&mut hand, &[(Server, LIVE)]);
        if shown {
            hand.show("d");
        }
        hand.at = hand.at.plus(Duration::from_secs(later));
        gap(&mut hand, GapReason::Unsettled);
        hand.rules().contains(&"S4")
    };
    assert!(!heard(false, 100));
    assert!(!heard(true, 10));
    // It had no time to.
    assert!(heard(false, 0));
    assert!(heard(true, 100));
    // A page that may change, or is not as it should be; or a place that is no more.
    let room = || "red@muc.x".to_string();
    for note in [
        Note::Unstable { room: room() },
        Note::Garbled { room: room() },
        Note::Migrated {
            room: room(),
            ids: Vec::new(),
        },
        Note::Unarchived {
            room: room(),
            archive_id: "a".into(),
            tombstone: false,
        },
    ] {
        let mut hand = standing();
        hand.see(&Happening::Noted(&note));
        assert_eq!(rules(hand, GapReason::Unsettled), [""; 0]);
    }
}

#[test]
fn an_archive_fails_as_it_is_said_to() {
    let refused = |kind, condition| {
        GapReason::ArchiveFailed(RequestError::Refused(StanzaError::new(kind, condition)))
    };
    let forbidden = || refused(ErrorType::Auth, Condition::Forbidden);
    let passing = || refused(ErrorType::Wait, Condition::InternalServerError);
    let answer = |kind: &str, condition: &str, from: &str| {
        alloc::format!(
            "<iq type='error' id='q' from='{from}'><error type='{kind}'>\
             <{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
        )
    };
    let after = |script: &[(Side, &str)], reason| {
        let mut hand = standing();
        play(&mut hand, script);
        rules(hand, reason)
    };
    let room = "red@muc.x";
    let forbids = answer("auth", "forbidden", room);
    let once = [(Host, QUERY), (Server, &*forbids)];
    assert_eq!(after(&once, forbidden()), [""; 0]);
    assert_eq!(after(&once, passing()), ["S4"]);
    let fails = answer("wait", "internal-server-error", room);
    let twice = [
        (Host, QUERY),
        (Server, &*fails),
        (Host, QUERY),
        (Server, &*fails),
    ];
    assert_eq!(after(&twice, passing()), [""; 0]);
    // Once is not again and again; nor is what another says, or says unasked.
    assert_eq!(after(&twice[..2], passing()), ["S4"]);
    let lies = answer("auth", "forbidden", "blue@muc.x");
    assert_eq!(
        after(&[(Host, QUERY), (Server, &lies)], forbidden()),
        ["S4"]
    );
    assert_eq!(after(&once[1..], forbidden()), ["S4"]);
    // There is no such room, or no archive: for the conditions that say so.
    for (reason, conditions) in [
        (RequestError::NoSuchRoom, ["item-not-found", "gone"]),
        (
            RequestError::ArchiveUnsupported,
            ["feature-not-implemented", "service-unavailable"],
        ),
    ] {
        let reason = GapReason::ArchiveFailed(reason);
        assert_eq!(after(&once, reason.clone()), ["S4"]);
        for condition in conditions {
            let says = answer("cancel", condition, room);
            let script = [(Host, QUERY), (Server, &*says)];
            assert_eq!(after(&script, reason.clone()), [""; 0]);
            assert_eq!(after(&script, forbidden()), ["S4"]);
        }
    }
}

#[test]
fn an_archive_that_does_not_answer_is_given_its_time() {
    let silence = GapReason::ArchiveFailed(RequestError::TimedOut);
    let other = QUERY.replace("'q'", "'p'");
    let fails = "<iq type='error' id='q' from='red@muc.x'><error type='wait'>\
        <internal-server-error xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>";
    let told = |script: &[(Side, &str)], seconds: u64, anew: bool| {
        let mut hand = standing();
        play(&mut hand, script);
        hand.at = hand.at.plus(Duration::from_secs(seconds));
        if anew {
            come_again(&mut hand);
        }
        rules(hand, silence.clone())
    };
    let twice = [(Host, QUERY), (Host, &*other)];
    assert_eq!(told(&twice, 35, false), [""; 0]);
    // Asked a moment ago; once; on a link that is dead.
    assert_eq!(told(&twice, 20, false), ["S4"]);
    assert_eq!(told(&twice[..1], 35, false), ["S4"]);
    assert_eq!(told(&twice, 35, true), ["S4"]);
    // Refused is not unanswered, but one of each will do.
    let refused = [
        (Host, QUERY),
        (Server, fails),
        (Host, QUERY),
        (Server, fails),
    ];
    assert_eq!(told(&refused, 35, false), ["S4"]);
    let one_of_each = [(Host, QUERY), (Server, fails), (Host, &*other)];
    assert_eq!(told(&one_of_each, 35, false), [""; 0]);
    // One may not be written, if the link is broken; something else has to have gone wrong.
    for (script, broken) in [(&one_of_each[..2], &[][..]), (&[], &["S4"])] {
        let mut hand = standing();
        play(&mut hand, script);
        let (link, how) = (LinkId(0), Ending::Silence);
        hand.see(&Happening::Broken { link, how });
        assert_eq!(rules(hand, silence.clone()), broken);
    }
}
