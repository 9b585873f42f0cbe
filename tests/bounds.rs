//! What is too much ends the stream as soon as it is: not when it has all come, not for more
//! memory than that, and not by running out of stack. Through the public interface, on a
//! thread of 256 KiB, with input that is made as it is asked for.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

mod peer;

use std::alloc::System;
use std::fmt::Write as _;
use std::ops::Range;

use cap::Cap;
use parley_xmpp::xml::XmlFault;
use parley_xmpp::{Event, OfflineCause, Transport, XmlLimits};
use peer::{HEADER, Peer, config};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// So much more may be held than before.
const MEMORY: usize = 4 * 1024 * 1024;
const STACK: usize = 256 * 1024;

/// Input without end: what comes first, and then one piece by its number for ever.
struct Flood {
    name: &'static str,
    first: &'static str,
    piece: fn(usize) -> String,
    /// So many pieces in all.
    pieces: usize,
    fault: XmlFault,
    /// So many bytes are not too much, and the next one is, by which that can be told: of an
    /// element the first of its name, of a declaration the one after its name.
    allowed: usize,
}

fn floods() -> Vec<Flood> {
    let limits = XmlLimits::default();
    let flood = |name, first, piece, pieces, fault, allowed| Flood {
        name,
        first,
        piece,
        pieces,
        fault,
        allowed,
    };
    let mega = |_| "x".repeat(1024);
    vec![
        flood(
            "depth 100,000",
            "",
            |_| "<a>".into(),
            100_000,
            XmlFault::TooDeep,
            3 * limits.depth + 1,
        ),
        flood(
            "60,000 children",
            "<a>",
            |_| "<b/>".into(),
            60_000,
            XmlFault::TooManyNodes,
            3 + 4 * (limits.nodes - 1) + 1,
        ),
        flood(
            "60,000 texts and children",
            "<a>",
            |_| "t<b/>".into(),
            60_000,
            XmlFault::TooManyNodes,
            3 + 5 * ((limits.nodes - 1) / 2) + 2,
        ),
        flood(
            "100,000 attributes",
            "<a",
            |n| format!(" b{n:06}=''"),
            100_000,
            XmlFault::TooManyAttributes,
            2 + 11 * limits.attributes + 1,
        ),
        flood(
            "300 namespaces of one element",
            "<a",
            |n| format!(" xmlns:p{n:03}='u'"),
            300,
            XmlFault::TooManyDeclarations,
            2 + 15 * limits.declarations + 11,
        ),
        flood(
            "300 namespaces in scope",
            "",
            |n| {
                let mut tag = format!("<a{n:03}");
                for own in 0..10 {
                    write!(tag, " xmlns:p{own}='u'").unwrap();
                }
                tag + ">"
            },
            30,
            XmlFault::TooManyBindings,
            // The header has two.
            (limits.bindings - 2) / 10 * 136 + 5 + (limits.bindings - 2) % 10 * 13 + 9,
        ),
        flood(
            "64 MB of text",
            "<a>",
            mega,
            64 * 1024,
            XmlFault::StanzaTooLong,
            limits.stanza_bytes,
        ),
        flood(
            "64 MB of references",
            "<a>",
            |_| "&lt;".repeat(256),
            64 * 1024,
            XmlFault::StanzaTooLong,
            limits.stanza_bytes,
        ),
        flood(
            "64 MB of CDATA",
            "<a><![CDATA[",
            mega,
            64 * 1024,
            XmlFault::StanzaTooLong,
            limits.stanza_bytes,
        ),
        flood(
            "64 MB of space in a tag",
            "<a",
            |_| " ".repeat(1024),
            64 * 1024,
            XmlFault::StanzaTooLong,
            limits.stanza_bytes,
        ),
        flood(
            "a name of 1 MB",
            "<",
            mega,
            1024,
            XmlFault::NameTooLong,
            1 + limits.name_bytes,
        ),
        flood(
            "the name of an attribute of 1 MB",
            "<a ",
            mega,
            1024,
            XmlFault::NameTooLong,
            3 + limits.name_bytes,
        ),
        flood(
            "a value of 1 MB",
            "<a b='",
            mega,
            1024,
            XmlFault::ValueTooLong,
            6 + limits.value_bytes,
        ),
    ]
}

/// Feeds a flood in pieces of that size. Returns which bytes were in the call that ended the
/// stream, how much more was allocated at most, and how much was resident when it ended.
fn drown(flood: &Flood, size: usize, logged_in: bool) -> (Range<usize>, usize, Option<usize>) {
    let mut peer = if logged_in {
        Peer::online(config())
    } else {
        let mut peer = Peer::new(config());
        peer.engine.transport_opened(
            peer.now,
            parley_xmpp::Security::Tls(parley_xmpp::ChannelBinding::default()),
        );
        peer.say(HEADER);
        peer
    };
    peer.heard();
    peer.events();
    let before = ALLOCATOR.allocated();
    let (mut fed, mut last, mut most) = (0, 0..0, 0);
    let first = core::iter::once(flood.first.to_owned());
    'input: for piece in first.chain((0..flood.pieces).map(flood.piece)) {
        for bytes in piece.as_bytes().chunks(size) {
            let took = peer.engine.handle_input(peer.now, bytes);
            most = most.max(ALLOCATOR.allocated().saturating_sub(before));
            let farewell = !peer.engine.wants().write.is_empty();
            last = fed..fed + bytes.len();
            if took < bytes.len() || farewell {
                break 'input;
            }
            fed = last.end;
        }
    }
    // With all that the engine holds: what it lets go of is given back to the system.
    let resident = resident();
    let said = peer.heard();
    let expected = "<stream:error><policy-violation \
                    xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    assert_eq!(said, expected, "{}", flood.name);
    peer.engine.handle_eof(peer.now);
    let told = peer.events();
    let cause = told.iter().find_map(|event| match event {
        Event::Offline { cause, .. } => Some(cause),
        _ => None,
    });
    assert!(
        matches!(cause, Some(OfflineCause::Xml(fault)) if fault.fault == flood.fault),
        "{}: {told:?}",
        flood.name
    );
    assert!(!matches!(peer.engine.wants().transport, Transport::Open));
    (last, most, resident)
}

/// Memory of this process that is in use, in bytes; `None` where nobody tells.
fn resident() -> Option<usize> {
    let pages = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = pages.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

// One test, so that nothing else allocates meanwhile.
#[test]
fn what_is_too_much_ends_the_stream_at_once() {
    let small = std::thread::Builder::new().stack_size(STACK);
    let run = || {
        // What is set up once is set up.
        drown(&floods()[0], 1, true);
        let (before, mut worst) = (resident(), 0);
        let more = |now: Option<usize>| {
            let now = now.zip(before);
            now.map_or(0, |(now, before)| now.saturating_sub(before))
        };
        // What is held shows, as long as it is.
        let held = std::hint::black_box(vec![1_u8; 2 * MEMORY]);
        let shows = before.is_none() || more(resident()) > MEMORY;
        drop(held);
        assert!(shows, "what is resident cannot be told");
        for flood in floods() {
            for logged_in in [true, false] {
                let mut figures = Vec::new();
                for size in [1, 64, 1024] {
                    let (last, most, now) = drown(&flood, size, logged_in);
                    worst = worst.max(more(now));
                    let name = flood.name;
                    assert!(
                        last.contains(&flood.allowed),
                        "{name}: with {last:?} in pieces of {size}, not {}",
                        flood.allowed
                    );
                    assert!(most < MEMORY, "{name}: {most} bytes more are held");
                    figures.push((last, most));
                }
                println!("{}: {figures:?}", flood.name);
            }
        }
        println!("resident: at most {worst} bytes more than before");
        assert!(worst < MEMORY, "{worst} bytes more are resident");
    };
    small.spawn(run).unwrap().join().unwrap();
}
