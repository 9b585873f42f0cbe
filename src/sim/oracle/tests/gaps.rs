//! For what a gap may be told, and which reasons are lies: rule S4.

use super::wire::{login, play};
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
fn a_room_has_no_archive_if_it_does_not_say_so() {
    let ask = (
        Host,
        "<iq type='get' id='i' to='red@muc.x'>\
         <query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
    );
    let says = "<iq type='result' id='i' from='red@muc.x'>\
        <query xmlns='http://jabber.org/protocol/disco#info'>\
        <feature var='urn:xmpp:mam:2'/><feature var='urn:xmpp:sid:0'/></query></iq>";
    let half = "<iq type='result' id='i' from='red@muc.x'>\
        <query xmlns='http://jabber.org/protocol/disco#info'>\
        <feature var='urn:xmpp:mam:2'/></query></iq>";
    let other = "<iq type='result' id='i' from='blue@muc.x'>\
        <query xmlns='http://jabber.org/protocol/disco#info'>\
        <feature var='urn:xmpp:mam:2'/><feature var='urn:xmpp:sid:0'/></query></iq>";
    for (script, broken) in [
        (&[ask, (Server, says)][..], &["S4"][..]),
        (&[ask, (Server, half)], &[]),
        (&[ask, (Server, other)], &[]),
        (&[ask], &[]),
        // It was asked again, and has not answered.
        (&[ask, (Server, says), ask], &[]),
    ] {
        let mut hand = standing();
        play(&mut hand, script);
        assert_eq!(rules(hand, GapReason::NoArchive), broken);
    }
}

#[test]
fn who_was_never_anchored_stands_nowhere_and_was_away() {
    let away = Event::Offline {
        cause: OfflineCause::PeerClosed,
        retry: Retry::At(Instant::ZERO),
    };
    let told = |interrupted: bool, anchored: bool| {
        let mut hand = Hand::following(Start::Now);
        hand.open(0);
        hand.said(SAID);
        if anchored {
            let at = ArchiveId::new("c").map(Cursor::After);
            hand.entry(Entry::CaughtUp { at });
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
    assert_eq!(told(true, false), [""; 0]);
    assert_eq!(told(false, false), ["S4"]);
    assert_eq!(told(true, true), ["S4"]);
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
    // Nobody answers.
    let silence = || GapReason::ArchiveFailed(RequestError::TimedOut);
    let other = QUERY.replace("'q'", "'p'");
    assert_eq!(after(&[(Host, QUERY), (Host, &other)], silence()), [""; 0]);
    assert_eq!(after(&[(Host, QUERY)], silence()), ["S4"]);
}
