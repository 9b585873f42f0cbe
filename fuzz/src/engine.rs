//! Targets that run the whole engine, and addresses.

use parley_xmpp::jid::{BareJid, Jid};
use parley_xmpp::{ChannelBinding, Config, Engine, Event, Instant, Security, Seed, Timer};

use crate::scram::{Scram, base64};
use crate::script::{LINES, Mode, Op, decode, opening, play};

/// How to play a script a second time, with the same result.
fn mode(byte: u8) -> Mode {
    Mode {
        piece: match byte >> 3 {
            0 => usize::MAX,
            n => usize::from(n),
        },
        eager: byte & 1 == 0,
        spurious: byte & 2 != 0,
        events: if byte & 5 == 4 { 4 } else { Mode::PLAIN.events },
    }
}

fn play_twice(ops: &[Op], byte: u8) {
    let plain = play(ops, &Mode::PLAIN);
    let other = play(ops, &mode(byte));
    assert_eq!(plain.events, other.events);
    assert!(plain.steps == other.steps, "other steps");
}

/// A server says just these bytes, before the login or after it. The first byte
/// chooses when, the second in which pieces; a zero lets time pass to the next
/// deadline.
pub fn engine_bytes(data: &[u8]) {
    let Some((&[start, how], said)) = data.split_first_chunk() else {
        return;
    };
    let mut ops = match start % 10 {
        8 => vec![Op::Do(16, 1, 0)],
        9 => vec![Op::Do(16, 3, 0)],
        start => opening(start),
    };
    for said in said.split(|byte| *byte == 0).take(50) {
        ops.push(Op::Raw(said.to_vec()));
        ops.push(Op::Do(31, 0, 0));
    }
    play_twice(&ops, how);
}

/// A host and a server do anything, in any order. The first byte chooses where it
/// begins, the second how it is played the second time.
pub fn engine_script(data: &[u8]) {
    let Some((&[start, how], script)) = data.split_first_chunk() else {
        return;
    };
    play_twice(&[opening(start), decode(script)].concat(), how);
}

/// What is an address stays that address, part by part.
pub fn jid(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(jid) = Jid::parse(&text) else {
        return assert!(BareJid::parse(&text).is_err());
    };
    assert!(jid.as_str().len() <= 3071);
    assert_eq!(Jid::parse(jid.as_str()).as_ref(), Ok(&jid), "not prepared");
    let bare = BareJid::new(jid.local(), jid.domain()).expect("its own parts");
    assert_eq!((bare.as_str(), &bare), (jid.bare_str(), &jid.bare()));
    let again = match jid.resource() {
        Some(resource) => bare.with_resource(resource).expect("its own resource"),
        None => bare.clone().into(),
    };
    assert_eq!(
        (again, jid.is_bare()),
        (jid.clone(), jid.resource().is_none())
    );
    // What is not bare is no bare address, and what is is the same one.
    assert_eq!(BareJid::parse(&text).ok(), jid.is_bare().then_some(bare));
    parley_xmpp::xml::check_text(jid.as_str()).expect("what XML can carry");
    // As the DNS spells it, it is the same.
    let dns = BareJid::new(jid.local(), &jid.bare().ascii_domain()).expect("its own domain");
    assert_eq!(dns, jid.bare());
    for part in [
        jid.local().unwrap_or("x"),
        jid.domain(),
        jid.resource().unwrap_or("x"),
    ] {
        assert!(!part.is_empty() && part.len() <= 1023);
    }
}

/// A server that may or may not know the password says anything during the
/// login: the engine never goes on without the right proof. Messages are a byte
/// that says which, one that says how long, and a text in which U+0001 stands for
/// the client's nonce.
pub fn scram(data: &[u8]) {
    let Some((&[which, ..], mut rest)) = data.split_first_chunk::<1>() else {
        return;
    };
    let mut config = Config::new("parley.local", "alice", "secret").expect("a config");
    config.limits.scram_iterations = (1, 100);
    config.limits.scram_iterations_per_call = 7;
    let now = Instant::ZERO;
    let mut engine = Engine::new(config, Seed::new([5; 32]), now);
    let mut channel = ChannelBinding::default();
    let data = [9; 32];
    let mechanism = match which % 4 {
        0 => "SCRAM-SHA-1",
        1 => "SCRAM-SHA-256",
        2 => {
            channel.exporter = Some(data.to_vec());
            "SCRAM-SHA-1-PLUS"
        }
        _ => {
            channel.exporter = Some(data.to_vec());
            "SCRAM-SHA-256"
        }
    };
    let bound: &[u8] = if which % 4 == 2 { &data } else { &[] };
    engine.transport_opened(now, Security::Tls(channel));
    let say = |engine: &mut Engine, text: &str| {
        assert_eq!(engine.handle_input(now, text.as_bytes()), text.len());
    };
    say(&mut engine, LINES[0]);
    say(&mut engine, &LINES[1].replace("PLAIN", mechanism));
    let mut sent = take(&mut engine);
    let auth = sent.split_once("<auth ").expect("a login").1;
    let auth = auth
        .split_once('>')
        .expect("its text")
        .1
        .split_once('<')
        .expect("its end")
        .0;
    let mut server = Scram::new(mechanism, "secret");
    server.rounds = 20;
    let honest = server.first(auth);
    let nonce = honest.split_once("server+nonce").expect("a nonce").0[2..].to_owned();
    let mut proved = false;
    while let Some((&[kind, len], after)) = rest.split_first_chunk() {
        let (text, after) = after.split_at(usize::from(len).min(after.len()));
        rest = after;
        let text = String::from_utf8_lossy(text).replace('\u{1}', &nonce);
        let last = sent.rsplit_once("<response ").and_then(|(_, response)| {
            let response = response.split_once('>')?.1.split_once('<')?.0;
            Some(response)
                .filter(|r| !r.is_empty())
                .and_then(|r| server.last(r, bound))
        });
        let mut right = false;
        let (element, text) = match kind % 8 {
            0 => ("challenge", base64(&text)),
            1 => ("success", base64(&text)),
            2 | 3 => {
                // What it says itself it also signs.
                let text = if kind % 8 == 2 { honest.clone() } else { text };
                server.replace_first(&text);
                ("challenge", base64(&text))
            }
            4 | 5 => {
                right = last.is_some();
                let element = if kind % 8 == 4 {
                    "success"
                } else {
                    "challenge"
                };
                (element, base64(&last.unwrap_or_default()))
            }
            6 => ("success", unmarked(&text)),
            _ => ("challenge", unmarked(&text)),
        };
        say(
            &mut engine,
            &format!("<{element} xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{text}</{element}>"),
        );
        while engine
            .wants()
            .deadline
            .is_some_and(|d| d.why == Timer::Work)
        {
            engine.handle_timeout(now);
        }
        let before = sent.len();
        sent.push_str(&take(&mut engine));
        // A right proof counts where it was waited for: it is answered.
        proved |= right && sent.len() > before;
        assert!(
            proved || sent.matches("<?xml ").count() == 1,
            "logged in without a proof"
        );
        assert!(!sent.contains("secret"));
    }
    engine.handle_eof(now);
    let events: Vec<_> = core::iter::from_fn(|| engine.poll_event()).collect();
    assert!(matches!(events[..], [Event::Offline { .. }]), "{events:?}");
}

/// All that waits to be written.
fn take(engine: &mut Engine) -> String {
    let text = String::from_utf8(engine.wants().write.to_vec()).expect("text");
    engine.written(Instant::ZERO, text.len());
    text
}

/// A text without markup.
fn unmarked(text: &str) -> String {
    text.replace(['<', '&', '>'], "")
}
