//! The examples of the specifications that a client can receive, and what the engine makes
//! of each.
//!
//! An example is a file below `tests/compliance/examples`: a head, what is received as the
//! document prints it, and what must come of it, piece by piece. The head says where the
//! example stands, and what goes before it:
//!
//! ```text
//! example: XEP-0045 version 1.35.5, section 7.2.5, example 25
//! title: Service Denies Access Because No Password Provided
//! account: hag66@shakespeare.lit/pda          who receives it
//! state: entering coven@chat.shakespeare.lit thirdwitch
//! features: urn:xmpp:mam:2                    what the room says that it can do
//! with: firstwitch secondwitch                who is there already
//! do: post hello                              what the host did before, or the server
//! put: n13mt3l = {join}                       what of it is replaced, by what
//! add: from='coven@chat.shakespeare.lit'      what its first tag has as well
//! then: enter                                 what comes after it
//! ```
//!
//! `{join}` and the like are the ids that the engine gave, which the document cannot know.
//! Of each piece is told whether it was counted as handled (XEP-0198), what the host was
//! told, and what was written; `nothing` is neither. No example may end the stream, but those
//! that are the end of one.
//!
//! `PARLEY_EXAMPLES=write` writes what the engine makes of them, to be read before it is
//! committed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parley_xmpp::XmlLimits;
use parley_xmpp::xml::{Frame, Framer};

use super::stage::Stage;
use crate::peer::HEADER;

const RECEIVED: &str = "\n--- received\n";
const MADE: &str = "\n--- made of it\n";

/// The examples that are looked at: the XEP, the first and the last.
const RANGES: [(&str, u32, u32); 6] = [
    ("XEP-0045", 18, 83),
    ("XEP-0059", 1, 21),
    ("XEP-0198", 1, 31),
    ("XEP-0313", 1, 29),
    ("XEP-0359", 1, 6),
    ("XEP-0410", 1, 4),
];

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compliance/examples")
}

/// Every file of an example, by path.
fn files() -> BTreeMap<PathBuf, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(directory()).expect("the examples").flatten() {
        let path = entry.path();
        if path.is_dir() {
            for file in fs::read_dir(&path).expect("examples").flatten() {
                let text = fs::read_to_string(file.path()).expect("an example");
                files.insert(file.path(), text);
            }
        }
    }
    files
}

/// Cuts what is received after each child of the stream.
fn pieces(received: &str) -> Vec<&str> {
    if received.contains("<stream:stream") {
        return vec![received];
    }
    let mut framer = Framer::new(XmlLimits::default());
    assert!(matches!(framer.push(HEADER.as_bytes()), (_, Some(Ok(_)))));
    let (mut pieces, mut rest) = (Vec::new(), received);
    loop {
        let (taken, found) = framer.push(rest.as_bytes());
        let found = found.map(|found| found.unwrap_or_else(|why| panic!("{why}: {received}")));
        let (piece, later) = rest.split_at(taken);
        rest = later;
        match found {
            Some(Frame::Stanza(_) | Frame::Close) => pieces.push(piece.trim()),
            Some(Frame::Open(_)) => panic!("a header: {received}"),
            None => break,
        }
    }
    pieces
}

/// What the engine makes of an example: its head and what is received, in pieces of so
/// many bytes at most.
fn made_of(head: &str, received: &str, bytes: usize) -> String {
    let all = |key: &str| -> Vec<&str> {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(k, _)| *k == key)
            .map(|(_, value)| value)
            .collect()
    };
    let one = |key: &str| all(key).first().copied();
    for line in head.lines() {
        let key = line.split_once(": ").map(|(key, _)| key);
        let known = [
            "example", "title", "account", "state", "features", "with", "do", "put", "add", "then",
        ];
        assert!(key.is_some_and(|key| known.contains(&key)), "{line}");
    }
    let mut stage = Stage::new(one("account").expect("an account"));
    stage.features = one("features").unwrap_or_default().into();
    stage.set(
        one("state").expect("a state"),
        one("with").unwrap_or_default(),
    );
    for what in all("do") {
        stage.act(what);
    }
    let mut received = received.to_owned();
    for put in all("put") {
        let (from, to) = put
            .split_once(" = ")
            .unwrap_or((put.trim_end_matches(" ="), ""));
        assert!(received.contains(from), "{from} is not in the example");
        received = received.replace(from, to);
    }
    received = received.trim_start().to_owned();
    for add in all("add") {
        let end = received
            .find([' ', '\n', '>', '/'])
            .expect("the end of a name");
        received.insert_str(end, &format!(" {add}"));
    }
    for (name, id) in &stage.ids {
        received = received.replace(&format!("{{{name}}}"), id);
    }
    if stage.managed {
        stage.count();
    }
    stage.heard();
    stage.peer.events();
    let mut out = String::new();
    for piece in pieces(&received) {
        let first = piece.lines().next().unwrap_or_default();
        let name = first.split(['>', ' ']).next().unwrap_or_default();
        writeln!(out, "{}", name.trim_end_matches('/')).unwrap();
        for part in piece.as_bytes().chunks(bytes) {
            assert_eq!(
                stage.peer.engine.handle_input(stage.peer.now, part),
                part.len()
            );
        }
        stage.outcome(&received, &mut out);
    }
    for what in all("then") {
        writeln!(out, "then {what}").unwrap();
        if what == "break" {
            stage.next_stream();
        } else {
            let said = stage.then(what);
            stage.peer.say(&said);
        }
        stage.outcome(&received, &mut out);
    }
    // What is only concluded when nothing more comes.
    let mut later = String::new();
    stage.peer.pass(Duration::from_secs(3));
    stage.outcome(&received, &mut later);
    if later != "  nothing\n" {
        write!(out, "three seconds later\n{later}").unwrap();
    }
    out
}

#[test]
fn what_is_made_of_each_is_what_is_written_under_it() {
    let write = std::env::var("PARLEY_EXAMPLES").is_ok_and(|what| what == "write");
    let mut wrong = Vec::new();
    let files = files();
    for (path, text) in &files {
        let (head, rest) = text.split_once(RECEIVED).expect("what is received");
        let (received, due) = rest.split_once(MADE).expect("what is made of it");
        let made = made_of(head, received, usize::MAX);
        if write {
            fs::write(path, format!("{head}{RECEIVED}{received}{MADE}{made}")).expect("to write");
        } else if made != due {
            let path = path.display();
            wrong.push(format!("{path}\nis\n{made}and should be\n{due}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files.len() > 80, "the examples are not there");
}

#[test]
fn the_same_is_made_of_them_byte_by_byte() {
    for (path, text) in files() {
        let (head, rest) = text.split_once(RECEIVED).expect("what is received");
        let (received, due) = rest.split_once(MADE).expect("what is made of it");
        assert_eq!(made_of(head, received, 1), due, "{}", path.display());
    }
}

/// Stanzas count as handled, and no example ends a stream that is not the end of one.
#[test]
fn every_stanza_is_counted_and_no_stream_is_ended() {
    for (path, text) in files() {
        let (_, rest) = text.split_once(RECEIVED).expect("what is received");
        let (received, made) = rest.split_once(MADE).expect("what is made of it");
        let mut lines = made.lines().peekable();
        while let Some(line) = lines.next() {
            let counted = lines.peek() == Some(&"  counted");
            if line.starts_with('<') {
                let stanza = ["<iq", "<message", "<presence"].contains(&line);
                let due = stanza && is_managed(&text);
                assert_eq!(counted, due, "{}", path.display());
            }
        }
        let ends = received.contains("<stream:error>");
        let made = made.split("\nthen break").next().unwrap();
        assert_eq!(made.contains("Offline {"), ends, "{}", path.display());
        assert!(!made.contains("<stream:error>"), "{}", path.display());
    }
}

/// Whether the stream of an example is managed, so that stanzas are counted.
fn is_managed(text: &str) -> bool {
    let state = text.lines().find_map(|line| line.strip_prefix("state: "));
    state.is_some_and(|state| {
        ["managed", "entering", "inside"].contains(&state.split(' ').next().unwrap_or_default())
    })
}

/// Every example is here, or it is said why not.
#[test]
fn every_example_is_here_or_left_out_for_a_reason() {
    let mut seen = BTreeSet::new();
    for (path, text) in files() {
        let place = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("example: "));
        let place = place.unwrap_or_else(|| panic!("{}", path.display()));
        let (xep, _) = place.split_once(' ').expect("a document");
        let (_, number) = place.rsplit_once(" example ").expect("a number");
        let number: u32 = number.parse().expect("a number");
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(name.starts_with(&format!("{number:03}")), "{name}");
        let parent = path.parent().unwrap().file_name().unwrap();
        assert_eq!(parent.to_string_lossy(), xep.to_lowercase());
        seen.insert((xep.to_owned(), number));
    }
    let left_out = fs::read_to_string(directory().join("left-out.txt")).expect("a list");
    for line in left_out
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (place, why) = line.split_once(": ").expect("a reason");
        assert!(!why.is_empty());
        let (xep, numbers) = place.split_once(' ').expect("a number");
        for number in numbers.split(", ") {
            let number = number.parse().expect("a number");
            assert!(
                seen.insert((xep.to_owned(), number)),
                "{xep} {number} is there twice"
            );
        }
    }
    let due: BTreeSet<_> = RANGES
        .iter()
        .flat_map(|(xep, first, last)| (*first..=*last).map(|n| ((*xep).to_owned(), n)))
        .collect();
    let missing: Vec<_> = due.difference(&seen).collect();
    let unknown: Vec<_> = seen.difference(&due).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "{missing:?} {unknown:?}"
    );
}
