//! What the fuzzers run.
//!
//! Each target is a plain function of bytes that panics where something does not
//! hold. `cargo +nightly fuzz run <target> -- -dict=fuzz/xml.dict` (or `xmpp.dict`) searches for
//! such bytes; `cargo test` in this directory replays the corpora with any
//! toolchain. What a fuzzer finds becomes a named test and a file of the corpus.

#![deny(unsafe_code)]

mod counters;
#[cfg(test)]
#[path = "../../tests/support/documents.rs"]
mod documents;
mod engine;
#[path = "../../src/bin/parley-xmpp/escape.rs"]
mod escape;
mod expat;
mod following;
mod paging;
#[path = "../../tests/peer/scram.rs"]
mod scram;
#[path = "../../tests/support/script.rs"]
mod script;
mod session;
mod stanza;
#[path = "../../tests/support/watch.rs"]
mod watch;
#[path = "../../tests/support/xml.rs"]
mod xml;

pub use counters::sm_counters;
pub use engine::{engine_bytes, engine_script, jid, scram};
pub use paging::mam_paging;
use parley_xmpp::XmlLimits;
use peak_alloc::PeakAlloc;
pub use stanza::stanza;
use xml::{HEAD, Op};

/// Counts what is allocated.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What runs, and how much memory it may take.
pub struct Target {
    /// Its name, which is also that of its corpus.
    pub name: &'static str,
    run: fn(&[u8]),
    /// Bytes allocated at once, for the target itself, what it compares with (rxml keeps room
    /// for its longest token) and the engine: the most whatever the input.
    most: usize,
    /// And so many more for each byte of input.
    per_byte: usize,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    target("framer_split", framer_split, 64, 64),
    target("xml_diff", xml_diff, 3072, 64),
    target("writer_round_trip", writer_round_trip, 3072, 64),
    target("engine_bytes", engine_bytes, 512, 64),
    target("engine_script", engine_script, 1024, 256),
    // Form C keeps eight bytes for each character of a run of marks, in a buffer that doubles,
    // and two bytes (U+0344) may be two of them.
    target("jid", jid, 16, 24),
    target("scram", scram, 64, 64),
    target("sm_counters", sm_counters, 256, 64),
    target("stanza", stanza, 128, 64),
    target("cli_escape", cli_escape, 4, 24),
    target("mam_paging", mam_paging, 256, 64),
];

const fn target(name: &'static str, run: fn(&[u8]), kib: usize, per_byte: usize) -> Target {
    Target {
        name,
        run,
        most: kib * 1024,
        per_byte,
    }
}

impl Target {
    /// Runs it, and looks at the memory that it took. Returns how much that was.
    ///
    /// # Panics
    ///
    /// If something does not hold, or it took more than it may.
    pub fn run(&self, data: &[u8]) -> usize {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        (self.run)(data);
        let took = MEMORY.peak_usage().saturating_sub(before);
        let most = self.most + self.per_byte * data.len();
        assert!(took <= most, "{took} bytes allocated at once, not {most}");
        took
    }
}

/// Runs a target by its name.
///
/// # Panics
///
/// If there is none of that name, or it does not hold.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    target.expect("a target").run(data);
}

/// Makes a program of a target.
#[macro_export]
macro_rules! fuzz {
    ($target:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::run(stringify!($target), data));
        #[cfg(not(fuzzing))]
        fn main() {}
    };
}

/// The framer says the same however its input is cut, and so does expat with the same cuts. The
/// first byte chooses the limits, the next three how it is cut.
pub fn framer_split(data: &[u8]) {
    let Some((&[kind, a, b, c], document)) = data.split_first_chunk() else {
        return;
    };
    let mut limits = XmlLimits::default();
    if kind % 2 == 1 {
        limits.stanza_bytes = 600;
        limits.depth = 4;
        limits.nodes = 8;
        limits.attributes = 5;
        limits.declarations = 2;
        limits.bindings = 5;
        limits.name_bytes = 20;
        limits.value_bytes = 300;
    }
    let sizes = [a, b, c].map(|n| usize::from(n) % 300 + 1);
    let head = if kind & 2 == 0 { "" } else { HEAD };
    let document = [head.as_bytes(), document].concat();
    xml::check_cuts(&limits, &document, &sizes);
    expat::check(&limits, &document, &sizes);
}

/// Two independent parsers say the same, of the bytes and of a stream of them;
/// and what is printed reads the same.
pub fn xml_diff(document: &[u8]) {
    let stream = [HEAD.as_bytes(), document, b"</stream:stream>"].concat();
    let limits = XmlLimits::default();
    for document in [document, &stream] {
        xml::check_against_rxml(document);
        // Cut in other ways for each length.
        let n = document.len();
        expat::check(&limits, document, &[n % 3 + 1, n % 7 + 1, n % 31 + 1]);
    }
    xml::check_display(&stream);
}

/// What is written is what is read, by expat too. Each step of the writing is a byte that says
/// what, and, for texts and attributes, a byte that says how long.
pub fn writer_round_trip(data: &[u8]) {
    let mut ops = Vec::new();
    let mut rest = data;
    while let Some((&what, after)) = rest.split_first() {
        rest = after;
        let mut text = || {
            let (&len, after) = rest.split_first().unwrap_or((&0, &[]));
            let (text, after) = after.split_at(usize::from(len).min(after.len()));
            rest = after;
            String::from_utf8_lossy(text).into_owned()
        };
        ops.push(match what % 4 {
            0 => Op::Start(usize::from(what) / 4),
            1 => Op::Attr(usize::from(what) / 4, text()),
            2 => Op::Text(text()),
            _ => Op::End,
        });
    }
    if let Some((written, ours)) = xml::check_writer(&ops) {
        let theirs = expat::Reading::of([written.as_slice()]);
        expat::agree(&ours, &theirs).expect("expat reads the same");
        assert!(theirs.is_whole(), "expat reads it to its end");
    }
}

/// Nothing that a peer says steers a terminal, or passes for a line of ours; what is
/// harmless stays as it is.
pub fn cli_escape(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let line = escape::Line(&text).to_string();
    let body = escape::Body(&text).to_string();
    for c in line.chars().chain(body.chars().filter(|c| *c != '\n')) {
        assert!(
            !c.is_control() && !escape::is_dangerous(c),
            "{c:?} of {text:?}"
        );
    }
    let mut lines = body.split('\n').skip(1);
    assert!(
        lines.all(|line| line.starts_with(escape::INDENT)),
        "{body:?}"
    );
    if !text.contains(|c: char| c.is_control() || escape::is_dangerous(c)) {
        assert!(line == text && body == text, "{text:?} is harmless");
    }
    // An escape is at most as long as `\u{e0fff}`.
    assert!(line.len() <= 9 * text.len() && body.len() <= 9 * text.len());
}

#[cfg(test)]
mod tests {
    use icu_properties::props::{BidiControl, DefaultIgnorableCodePoint, GeneralCategory};
    use icu_properties::{CodePointMapData, CodePointSetData};

    use crate::escape::is_dangerous;

    /// The list by which a terminal is protected, against Unicode's own tables.
    #[test]
    fn what_steers_or_is_not_seen_is_dangerous() {
        let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>();
        let turning = CodePointSetData::new::<BidiControl>();
        let category = CodePointMapData::<GeneralCategory>::new();
        for c in '\0'..=char::MAX {
            let steers = matches!(
                category.get(c),
                GeneralCategory::Control
                    | GeneralCategory::LineSeparator
                    | GeneralCategory::ParagraphSeparator
            );
            // The variation selectors that emoji have.
            let unseen = ignorable.contains(c) && !('\u{fe00}'..='\u{fe0f}').contains(&c);
            // Annotations between lines are no characters of the text that they stand in.
            let annotation = ('\u{fff9}'..='\u{fffb}').contains(&c);
            let dangerous = steers || unseen || turning.contains(c) || annotation;
            assert_eq!(is_dangerous(c), dangerous, "{c:?}");
        }
    }
}
