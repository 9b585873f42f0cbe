//! What becomes of rooms, subscriptions and fetches when no stream is coming.

use crate::peer::{HEADER, PLAIN};
use crate::*;
use parley_xmpp::{
    JoinError, JoinFailure, LeaveCause, NotSent, Post, PostError, PostOutcome, QueryError,
    RequestError, Retry,
};

/// The login was refused: nothing is tried again.
fn refused_login() -> Peer {
    let mut peer = Peer::new(config());
    peer.engine.transport_opened(peer.now, secure());
    peer.say(HEADER);
    peer.say(PLAIN);
    peer.say("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>");
    peer
}

#[test]
fn a_stream_that_ends_for_good_ends_its_rooms_and_all_that_lives_in_them() {
    let (mut peer, room) = in_room();
    let id = peer
        .engine
        .subscribe(peer.now, room, Start::Now, 9)
        .unwrap();
    peer.engine.fetch(peer.now, room, everything(5)).unwrap();
    peer.say(CONFLICT);
    let events = peer.events();
    let is_never = |event: &Event| {
        matches!(
            event,
            Event::Offline {
                retry: Retry::Never,
                ..
            }
        )
    };
    assert!(is_never(&events[0]), "{events:?}");
    assert!(
        events.iter().any(|e| matches!(e, Event::Entry { subscription, entry: Entry::Ended } if *subscription == id)),
        "{events:?}"
    );
    let ends = fetched(events.clone()).1;
    assert_eq!(ends, [FetchEvent::Failed(RequestError::Offline)]);
    assert_eq!(
        room_events(events),
        [RoomEvent::Left {
            cause: LeaveCause::Offline,
            retry: Retry::Never
        }]
    );
    // The id is dead, as was said.
    let now = peer.now;
    assert_eq!(
        peer.engine.post(now, room, Post::new("x")),
        Err(PostError::UnknownRoom)
    );
    assert_eq!(
        peer.engine.subscribe(now, room, Start::Now, 1),
        Err(QueryError::UnknownRoom)
    );
    peer.engine.handle_eof(now);
    peer.pass(secs(86_400));
    assert_eq!(peer.events(), []);
}

#[test]
fn a_room_is_joined_anew_after_reconnect_under_another_id() {
    let (mut peer, room) = in_room();
    peer.say(CONFLICT);
    assert_eq!(
        peer.engine.join(peer.now, ada()),
        Err(JoinError::Offline),
        "while the transport is closed"
    );
    peer.heard();
    peer.engine.handle_eof(peer.now);
    assert_eq!(peer.engine.join(peer.now, ada()), Err(JoinError::Offline));
    peer.engine.reconnect(peer.now);
    let again = peer.engine.join(peer.now, ada()).unwrap();
    assert_ne!(again, room);
    peer.events();
    peer.log_in();
    peer.let_in("ada", ROOM_FEATURES);
    assert!(
        peer.events().iter().any(
            |e| matches!(e, Event::Room { room, event: RoomEvent::Joined(_) } if *room == again)
        )
    );
}

#[test]
fn a_room_that_was_never_entered_fails_with_the_stream() {
    let mut peer = Peer::online(config());
    let room = peer.engine.join(peer.now, ada()).unwrap();
    let post = peer.engine.post(peer.now, room, Post::new("hi")).unwrap();
    peer.say(CONFLICT);
    let events = peer.events();
    assert!(
        events.iter().any(|e| matches!(e, Event::Post { id, outcome: PostOutcome::NotSent(NotSent::Offline) } if *id == post)),
        "{events:?}"
    );
    assert_eq!(
        room_events(events),
        [RoomEvent::JoinFailed {
            error: JoinFailure::Offline,
            retry: Retry::Never
        }]
    );
}

#[test]
fn nothing_is_joined_where_no_stream_is_coming() {
    let mut peer = refused_login();
    for _ in 0..2 {
        assert_eq!(peer.engine.join(peer.now, ada()), Err(JoinError::Offline));
        peer.heard();
        peer.engine.handle_eof(peer.now);
    }
    peer.engine.reconnect(peer.now);
    assert!(peer.engine.join(peer.now, ada()).is_ok());
}

#[test]
fn a_room_is_joined_while_a_stream_is_coming() {
    let mut peer = Peer::online(config());
    cut(&mut peer);
    assert!(peer.engine.join(peer.now, ada()).is_ok());
}

#[test]
fn a_fetch_made_while_the_server_is_down_ends_in_time() {
    let (mut peer, room) = in_room();
    cut(&mut peer);
    peer.events();
    let made = peer.now;
    peer.engine.fetch(made, room, everything(100)).unwrap();
    let patience = peer.engine.config().timing.post;
    let mut ends = Vec::new();
    while ends.is_empty() && peer.now.since(made) <= patience {
        if matches!(peer.engine.wants().transport, Transport::Connect { .. }) {
            cut(&mut peer);
        }
        turn(&mut peer);
        ends.extend(fetched(peer.events()).1);
    }
    assert_eq!(ends, [FetchEvent::Failed(RequestError::TimedOut)]);
    assert_eq!(peer.now.since(made), patience);
}
