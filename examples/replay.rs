//! The core at work with nothing around it: no server, no socket, no runtime.
//!
//! Plays what a real Prosody once said (`tests/transcripts/prosody.xmpp`) to the
//! engine, and prints both sides of the conversation and what the engine tells
//! its host. Run it with `cargo run --example replay`.

#![allow(
    clippy::unwrap_used,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "an example may stop where it cannot go on, and prints to a terminal"
)]

use parley_xmpp::jid::BareJid;
use parley_xmpp::{
    Config, Cursor, Engine, Event, Fetch, FetchEvent, Instant, JoinRoom, Nick, Plaintext, Post,
    RoomId, Security, Seed, Start, Timer,
};

const TRANSCRIPT: &str = include_str!("../tests/transcripts/prosody.xmpp");

fn main() {
    let mut config = Config::new("parley.local", "alice", "secret-alice").unwrap();
    config.plaintext = Plaintext::OnLoopback;
    // Time is a number that the host passes in. Here it stands still.
    let now = Instant::ZERO;
    // The seed of the recording: the ids have to be those that the server answered.
    let mut engine = Engine::new(config, Seed::new([7; 32]), now);
    engine.transport_opened(now, Security::Clear { loopback: true });

    let mut room = None;
    for line in TRANSCRIPT.lines() {
        let (who, text) = line.split_at(2);
        match who {
            "S " => {
                println!("server   {}", shorten(text));
                let text = text.replace("\\n", "\n");
                let taken = engine.handle_input(now, text.as_bytes());
                assert_eq!(taken, text.len());
                // Key derivation is done in slices, so that no call takes long.
                while engine
                    .wants()
                    .deadline
                    .is_some_and(|deadline| deadline.why == Timer::Work)
                {
                    engine.handle_timeout(now);
                }
            }
            "C " => {
                let n = engine.wants().write.len();
                println!(
                    "engine   {}",
                    shorten(&String::from_utf8_lossy(engine.wants().write))
                );
                engine.written(now, n);
            }
            _ => {
                println!("command  {text}");
                command(&mut engine, now, &mut room, text);
            }
        }
        while let Some(event) = engine.poll_event() {
            println!("   event {}", describe(&event));
        }
    }
}

fn command(engine: &mut Engine, now: Instant, room: &mut Option<RoomId>, text: &str) {
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    match (verb, *room) {
        ("join", _) => {
            let address = BareJid::parse(rest).unwrap();
            let join = JoinRoom::new(address, Nick::Chosen("ada".into()));
            *room = Some(engine.join(now, join).unwrap());
        }
        ("post", Some(room)) => {
            engine.post(now, room, Post::new(rest)).unwrap();
        }
        ("fetch", Some(room)) => {
            let since = Cursor::parse(rest).unwrap();
            engine.fetch(now, room, Fetch::since(since, 100)).unwrap();
        }
        ("subscribe", Some(room)) => {
            engine.subscribe(now, room, Start::Now, u32::MAX).unwrap();
        }
        ("close", _) => engine.close(now),
        _ => {}
    }
}

fn describe(event: &Event) -> String {
    match event {
        Event::Fetch {
            event: FetchEvent::Page(messages),
            ..
        } => {
            let bodies: Vec<_> = messages
                .iter()
                .map(|message| message.body.as_str())
                .collect();
            format!("a page of the archive: {bodies:?}")
        }
        // What a peer wrote is escaped before it reaches a terminal: `{:?}` does that.
        other => shorten(&format!("{other:?}")),
    }
}

fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(150).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
