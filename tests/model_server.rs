//! The model server as the engine meets it: logins, rooms, archives, mishaps, on
//! both personalities, with bytes whole and one at a time.

#![cfg(feature = "sim")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

mod model_world;

use std::time::Duration;

use model_world::{ROOM, Way, World, setup};
use parley_xmpp::sim::server::{Note, Operation, Personality, Removal};
use parley_xmpp::{
    ArchiveId, AuthFailure, Cursor, Entry, Event, Fetch, FetchEvent, LeaveCause, Message,
    OfflineCause, Post, PostOutcome, RequestError, RoomEvent, RoomId, SaslCondition, Start,
    StreamCondition, Timing,
};

const BOTH: [Personality; 2] = [Personality::Prosody, Personality::Ejabberd];

/// Posts, and gives the archive id that came back.
fn post(world: &mut World, client: usize, room: RoomId, body: &str) -> String {
    let id = world.now_do(client, |e, now| {
        e.post(now, room, Post::new(body)).expect("a post")
    });
    let events = world.events(client);
    let outcome = events.into_iter().find_map(|e| match e {
        Event::Post { id: of, outcome } if of == id => Some(outcome),
        _ => None,
    });
    match outcome {
        Some(PostOutcome::Committed { id: Some(id), .. }) => id.as_str().to_owned(),
        other => panic!("{body}: {other:?}"),
    }
}

/// Fetches, and gives the messages and whether it came to a good end.
fn fetch(
    world: &mut World,
    client: usize,
    room: RoomId,
    what: Fetch,
) -> (Vec<Message>, Vec<Event>) {
    let backwards = what.since.is_none();
    world.now_do(client, |e, now| e.fetch(now, room, what).expect("a fetch"));
    // A cursor that the archive does not show is looked for this long.
    world.pass(Timing::default().settle + Duration::from_secs(3));
    let (mut messages, mut rest) = (Vec::new(), Vec::new());
    for event in world.events(client) {
        match event {
            Event::Fetch {
                event: FetchEvent::Page(page),
                ..
            } if backwards => drop(messages.splice(..0, page)),
            Event::Fetch {
                event: FetchEvent::Page(page),
                ..
            } => messages.extend(page),
            other => rest.push(other),
        }
    }
    (messages, rest)
}

fn bodies(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|m| m.body.as_str()).collect()
}

fn whole_story(personality: Personality, way: Way, piece: usize) -> World {
    let mut world = World::new(setup(personality), way, piece);
    let alice = world.client("alice");
    let room = world.join(alice, "ada");
    let bob = world.client("bob");
    let other = world.join(bob, "bob");
    world.now_do(bob, |e, now| {
        e.subscribe(now, other, Start::Now, u32::MAX)
            .expect("to follow")
    });
    world.pass(Duration::from_secs(3));
    let said: Vec<String> = (0..25)
        .map(|n| format!("<{n}> & \"more\" \u{1f980}"))
        .collect();
    for body in &said {
        post(&mut world, alice, room, body);
    }
    let heard: Vec<String> = world
        .events(bob)
        .into_iter()
        .filter_map(|e| match e {
            Event::Entry {
                entry: Entry::Message(message),
                ..
            } => Some(message.body),
            _ => None,
        })
        .collect();
    assert_eq!(heard, said);
    let (all, _) = fetch(&mut world, bob, other, Fetch::newest(100));
    assert_eq!(bodies(&all), said);
    world.now_do(alice, |e, now| e.close(now));
    world.pass(Duration::from_secs(10));
    world
}

#[test]
fn two_clients_meet_by_every_way_whole_and_byte_by_byte() {
    for personality in BOTH {
        for way in [Way::StartTls, Way::DirectTls, Way::Loopback] {
            let mut plain = setup(personality);
            plain.tls = way != Way::Loopback;
            for piece in [usize::MAX, 1] {
                if way == Way::Loopback {
                    let mut world = World::new(plain.clone(), way, piece);
                    world.client("alice");
                    continue;
                }
                whole_story(personality, way, piece);
            }
        }
    }
}

#[test]
fn the_same_story_twice_is_the_same_bytes() {
    for personality in BOTH {
        let mut one = whole_story(personality, Way::StartTls, 7);
        let mut other = whole_story(personality, Way::StartTls, 7);
        assert!(one.wire == other.wire);
        assert_eq!(one.take_notes(), other.take_notes());
    }
}

#[test]
fn a_login_binds_to_the_channel_where_that_is_offered() {
    let mut setup = setup(Personality::Prosody);
    setup.channel_binding = true;
    let mut world = World::new(setup, Way::DirectTls, usize::MAX);
    let alice = world.client_with("alice", "secret");
    let events = world.events(alice);
    let Some(Event::Online { login, .. }) = events.first() else {
        panic!("{events:?}");
    };
    assert_eq!(login.mechanism, "SCRAM-SHA-256-PLUS");
    assert_eq!(login.channel_binding, Some("tls-exporter"));
}

#[test]
fn a_wrong_password_is_refused_and_a_new_one_counts() {
    for personality in BOTH {
        let mut world = World::personality(personality);
        let eve = world.client_with("alice", "guess");
        let events = world.events(eve);
        let refused = events.iter().any(|e| {
            matches!(
                e,
                Event::Offline {
                    cause: OfflineCause::Auth(AuthFailure::Rejected {
                        condition: SaslCondition::NotAuthorized,
                        ..
                    }),
                    ..
                }
            )
        });
        assert!(refused, "{events:?}");
        world.operate(&Operation::ChangePassword {
            account: "alice".into(),
            password: "guess".into(),
        });
        world.client_with("alice", "guess");
        let online = |n: &Note| matches!(n, Note::Session { jid, .. } if jid.starts_with("alice@"));
        assert!(world.take_notes().iter().any(online));
    }
}

#[test]
fn a_fetch_goes_on_past_the_page_cap_and_from_cursors() {
    for personality in BOTH {
        let mut world = World::personality(personality);
        let alice = world.client("alice");
        let room = world.join(alice, "ada");
        let (none, _) = fetch(&mut world, alice, room, Fetch::newest(5));
        assert_eq!(bodies(&none), [""; 0]);
        let ids: Vec<String> = (0..34)
            .map(|n| post(&mut world, alice, room, &n.to_string()))
            .collect();
        let truth: Vec<String> = world
            .server
            .archive(ROOM)
            .map(|m| m.archive_id.into())
            .collect();
        assert_eq!(ids, truth);
        let cursor = Cursor::parse(&ids[3]).expect("a cursor");
        let (after, _) = fetch(&mut world, alice, room, Fetch::since(cursor, 100));
        let expected: Vec<String> = (4..34).map(|n| n.to_string()).collect();
        assert_eq!(bodies(&after), expected);
        let (newest, _) = fetch(&mut world, alice, room, Fetch::newest(15));
        assert_eq!(bodies(&newest), &expected[15..]);
    }
}

#[test]
fn an_occupant_that_is_put_out_hears_why() {
    for personality in BOTH {
        for (how, cause) in [
            (Removal::Kicked, LeaveCause::Kicked { reason: None }),
            (Removal::Banned, LeaveCause::Banned { reason: None }),
            (Removal::NotMember, LeaveCause::NotMember),
            (Removal::Technical, LeaveCause::TechnicalProblem),
        ] {
            let mut world = World::personality(personality);
            let alice = world.client("alice");
            world.join(alice, "ada");
            let bob = world.client("bob");
            world.join(bob, "bob");
            world.take_notes();
            world.operate(&Operation::Remove {
                room: ROOM.into(),
                account: "bob".into(),
                how,
            });
            let events = world.events(bob);
            let told = events.iter().any(|e| match e {
                Event::Room {
                    event: RoomEvent::Left { cause: c, .. },
                    ..
                } => *c == cause,
                _ => false,
            });
            assert!(told, "{how:?}: {events:?}");
            let out = |n: &Note| matches!(n, Note::Left { nick, told: true, .. } if nick == "bob");
            assert!(world.take_notes().iter().any(out));
        }
    }
}

#[test]
fn an_error_of_the_stream_is_heard_as_such() {
    for personality in BOTH {
        let mut world = World::personality(personality);
        let alice = world.client("alice");
        world.operate(&Operation::StreamError {
            account: "alice".into(),
            condition: StreamCondition::Conflict,
        });
        let events = world.events(alice);
        let conflict = events.iter().any(|e| {
            matches!(
                e,
                Event::Offline {
                    cause: OfflineCause::StreamError {
                        condition: StreamCondition::Conflict,
                        ..
                    },
                    ..
                }
            )
        });
        assert!(conflict, "{events:?}");
    }
}

/// What a subscription heard so far.
fn entries(world: &mut World, client: usize) -> Vec<String> {
    let events = world.events(client).into_iter();
    events
        .filter_map(|e| match e {
            Event::Entry {
                entry: Entry::Message(message),
                ..
            } => Some(message.body),
            _ => None,
        })
        .collect()
}

#[test]
fn a_follower_hears_everything_over_cuts_crashes_and_restarts() {
    for personality in BOTH {
        let mut world = World::personality(personality);
        let alice = world.client("alice");
        let room = world.join(alice, "ada");
        let bob = world.client("bob");
        let other = world.join(bob, "bob");
        world.now_do(bob, |e, now| {
            e.subscribe(now, other, Start::Now, u32::MAX).unwrap()
        });
        world.pass(Duration::from_secs(3));
        post(&mut world, alice, room, "live");
        world.cut(bob);
        post(&mut world, alice, room, "while away");
        world.pass(Duration::from_secs(20));
        world.operate(&Operation::Crash {
            lost_messages: 0,
            lost_rooms: false,
        });
        world.pass(Duration::from_secs(2));
        world.operate(&Operation::Start);
        world.pass(Duration::from_secs(100));
        world.events(alice);
        post(&mut world, alice, room, "after the crash");
        world.operate(&Operation::RestartRooms { told: true });
        world.pass(Duration::from_secs(100));
        world.events(alice);
        post(&mut world, alice, room, "after the restart");
        world.operate(&Operation::Stop);
        world.pass(Duration::from_secs(2));
        world.operate(&Operation::Start);
        world.pass(Duration::from_secs(100));
        world.events(alice);
        post(&mut world, alice, room, "at last");
        world.pass(Duration::from_secs(3));
        assert_eq!(
            entries(&mut world, bob),
            [
                "live",
                "while away",
                "after the crash",
                "after the restart",
                "at last"
            ]
        );
        let notes = world.take_notes();
        let of = |wanted: fn(&Note) -> bool| notes.iter().filter(|n| wanted(n)).count();
        assert_eq!(of(|n| matches!(n, Note::Accepted { .. })), 5);
        assert_eq!(of(|n| matches!(n, Note::Archived { .. })), 5);
        assert_eq!(of(|n| matches!(n, Note::RoomCreated { .. })), 1);
        let entered = of(|n| matches!(n, Note::Entered { .. }));
        let left = of(|n| matches!(n, Note::Left { .. }));
        assert_eq!(entered, left + 2, "two are in the room");
    }
}

#[test]
fn tombstones_are_passed_over() {
    for personality in BOTH {
        let mut world = World::personality(personality);
        let alice = world.client("alice");
        let room = world.join(alice, "ada");
        for n in 0..4 {
            post(&mut world, alice, room, &n.to_string());
        }
        world.operate(&Operation::Retract {
            room: ROOM.into(),
            from_end: 1,
        });
        let (left, _) = fetch(&mut world, alice, room, Fetch::newest(10));
        assert_eq!(bodies(&left), ["0", "1", "3"]);
    }
}

#[test]
fn a_cursor_that_expired_is_told_whatever_the_server_says() {
    for personality in BOTH {
        let mut world = World::personality(personality);
        let alice = world.client("alice");
        let room = world.join(alice, "ada");
        let first = post(&mut world, alice, room, "first");
        post(&mut world, alice, room, "second");
        let third = post(&mut world, alice, room, "third");
        world.operate(&Operation::Expire {
            room: ROOM.into(),
            keep: 1,
        });
        let cursor = Cursor::parse(&first).expect("a cursor");
        let (found, rest) = fetch(&mut world, alice, room, Fetch::since(cursor, 10));
        let oldest = ArchiveId::new(&third);
        assert_eq!(found, []);
        assert!(
            failed_with(&rest, &RequestError::CursorExpired { oldest }),
            "{rest:?}"
        );
    }
}

fn failed_with(events: &[Event], error: &RequestError) -> bool {
    let failed = |e: &Event| matches!(e, Event::Fetch { event: FetchEvent::Failed(why), .. } if why == error);
    events.iter().any(failed)
}

#[test]
fn a_cursor_of_another_room_is_foreign_and_one_of_nowhere_is_as_good_as_expired() {
    for personality in BOTH {
        let mut world = World::personality(personality);
        let alice = world.client("alice");
        let room = world.join(alice, "ada");
        let oldest = ArchiveId::new(&post(&mut world, alice, room, "here"));
        let jid = parley_xmpp::jid::BareJid::parse("other@muc.parley.local").unwrap();
        let join = parley_xmpp::JoinRoom::new(jid, parley_xmpp::Nick::Chosen("ada".into()));
        let other = world.now_do(alice, |e, now| e.join(now, join)).unwrap();
        let there = post(&mut world, alice, other, "there");

        let cursor = Cursor::parse(&there).expect("a cursor");
        let (found, rest) = fetch(&mut world, alice, room, Fetch::since(cursor, 10));
        assert_eq!(found, []);
        assert!(failed_with(&rest, &RequestError::CursorForeign), "{rest:?}");
        for nowhere in ["00000000-0000-4000-8000-000000000000", "7", "not an id"] {
            let cursor = Cursor::parse(nowhere).expect("a cursor");
            let (found, rest) = fetch(&mut world, alice, room, Fetch::since(cursor, 10));
            assert_eq!(found, []);
            let oldest = oldest.clone();
            assert!(
                failed_with(&rest, &RequestError::CursorExpired { oldest }),
                "{nowhere}: {rest:?}"
            );
        }
    }
}

#[test]
fn who_owns_a_room_can_destroy_it() {
    for personality in BOTH {
        let mut world = World::personality(personality);
        let alice = world.client("alice");
        let room = world.join(alice, "ada");
        let bob = world.client("bob");
        world.join(bob, "bob");
        world.now_do(alice, |e, now| e.destroy(now, room));
        let destroyed = |events: Vec<Event>| {
            events.iter().any(|e| {
                matches!(
                    e,
                    Event::Room {
                        event: RoomEvent::Left {
                            cause: LeaveCause::Destroyed { .. },
                            ..
                        },
                        ..
                    }
                )
            })
        };
        assert!(destroyed(world.events(alice)));
        assert!(destroyed(world.events(bob)));
        let gone = |n: &Note| matches!(n, Note::RoomGone { .. });
        assert!(world.take_notes().iter().any(gone));
    }
}
