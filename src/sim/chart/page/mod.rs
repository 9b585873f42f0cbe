//! The page: a template, its style and scripts, and the recording as data.
//!
//! Whatever a peer said stands in the data only, where no character has a meaning
//! for HTML, and is put on the screen as text; or at the head of the page, escaped.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::item::{Item, Kind, Lane, Link, Span};
use super::json::{Json, is_invisible};
use super::record::Record;
use super::words;
use crate::sim::happening::Ending;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// In the order in which they build on each other.
const SCRIPTS: [&str; 7] = [
    include_str!("data.js"),
    include_str!("layout.js"),
    include_str!("draw.js"),
    include_str!("detail.js"),
    include_str!("table.js"),
    include_str!("strip.js"),
    include_str!("main.js"),
];

/// The page of a recording.
pub(super) fn html(record: &Record) -> String {
    let items = in_order(record);
    let data = data(record, &items);
    // Scripts run only with a mark that is not known before the page is made: a
    // second fence, should markup ever get past the first.
    let nonce = format!("{:016x}", fnv(&data));
    fill(TEMPLATE, |name, out| match name {
        "nonce" => out.push_str(&nonce),
        "title" => escape(&record.title, out),
        "style" => out.push_str(STYLE),
        "facts" => facts(record, &items, out),
        "commands" => commands(record, out),
        "notices" => notices(record, out),
        "violations" => violations(record, &items, out),
        "data" => out.push_str(&data),
        "script" => SCRIPTS.iter().for_each(|script| out.push_str(script)),
        _ => {}
    })
}

/// The template, with what `put` says in the place of each `{{name}}`.
fn fill(template: &str, mut put: impl FnMut(&str, &mut String)) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let (name, after) = after.split_once("}}").unwrap_or(("", after));
        put(name, &mut out);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// All items as they happened. Those in pieces are known only once they are whole,
/// but belong where they began.
fn in_order(record: &Record) -> Vec<Item> {
    let mut items = record.items.clone();
    items.extend(record.unfinished());
    items.sort_by_key(|item| item.stamp.order);
    items
}

fn facts(record: &Record, items: &[Item], out: &mut String) {
    let count = |which: &dyn Fn(&Item) -> bool| items.iter().filter(|item| which(item)).count();
    let lost = count(&|item| {
        item.transit
            .as_ref()
            .is_some_and(|transit| transit.read.is_none())
    });
    let counts = [
        ("lasted", words::time(record.now.at)),
        ("events", items.len().to_string()),
        (
            "on the wire",
            count(&|item| item.kind.is_wire()).to_string(),
        ),
        ("lost", lost.to_string()),
        ("links", record.links.len().to_string()),
        (
            "faults",
            count(&|item| item.kind == Kind::Fault).to_string(),
        ),
    ];
    for (name, value) in &record.facts {
        fact(name, value, out);
    }
    for (name, value) in counts {
        fact(name, &value, out);
    }
}

fn fact(name: &str, value: &str, out: &mut String) {
    out.push_str("<div><dt>");
    escape(name, out);
    out.push_str("</dt><dd>");
    escape(value, out);
    out.push_str("</dd></div>");
}

fn commands(record: &Record, out: &mut String) {
    for (purpose, line) in &record.commands {
        out.push_str("<p class=\"command\"><span>");
        escape(purpose, out);
        out.push_str("</span><code>");
        escape(line, out);
        out.push_str("</code></p>");
    }
}

/// What the page does not show, in words.
fn notices(record: &Record, out: &mut String) {
    let mut say = |text: &str| {
        out.push_str("<p class=\"notice\">");
        escape(text, out);
        out.push_str("</p>");
    };
    if let Some(from) = record.left_out_from {
        say(&format!(
            "Not all is shown: the page is full with {} events; {} more, from {} on, are left out \
             (broken rules are not).",
            record.limits.events,
            record.left_out,
            words::time(from),
        ));
    }
    if record.cut_details > 0 {
        say(&format!(
            "{} long stanzas or details are cut after {} bytes.",
            record.cut_details, record.limits.detail_bytes,
        ));
    }
    if record.lost_details > 0 {
        say(&format!(
            "Details of {} events are left out: the page holds {} bytes of them at most.",
            record.lost_details, record.limits.text_bytes,
        ));
    }
}

fn violations(record: &Record, items: &[Item], out: &mut String) {
    if record.violations() == 0 {
        return;
    }
    out.push_str("<section id=\"violations\" aria-label=\"Broken rules\"><h2>");
    let _ = write!(out, "Rules broken: {}", record.violations());
    out.push_str("</h2><ol>");
    for (index, item) in items.iter().enumerate() {
        if item.kind == Kind::Violation {
            let _ = write!(out, "<li><a href=\"#e{index}\"><b>");
            escape(&item.label, out);
            out.push_str("</b> <time>");
            escape(&words::time(item.stamp.at), out);
            out.push_str("</time> ");
            escape(&item.detail, out);
            out.push_str("</a></li>");
        }
    }
    out.push_str("</ol></section>");
}

/// The recording as JSON. `data.js` says what is what.
fn data(record: &Record, items: &[Item]) -> String {
    let mut strings = Strings::default();
    let mut json = Json::default();
    json.object(|json| {
        json.name("kinds");
        json.list(|json| Kind::NAMES.iter().for_each(|name| json.text(name)));
        json.name("hosts");
        json.list(|json| record.hosts.iter().for_each(|name| json.text(name)));
        json.name("links");
        json.list(|json| {
            for (id, link) in &record.links {
                link_json(json, id.0, link);
            }
        });
        json.name("spans");
        json.list(|json| record.spans.iter().for_each(|span| span_json(json, span)));
        json.name("events");
        json.list(|json| {
            for item in items {
                item_json(json, &mut strings, item);
            }
        });
        json.name("healed");
        json.maybe(record.healed);
        json.name("end");
        json.number(record.now.at);
        json.name("strings");
        json.list(|json| {
            for text in strings.in_order() {
                json.text(text);
            }
        });
    });
    json.finish()
}

fn link_json(json: &mut Json, id: u32, link: &Link) {
    json.list(|json| {
        json.number(id.into());
        json.number(wide(link.host));
        json.number(link.generation.into());
        json.number(link.opening);
        json.maybe(link.opened);
        json.number(link.stands.into());
        json.maybe(link.protected);
        json.maybe(link.broken);
        for end in link.ended {
            json.maybe(end.map(|(at, _)| at));
            json.text(end.map_or("", |(_, how)| match how {
                Ending::Fin => "FIN",
                Ending::Reset => "reset",
                Ending::Silence => "silence",
                Ending::Truncation => "end of TLS without a word",
                Ending::Alert => "TLS alert",
                Ending::HalfOpen => "silence one way",
            }));
        }
    });
}

fn span_json(json: &mut Json, span: &Span) {
    json.list(|json| {
        lane(json, span.lane);
        json.number(span.from);
        json.maybe(span.to);
        json.number(span.down.into());
        json.text(&span.label);
    });
}

fn item_json(json: &mut Json, strings: &mut Strings, item: &Item) {
    json.list(|json| {
        json.number(item.kind as u64);
        json.number(item.stamp.order);
        json.number(item.stamp.at);
        lane(json, item.lane);
        json.maybe(item.link.map(u64::from));
        json.number(strings.add(&item.label));
        json.number(strings.add(&item.detail));
        if let Some(transit) = &item.transit {
            json.number(transit.bytes);
            json.number(transit.writes.into());
            json.number(transit.written.at);
            json.maybe(transit.first_read.map(|stamp| stamp.at));
            json.maybe(transit.read.map(|stamp| stamp.at));
            json.maybe(transit.read.map(|stamp| stamp.order));
            json.number(transit.reads.into());
            json.number(transit.arrived);
        }
    });
}

/// A host by its number, the server as -1, all as -2.
fn lane(json: &mut Json, lane: Lane) {
    match lane {
        Lane::Host(host) => json.number(wide(host)),
        Lane::Server => json.minus(1),
        Lane::All => json.minus(2),
    }
}

/// Texts, each once: a message goes to many.
#[derive(Default)]
struct Strings {
    places: BTreeMap<String, u64>,
}

impl Strings {
    fn add(&mut self, text: &str) -> u64 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = wide(self.places.len());
        self.places.insert(text.into(), place);
        place
    }

    fn in_order(&self) -> Vec<&str> {
        let mut all: Vec<(u64, &str)> = self
            .places
            .iter()
            .map(|(text, place)| (*place, text.as_str()))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, text)| text).collect()
    }
}

/// A text as HTML, in elements and in quoted attributes.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push('\n'),
            c if is_invisible(c) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
}

/// FNV-1a.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn wide(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
