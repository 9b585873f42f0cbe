//! The engine driven without a runtime, over what real servers said: whole, one
//! byte at a time, and in uneven pieces, with the same bytes and the same events.
//!
//! A transcript (`tests/transcripts/*.xmpp`, made by `tests/no_runtime.rs`) has a
//! line for each turn: `S` what the server sent, `C` what the engine must have
//! written by then, `H` a command of the host. `\n` and `\\` are escaped.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use core::time::Duration;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Config, Cursor, Engine, Event, Fetch, Instant, JoinRoom, Nick, Plaintext, Post, RoomId,
    Security, Seed, Start, Timer, Transport,
};

fn config() -> Config {
    let mut config = Config::new("parley.local", "alice", "secret-alice").unwrap();
    config.plaintext = Plaintext::OnLoopback;
    config
}

/// Replays a transcript in pieces of the sizes that `piece` gives; returns the events.
fn replay(transcript: &str, mut piece: impl FnMut() -> usize) -> Vec<Event> {
    // A clock of our own: it goes on by seven milliseconds a line.
    let mut now = Instant::from_millis(5);
    let mut engine = Engine::new(config(), Seed::new([7; 32]), now);
    assert_eq!(engine.wants().transport, Transport::Connect { attempt: 1 });
    engine.transport_opened(now, Security::Clear { loopback: true });
    let (mut events, mut room) = (Vec::new(), None::<RoomId>);
    for line in transcript.lines() {
        now = now.plus(Duration::from_millis(7));
        let (who, text) = line.split_at(2);
        match who {
            "S " => {
                let text = unescape(text);
                let mut rest = text.as_bytes();
                while !rest.is_empty() {
                    let (now_fed, later) = rest.split_at(piece().clamp(1, rest.len()));
                    assert_eq!(engine.handle_input(now, now_fed), now_fed.len());
                    while engine
                        .wants()
                        .deadline
                        .is_some_and(|d| d.why == Timer::Work)
                    {
                        engine.handle_timeout(now);
                    }
                    rest = later;
                }
            }
            "C " => {
                assert_eq!(String::from_utf8_lossy(engine.wants().write), text);
                engine.written(now, text.len());
            }
            _ => match (text.split_once(' ').unwrap_or((text, "")), room) {
                (("join", at), _) => {
                    let at = BareJid::parse(at).unwrap();
                    let nick = Nick::Chosen("ada".into());
                    room = engine.join(now, JoinRoom::new(at, nick)).ok();
                }
                (("post", body), Some(room)) => {
                    _ = engine.post(now, room, Post::new(body)).unwrap()
                }
                (("fetch", since), Some(room)) => {
                    let since = Cursor::parse(since).unwrap();
                    engine.fetch(now, room, Fetch::since(since, 100)).unwrap();
                }
                (("subscribe", _), Some(room)) => {
                    engine.subscribe(now, room, Start::Now, u32::MAX).unwrap();
                }
                (("close", _), _) => engine.close(now),
                (command, _) => panic!("{command:?}"),
            },
        }
        events.extend(core::iter::from_fn(|| engine.poll_event()));
    }
    assert_eq!(engine.wants().transport, Transport::Shutdown);
    engine.handle_eof(now);
    events.extend(core::iter::from_fn(|| engine.poll_event()));
    assert_eq!(engine.wants().transport, Transport::Closed);
    events
}

/// Undoes the escapes of a line: `\\n` and `\\\\`.
fn unescape(text: &str) -> String {
    let parts: Vec<_> = text
        .split("\\\\")
        .map(|part| part.replace("\\n", "\n"))
        .collect();
    parts.join("\\")
}

fn same_events_in_any_pieces(transcript: &str) {
    let whole = replay(transcript, || usize::MAX);
    assert_eq!(whole.last(), Some(&Event::Closed));
    assert!(
        whole
            .iter()
            .filter(|e| matches!(e, Event::Entry { .. }))
            .count()
            >= 4
    );
    assert_eq!(replay(transcript, || 1), whole);
    for size in [2, 3, 7, 64, 1000] {
        assert_eq!(replay(transcript, || size), whole, "pieces of {size}");
    }
    let mut state = 1_usize;
    let uneven = || {
        state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345) & 0xffff;
        1 + state % 97
    };
    assert_eq!(replay(transcript, uneven), whole);
}

#[test]
fn prosody_in_any_pieces() {
    same_events_in_any_pieces(include_str!("transcripts/prosody.xmpp"));
}

#[test]
fn ejabberd_in_any_pieces() {
    same_events_in_any_pieces(include_str!("transcripts/ejabberd.xmpp"));
}
