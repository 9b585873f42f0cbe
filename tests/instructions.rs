//! What a stanza costs does not depend on how it is cut: counted in instructions, under
//! callgrind, which counts the same however busy a machine is.
//!
//! ```text
//! cargo test --release --all-features --test instructions -- --nocapture
//! ```
//!
//! The test runs itself under `valgrind`, once for each figure: what is counted there is one
//! function, the one that hands a stanza over, in pieces. It needs `valgrind`
//! (`apt-get install valgrind`), and fails without it.
//!
//! # What is held
//!
//! A stanza of 256 KiB in pieces costs at most 1.5 times what it costs whole, plus the cost of
//! the calls, for the framer alone and for the engine after login, whatever the bulk of the
//! stanza is: [`SHAPES`].
//!
//! The cost of a call is what another call costs where there is hardly anything yet that could
//! be read again: of two short stanzas of the same shape, 4 KiB and 2 KiB, in pieces of one byte,
//! the difference, less the difference of the same two whole, by the bytes in which they differ.
//! So that nothing hides in that figure,
//!
//! - it is at most [`IDLE_CALLS`] times what a call costs that brings a parser nothing, one byte
//!   of white space between two stanzas, and that has an absolute bound ([`most_idle`]);
//! - it does not matter where in the stanza a call is: a byte of the second half costs what one of
//!   the first does, within a tenth.
//!
//! A reader that looks through all that it has at each call, be it with the fastest search there
//! is, fails both ([`a_reader_that_looks_twice_is_found`]).
//!
//! In a debug build the stanza has 16 KiB, since everything there takes up to ten times as many,
//! and may cost twice what it costs whole: a search that is a few instructions for sixteen bytes is
//! a call for each there.
//!
//! # Figures
//!
//! Seen on 23 November 2026 by the command above, rustc 1.95, x86-64; instructions for each byte
//! of a stanza of 256 KiB. A call that brings white space between stanzas cost the framer 130,
//! the engine 312.
//!
//! | bulk | framer: whole | in pieces of 64 | of 1 | engine: whole | in pieces of 64 | of 1 |
//! |---|---|---|---|---|---|---|
//! | text | 10 | 14 | 303 | 13 | 19 | 487 |
//! | value | 19 | 26 | 350 | 19 | 29 | 532 |
//! | children | 113 | 118 | 341 | 113 | 121 | 523 |
//! | references | 93 | 95 | 277 | 93 | 99 | 460 |
//! | cdata | 11 | 15 | 305 | 13 | 20 | 489 |
//! | gap | 14 | 20 | 328 | 14 | 23 | 510 |
//! | attributes | 20 | 27 | 351 | 20 | 29 | 532 |
//! | attributes-gap | 15 | 21 | 329 | 15 | 24 | 511 |
//! | attributes-name | 62 | 71 | 384 | 62 | 73 | 565 |
//! | declarations | 19 | 26 | 350 | 19 | 29 | 532 |

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking, and this one runs a program"
)]

mod peer;

use std::hint::black_box;
use std::io::ErrorKind;
use std::process::Command;

use parley_xmpp::xml::{Frame, Framer};
use parley_xmpp::{Entry, Event, Start, XmlLimits};
use peer::Peer;

/// What the process under valgrind is to do: who reads, what shape, how many bytes, in pieces
/// of how many.
const JOB: &str = "PARLEY_INSTRUCTIONS";
/// The test that does it.
const RUNNER: &str = "a_job_for_valgrind";
/// The function that is counted, with all that it calls.
const COUNTED: &str = "*counted_reading*";

const KIB: u64 = 1024;
const MOST_BYTES: u64 = 256 * KIB;
/// How long a stanza is.
const BYTES: u64 = if cfg!(debug_assertions) {
    16 * KIB
} else {
    MOST_BYTES
};
/// Two short ones, by which a call is known.
const SHORT: [u64; 2] = [2 * KIB, 4 * KIB];
/// More than any stanza.
const WHOLE: u64 = 1024 * KIB;
const PIECES: [u64; 2] = [64, 1];
/// What a stanza in pieces costs at most besides the calls, in what it costs whole: a fraction.
const MOST: (u64, u64) = if cfg!(debug_assertions) {
    (2, 1)
} else {
    (3, 2)
};
/// What a call costs at most, in calls that bring nothing.
const IDLE_CALLS: u64 = 3;

/// What most of a stanza is: a message of a room, each of them, with a text, one value, many
/// small elements, a text that is spelled in another way, or with the space, a name, or a value
/// within a tag that has as many attributes or declarations as there may be.
const SHAPES: [&str; 10] = [
    "text",
    "value",
    "children",
    "references",
    "cdata",
    "gap",
    "attributes",
    "attributes-gap",
    "attributes-name",
    "declarations",
];

/// How many instructions a call may cost at most that brings one byte of white space between
/// two stanzas.
fn most_idle(reader: &str) -> u64 {
    let release = match reader {
        "framer" => 160,
        _ => 400,
    };
    if cfg!(debug_assertions) {
        release * 10
    } else {
        release
    }
}

/// Room for the shapes: the defaults allow no value that long, nor that many elements.
fn limits() -> XmlLimits {
    let mut limits = XmlLimits::default();
    limits.value_bytes = limits.stanza_bytes;
    limits.name_bytes = limits.stanza_bytes;
    limits.nodes = 32 * 1024;
    limits
}

/// A stanza of about so many bytes, or as much white space.
fn stanza(shape: &str, bytes: usize) -> String {
    // With the namespace and the one that may follow as many as may be.
    let attributes: String = (0..62).map(|n| format!(" a{n}='{n}'")).collect();
    let attributes = format!("<body>b</body><x xmlns='urn:example'{attributes}");
    let (value, all) = (
        format!("{attributes} value='"),
        format!("{attributes} a='a'"),
    );
    let name = format!("{attributes} name");
    let declarations: String = (1..16).map(|n| format!(" xmlns:p{n}='urn:{n}'")).collect();
    let declarations = format!("<body>b</body><x xmlns='urn:example'{declarations} value='");
    let words = |_| "what a value says, in some words ".to_owned();
    let (open, piece, close): (_, fn(usize) -> String, _) = match shape {
        "space" => return " ".repeat(bytes),
        "text" => (
            "<body>",
            |_| "what is said, in some words ".into(),
            "</body>",
        ),
        "value" => ("<body>b</body><x xmlns='urn:example' value='", words, "'/>"),
        "gap" => ("<body>b</body><x xmlns='urn:example'", |_| " ".into(), "/>"),
        "attributes" => (&*value, words, "'/>"),
        "attributes-gap" => (&*all, |_| " ".into(), "/>"),
        "attributes-name" => (&*name, |_| "and-more-of-a-name".into(), "=''/>"),
        "declarations" => (&*declarations, words, "'/>"),
        "children" => (
            "<body>b</body><x xmlns='urn:example'>",
            |n| format!("<item id='{n:05}'>word</item>"),
            "</x>",
        ),
        "references" => ("<body>", |_| "a &lt;b&gt; &#x26; &amp; ".into(), "</body>"),
        "cdata" => (
            "<body><![CDATA[",
            |_| "some <markup/> & what is none ".into(),
            "]]></body>",
        ),
        other => panic!("{other}"),
    };
    let room = peer::ROOM;
    let mut text = format!("<message from='{room}/bob' type='groupchat' id='m'>{open}");
    let end = format!("{close}<stanza-id xmlns='urn:xmpp:sid:0' by='{room}' id='s'/></message>");
    for piece in (0..).map(piece) {
        if text.len() + piece.len() + end.len() > bytes {
            break;
        }
        text += &piece;
    }
    text + &end
}

/// Hands the bytes over in pieces. What is counted is this and what it calls.
#[inline(never)]
fn counted_reading(bytes: &[u8], piece: usize, read: &mut dyn FnMut(&[u8])) {
    for piece in bytes.chunks(piece) {
        read(black_box(piece));
    }
}

fn framer_reads(bytes: &[u8], piece: usize) {
    let mut framer = Framer::new(limits());
    let header = peer::HEADER.as_bytes();
    let (read, open) = framer.push(header);
    assert!(matches!(open, Some(Ok(Frame::Open(_)))) && read == header.len());
    let mut stanzas = 0;
    counted_reading(bytes, piece, &mut |piece| match framer.push(piece).1 {
        Some(Ok(Frame::Stanza(_))) => stanzas += 1,
        Some(other) => panic!("{other:?}"),
        None => {}
    });
    assert_eq!(stanzas, usize::from(bytes.starts_with(b"<")));
}

/// In a room that is followed: the message gets as far as one can.
fn engine_reads(bytes: &[u8], piece: usize) {
    let mut config = peer::config();
    config.limits.xml = limits();
    let mut peer = Peer::online(config);
    let room = peer.join("<feature var='urn:xmpp:sid:0'/>");
    let now = peer.now;
    let subscribed = peer.engine.subscribe(now, room, Start::Now, u32::MAX);
    subscribed.expect("a subscription");
    peer.heard();
    peer.events();
    counted_reading(bytes, piece, &mut |piece| {
        assert_eq!(peer.engine.handle_input(now, piece), piece.len());
    });
    let events = peer.events();
    let messages = events.iter().filter(|event| {
        let Event::Entry { entry, .. } = event else {
            return false;
        };
        matches!(entry, Entry::Message(_))
    });
    assert_eq!(messages.count(), usize::from(bytes.starts_with(b"<")));
}

/// A reader as none should be: at each call it looks for what no stanza has, in all that it
/// was ever given.
fn toy_reads(bytes: &[u8], piece: usize) {
    let mut kept = Vec::with_capacity(bytes.len());
    counted_reading(bytes, piece, &mut |piece| {
        kept.extend_from_slice(piece);
        assert_eq!(memchr::memchr(0, black_box(&kept)), None);
    });
}

/// Does what the environment says, for [`count`].
#[test]
fn a_job_for_valgrind() {
    let Ok(job) = std::env::var(JOB) else {
        // Nothing is asked of this process.
        return;
    };
    let [reader, shape, bytes, piece] = job.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{job}");
    };
    let stanza = stanza(shape, bytes.parse().expect("a number"));
    let read = match reader {
        "framer" => framer_reads,
        "engine" => engine_reads,
        "toy" => toy_reads,
        other => panic!("{other}"),
    };
    read(stanza.as_bytes(), piece.parse().expect("a number"));
}

/// How many instructions it takes to read such a stanza in such pieces.
fn count(reader: &str, shape: &str, bytes: u64, piece: u64) -> u64 {
    let job = format!("{reader} {shape} {bytes} {piece}");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", RUNNER, "--test-threads=1"])
        .env(JOB, &job)
        .output();
    let output = match output {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("valgrind is not installed: apt-get install valgrind")
        }
        output => output.expect("valgrind"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{job}: {said}");
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .and_then(|(_, count)| count.trim().parse().ok());
    let count: u64 = collected.unwrap_or_else(|| panic!("{job}: {said}"));
    // Nothing is counted where the function is not found by its name.
    assert!(count > bytes / piece.min(bytes), "{job}: {said}");
    count
}

/// How many bytes a stanza of about so many has.
fn exactly(shape: &str, about: u64) -> u64 {
    let text = stanza(shape, usize::try_from(about).expect("a length"));
    u64::try_from(text.len()).expect("a length")
}

/// What a stanza costs.
struct Costs {
    reader: &'static str,
    shape: &'static str,
    /// About how many bytes it has, and how many exactly.
    about: u64,
    bytes: u64,
    whole: u64,
    /// One call, in the beginning of a stanza.
    call: u64,
}

impl Costs {
    fn of(reader: &'static str, shape: &'static str, about: u64) -> Self {
        let bytes = |about| exactly(shape, about);
        let [shorter, longer] = SHORT;
        let between =
            |piece| count(reader, shape, longer, piece) - count(reader, shape, shorter, piece);
        let calls = bytes(longer) - bytes(shorter);
        Self {
            reader,
            shape,
            about,
            bytes: bytes(about),
            whole: count(reader, shape, about, WHOLE),
            call: (between(1) - between(WHOLE)).div_ceil(calls),
        }
    }

    /// What it costs in such pieces, and half of it; whether both are as they should be.
    fn in_pieces(&self, piece: u64) -> Result<(), String> {
        let Self { reader, shape, .. } = *self;
        let calls = self.bytes.div_ceil(piece);
        let most = self.whole * MOST.0 / MOST.1 + calls * self.call;
        // What a byte costs in each half, in thousandths. The first 2 KiB have what is before the
        // bulk.
        let about = [SHORT[0], self.about / 2, self.about];
        let lengths = about.map(|about| exactly(shape, about));
        let costs = about.map(|about| count(reader, shape, about, piece));
        let between = |from, to| (costs[to] - costs[from]) * 1000 / (lengths[to] - lengths[from]);
        let (first, second) = (between(0, 1), between(1, 2));
        let cost = costs[2];
        println!(
            "{reader:6} {shape:15} {piece:2}: {cost:9} ({:5} a call), at most {most:9}; in the halves {:4}.{:03} and {:4}.{:03} a byte",
            cost / calls,
            first / 1000,
            first % 1000,
            second / 1000,
            second % 1000,
        );
        let what = format!("{reader}, {shape} in pieces of {piece}");
        let mut faults = Vec::new();
        if cost > most {
            faults.push(format!("{what}: {cost}, more than {most}"));
        }
        if first.abs_diff(second) > first / 10 {
            faults.push(format!(
                "{what}: {first} thousandths a byte, but {second} in the second half"
            ));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(faults.join("\n"))
        }
    }
}

/// Measures everything about a reader, and says what is not as it should be.
fn faults(reader: &'static str) -> Vec<String> {
    let mut faults = Vec::new();
    let idle = count(reader, "space", SHORT[1], 1) / SHORT[1];
    println!("{reader:6} a call that brings white space: {idle}");
    if idle > most_idle(reader) {
        faults.push(format!(
            "{reader}: {idle} for nothing, more than {}",
            most_idle(reader)
        ));
    }
    for shape in SHAPES {
        let costs = Costs::of(reader, shape, BYTES);
        println!(
            "{reader:6} {shape:15} whole: {:9} ({} bytes); {} another call",
            costs.whole, costs.bytes, costs.call
        );
        if costs.call > IDLE_CALLS * idle {
            faults.push(format!(
                "{reader}, {shape}: {} a call, {idle} idle",
                costs.call
            ));
        }
        faults.extend(
            PIECES
                .iter()
                .filter_map(|piece| costs.in_pieces(*piece).err()),
        );
    }
    faults
}

#[test]
fn a_stanza_costs_the_framer_the_same_in_pieces() {
    let faults = faults("framer");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_stanza_costs_the_engine_the_same_in_pieces() {
    let faults = faults("engine");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The measure measures: who looks at everything anew at each call is caught by both rules.
#[test]
fn a_reader_that_looks_twice_is_found() {
    let costs = Costs::of("toy", "text", MOST_BYTES);
    let said = costs.in_pieces(64).expect_err("a reader that is slow");
    println!("{said}");
    assert!(
        said.contains("more than") && said.contains("in the second half"),
        "{said}"
    );
}
