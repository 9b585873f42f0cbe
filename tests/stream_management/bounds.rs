//! What is kept for a server that does not say what it handled.

use crate::*;
use parley_xmpp::{NotSent, Timer};

fn tight() -> parley_xmpp::Config {
    let mut config = config();
    config.limits.unacked_stanzas = 8;
    config
}

#[test]
fn sm13_posts_wait_while_too_much_is_not_acknowledged() {
    let (mut peer, room) = in_room_of(tight(), ENABLED);
    let mut written = String::new();
    for _ in 0..20 {
        written += &post(&mut peer, room, "x").1;
    }
    // Three stanzas were there before.
    assert_eq!(written.matches("<message ").count(), 5);
    assert_eq!(written.matches(ASK).count(), 1);
    peer.say(&ack(7));
    let more = peer.heard();
    assert_eq!(more.matches("<message ").count(), 7, "{more}");
    assert!(more.ends_with(ASK));
}

#[test]
fn sm13_bytes_count_as_well() {
    let mut config = config();
    config.limits.unacked_bytes = 10_000;
    let (mut peer, room) = in_room_of(config, ENABLED);
    let mut written = String::new();
    for _ in 0..20 {
        written += &post(&mut peer, room, &"x".repeat(3000)).1;
    }
    assert_eq!(written.matches("<message ").count(), 4);
}

/// jitsi/jigasi#253: all wait for acknowledgements that do not come, until management is switched
/// off.
#[test]
fn sm13_a_server_that_never_acknowledges_is_dead() {
    let (mut peer, room) = in_room_of(tight(), ENABLED);
    for _ in 0..20 {
        post(&mut peer, room, "x");
    }
    // It says other things all the time.
    for _ in 0..29 {
        peer.pass(secs(1));
        peer.say("<message/>");
    }
    assert_eq!(causes(&peer.events()), []);
    peer.pass(secs(1));
    let events = peer.events();
    assert_eq!(causes(&events), [OfflineCause::TimedOut(Timer::Ack)]);
    assert_eq!(room_events(&events), []);
    // Those that were never written say so when their time comes.
    peer.pass(secs(30));
    let outcomes = outcomes(&peer.events());
    let unsent = PostOutcome::NotSent(NotSent::Deadline);
    assert_eq!(outcomes.len(), 20);
    assert_eq!(outcomes.iter().filter(|(_, o)| *o == unsent).count(), 15);
}

#[test]
fn sm13_a_server_that_does_not_answer_to_enable_is_dead() {
    let mut peer = Peer::new(config());
    peer.authenticate();
    peer.bind(BIND_SM);
    peer.heard();
    peer.events();
    for _ in 0..30 {
        peer.pass(secs(1));
        peer.say("<message/>");
    }
    assert_eq!(causes(&peer.events()), [OfflineCause::TimedOut(Timer::Ack)]);
}

/// Who makes us answer without end cannot make us keep the answers.
#[test]
fn sm13_what_is_kept_is_bounded_whatever_the_server_asks() {
    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
    let mut peer = online_with(tight(), ENABLED);
    for _ in 0..100 {
        peer.say(ping);
        peer.heard();
    }
    // More than twice the limit was let go: it cannot be resumed as it is.
    cut(&mut peer);
    peer.events();
    assert!(return_to(&mut peer, BIND_SM).contains("<bind "));

    // If the server catches up it can.
    let mut peer = online_with(tight(), ENABLED);
    for _ in 0..100 {
        peer.say(ping);
        peer.heard();
    }
    peer.say(&ack(99));
    cut(&mut peer);
    ask_to_resume(&mut peer, 100);
    peer.say(&resumed(100));
    assert_eq!(peer.heard().matches("<iq ").count(), 1);
}

#[test]
fn sm13_what_is_asked_while_it_is_broken_is_bounded() {
    let (mut peer, room) = in_room_of(tight(), ENABLED);
    cut(&mut peer);
    peer.events();
    for n in 0..14 {
        assert_eq!(room_events(&peer.events()), [], "{n}");
        peer.engine.destroy(peer.now, room);
    }
    assert!(matches!(
        room_events(&peer.events())[..],
        [RoomEvent::Left { .. }]
    ));
}
