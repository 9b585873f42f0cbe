//! What is seen of a run, kept as it is drawn: items in order, links, spans of time.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::item::{Handles, Item, Kind, Lane, Link, Span, Stamp, Transit};
use super::wire::{Direction, Found, Progress};
use super::{ChartLimits, shortened, words};
use crate::sim::happening::{Ending, Happening, HostId, LinkId, Side};
use crate::sim::plan::Fault;
use crate::sim::server::Operation;

/// More broken rules are only counted.
const VIOLATIONS: usize = 1000;

/// All that is kept of a run.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) title: String,
    pub(super) facts: Vec<(String, String)>,
    pub(super) commands: Vec<(String, String)>,
    pub(super) limits: ChartLimits,
    pub(super) hosts: Vec<String>,
    pub(super) links: BTreeMap<LinkId, Link>,
    pub(super) items: Vec<Item>,
    pub(super) spans: Vec<Span>,
    pub(super) healed: Option<u64>,
    pub(super) now: Stamp,
    /// Events beyond the limit, and the time of the first of them.
    pub(super) left_out: u64,
    pub(super) left_out_from: Option<u64>,
    /// Details cut because of their own length, and left out because of that of all.
    pub(super) cut_details: u64,
    pub(super) lost_details: u64,
    text_bytes: usize,
    handles: Vec<Handles>,
    violations: usize,
}

impl Record {
    pub(super) fn new(title: &str, limits: ChartLimits) -> Self {
        Self {
            title: title.into(),
            facts: Vec::new(),
            commands: Vec::new(),
            limits,
            hosts: Vec::new(),
            links: BTreeMap::new(),
            items: Vec::new(),
            spans: Vec::new(),
            healed: None,
            now: Stamp::default(),
            left_out: 0,
            left_out_from: None,
            cut_details: 0,
            lost_details: 0,
            text_bytes: 0,
            handles: Vec::new(),
            violations: 0,
        }
    }

    pub(super) fn see(&mut self, at: u64, happening: &Happening<'_>) {
        self.now = Stamp {
            at: at.max(self.now.at),
            order: self.now.order.saturating_add(1),
        };
        match *happening {
            Happening::Started { host, account } => self.started(host, account),
            Happening::Died { host } => {
                self.host(host);
                self.mark(Kind::Process, Lane::Host(host.0), None, "process dies", "");
                self.span(Lane::Host(host.0), None, true, "down".into());
            }
            Happening::Opening { link, host } => self.opening(link, host),
            Happening::Opened { link, stands } => self.opened(link, stands),
            Happening::Protected { link } => self.protected(link),
            Happening::Written { link, by, bytes } => self.written(link, by, bytes),
            Happening::Read { link, by, bytes } => self.read(link, by, bytes.len()),
            Happening::Broken { link, how } => self.broken(link, how),
            Happening::Ended { link, at, how } => self.ended(link, at, how),
            Happening::Asked { host, request } => {
                let (label, detail) = words::request(self.handles(host), &request);
                self.mark(Kind::Asked, Lane::Host(host.0), None, &label, &detail);
            }
            Happening::Told { host, event } => {
                let (label, detail) = words::event(self.handles(host), event);
                self.mark(Kind::Told, Lane::Host(host.0), None, &label, &detail);
            }
            Happening::Kept { host, name, value } => {
                self.host(host);
                let (label, detail) = words::kept(name, value);
                self.mark(Kind::Kept, Lane::Host(host.0), None, &label, &detail);
            }
            Happening::Noted(note) => {
                let (label, detail) = words::note(note);
                self.mark(Kind::Note, Lane::Server, None, &label, &detail);
            }
            Happening::Fault(fault) => self.fault(fault),
            Happening::Healed => self.heal(),
            Happening::Violated(violation) => {
                self.violation(violation.rule, &violation.detail);
            }
            #[allow(unreachable_patterns, reason = "what is to come is shown as it is")]
            ref other => self.mark(Kind::Note, Lane::All, None, &format!("{other:?}"), ""),
        }
    }

    fn started(&mut self, host: HostId, account: &str) {
        self.host(host);
        if let Some(name) = self.hosts.get_mut(host.0) {
            *name = words::address(account);
        }
        if let Some(handles) = self.handles.get_mut(host.0) {
            *handles = Handles::default();
        }
        let at = self.now.at;
        self.end_spans(at, |span| span.down && span.lane == Lane::Host(host.0));
        let label = format!("process starts as {}", words::address(account));
        self.mark(Kind::Process, Lane::Host(host.0), None, &label, account);
    }

    fn opening(&mut self, id: LinkId, host: HostId) {
        self.host(host);
        let before = self.links.values().filter(|link| link.host == host.0);
        let generation = u32::try_from(before.count())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let keep = self.limits.detail_bytes;
        let link = Link {
            host: host.0,
            generation,
            opening: self.now.at,
            opened: None,
            stands: false,
            protected: None,
            broken: None,
            ended: [None; 2],
            wires: [Direction::new(keep), Direction::new(keep)],
        };
        self.links.insert(id, link);
        let label = format!("opens link {} (its {})", id.0, words::ordinal(generation));
        self.mark(Kind::Link, Lane::Host(host.0), Some(id.0), &label, "");
    }

    fn opened(&mut self, id: LinkId, stands: bool) {
        let at = self.now.at;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.opened = Some(at);
        link.stands = stands;
        let lane = Lane::Host(link.host);
        let label = match stands {
            true => format!("link {} stands", id.0),
            false => format!("link {} could not be opened", id.0),
        };
        self.mark(Kind::Link, lane, Some(id.0), &label, "");
    }

    fn protected(&mut self, id: LinkId) {
        let at = self.now.at;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.protected = Some(at);
        let lane = Lane::Host(link.host);
        self.restart(id, Side::Host);
        self.restart(id, Side::Server);
        let label = format!("TLS stands on link {}", id.0);
        self.mark(Kind::Link, lane, Some(id.0), &label, "");
    }

    fn broken(&mut self, id: LinkId, how: Ending) {
        let at = self.now.at;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        link.broken.get_or_insert(at);
        let lane = Lane::Host(link.host);
        let label = format!("link {} breaks: {}", id.0, words::ending(how));
        self.mark(Kind::Link, lane, Some(id.0), &label, "");
    }

    fn ended(&mut self, id: LinkId, side: Side, how: Ending) {
        let at = self.now.at;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let [of_host, of_server] = &mut link.ended;
        let (end, lane) = match side {
            Side::Host => (of_host, Lane::Host(link.host)),
            Side::Server => (of_server, Lane::Server),
        };
        end.get_or_insert((at, how));
        let label = format!("link {} ends: {}", id.0, words::ending(how));
        self.mark(Kind::Link, lane, Some(id.0), &label, "");
    }

    fn written(&mut self, id: LinkId, by: Side, bytes: &[u8]) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let lane = match by {
            Side::Host => Lane::Host(link.host),
            Side::Server => Lane::Server,
        };
        for found in link.wire(by).write(now, bytes) {
            let restarts = found.restarts;
            self.found(id, by, lane, found);
            if restarts && by == Side::Server {
                self.restart(id, Side::Host);
            }
        }
    }

    fn restart(&mut self, id: LinkId, by: Side) {
        if let Some(link) = self.links.get_mut(&id) {
            let lane = match by {
                Side::Host => Lane::Host(link.host),
                Side::Server => Lane::Server,
            };
            if let Some(found) = link.wire(by).restart() {
                self.found(id, by, lane, found);
            }
        }
    }

    fn found(&mut self, id: LinkId, by: Side, lane: Lane, found: Found) {
        let Some(index) = self.room() else {
            return;
        };
        let item = self.wire_item(id, lane, &found);
        self.items.push(item);
        if let Some(link) = self.links.get_mut(&id) {
            link.wire(by).await_reading(&found, index);
        }
    }

    /// An arrow, as yet without its point.
    fn wire_item(&mut self, id: LinkId, lane: Lane, found: &Found) -> Item {
        let (mut detail, _) = self.detail(&found.text);
        let shown = u64::try_from(found.text.len()).unwrap_or(u64::MAX);
        if found.kind != Kind::Nonza && found.bytes > shown {
            self.cut_details = self.cut_details.saturating_add(1);
            detail.push_str(&format!("… ({} bytes in all)", found.bytes));
        }
        Item {
            kind: found.kind,
            stamp: found.began,
            lane,
            link: Some(id.0),
            label: found.label.clone(),
            detail,
            transit: Some(Transit {
                bytes: found.bytes,
                written: found.ended,
                writes: found.pieces,
                first_read: None,
                read: None,
                reads: 0,
                arrived: 0,
            }),
        }
    }

    fn read(&mut self, id: LinkId, by: Side, bytes: usize) {
        let now = self.now;
        let items = &mut self.items;
        let Some(link) = self.links.get_mut(&id) else {
            return;
        };
        let from = match by {
            Side::Host => Side::Server,
            Side::Server => Side::Host,
        };
        link.wire(from).read(bytes, |item, progress| {
            let item = items.get_mut(item);
            if let Some(transit) = item.and_then(|item| item.transit.as_mut()) {
                transit.first_read.get_or_insert(now);
                transit.reads = transit.reads.saturating_add(1);
                match progress {
                    Progress::Part(arrived) => transit.arrived = arrived,
                    Progress::Whole => {
                        transit.arrived = transit.bytes;
                        transit.read = Some(now);
                    }
                }
            }
        });
    }

    fn fault(&mut self, fault: &Fault) {
        let at = self.now.at;
        let words::Harm { host, label, lasts } = words::fault(fault);
        let lane = host.map_or(Lane::Server, |host| {
            self.host(host);
            Lane::Host(host.0)
        });
        self.mark(Kind::Fault, lane, None, &label, &format!("{fault:#?}"));
        if let Some(lasts) = lasts {
            let lasts = u64::try_from(lasts.as_micros()).unwrap_or(u64::MAX);
            self.span(lane, Some(at.saturating_add(lasts)), false, label);
        }
        match fault {
            Fault::Server(Operation::Crash { .. } | Operation::Stop) => {
                self.span(Lane::Server, None, true, "down".into());
            }
            Fault::Server(Operation::Start) => {
                self.end_spans(at, |span| span.down && span.lane == Lane::Server);
            }
            _ => {}
        }
    }

    fn heal(&mut self) {
        let at = self.now.at;
        self.healed = Some(at);
        // A host that is down starts by itself and says so.
        self.end_spans(at, |span| !span.down || span.lane == Lane::Server);
        self.mark(
            Kind::Healed,
            Lane::All,
            None,
            "Healed: no more faults from here on",
            "",
        );
    }

    /// A rule that was found broken at a time that may have passed. Once is enough.
    pub(super) fn judged(&mut self, at: u64, rule: &'static str, detail: &str) {
        let known = self.items.iter().any(|item| {
            item.kind == Kind::Violation && item.detail == detail && item.label.starts_with(rule)
        });
        if !known {
            self.now.at = self.now.at.max(at);
            self.violation(rule, detail);
        }
    }

    fn violation(&mut self, rule: &str, detail: &str) {
        self.violations = self.violations.saturating_add(1);
        if self.violations <= VIOLATIONS {
            let label = format!("{rule} is broken");
            let item = self.item(Kind::Violation, Lane::All, None, &label, detail);
            self.items.push(item);
        }
    }

    /// How many rules were broken, those beyond the limit included.
    pub(super) const fn violations(&self) -> usize {
        self.violations
    }

    fn span(&mut self, lane: Lane, to: Option<u64>, down: bool, label: String) {
        if self.spans.len() < self.limits.events {
            self.spans.push(Span {
                lane,
                from: self.now.at,
                to,
                down,
                label,
            });
        }
    }

    /// Those that go on end now.
    fn end_spans(&mut self, at: u64, which: impl Fn(&Span) -> bool) {
        for span in self.spans.iter_mut().filter(|span| which(span)) {
            if span.to.is_none_or(|to| to > at) {
                span.to = Some(at);
            }
        }
    }

    /// A host that is heard of has a lifeline.
    fn host(&mut self, host: HostId) {
        // Nobody simulates that many; a stray number must not eat the memory.
        while self.hosts.len() <= host.0 && self.hosts.len() < 10_000 {
            self.hosts.push(format!("host {}", self.hosts.len()));
            self.handles.push(Handles::default());
        }
    }

    fn handles(&mut self, host: HostId) -> Option<&mut Handles> {
        self.host(host);
        self.handles.get_mut(host.0)
    }

    fn mark(&mut self, kind: Kind, lane: Lane, link: Option<u32>, label: &str, detail: &str) {
        if self.room().is_some() {
            let item = self.item(kind, lane, link, label, detail);
            self.items.push(item);
        }
    }

    fn item(
        &mut self,
        kind: Kind,
        lane: Lane,
        link: Option<u32>,
        label: &str,
        detail: &str,
    ) -> Item {
        let (mut detail, more) = self.detail(detail);
        if more > 0 {
            detail.push_str(&format!("… ({more} bytes more)"));
        }
        Item {
            kind,
            stamp: self.now,
            lane,
            link,
            label: super::brief(label, 200),
            detail,
            transit: None,
        }
    }

    /// The index of one more item; `None` if there are enough.
    fn room(&mut self) -> Option<usize> {
        if self.items.len() < self.limits.events {
            return Some(self.items.len());
        }
        self.left_out = self.left_out.saturating_add(1);
        self.left_out_from.get_or_insert(self.now.at);
        None
    }

    /// A detail within all limits, and how many bytes of it were left out.
    fn detail(&mut self, text: &str) -> (String, usize) {
        let (kept, more) = shortened(text, self.limits.detail_bytes);
        if more > 0 {
            self.cut_details = self.cut_details.saturating_add(1);
        }
        if self.text_bytes.saturating_add(kept.len()) > self.limits.text_bytes {
            self.lost_details = self.lost_details.saturating_add(1);
            return (String::from("(left out: the page has enough text)"), 0);
        }
        self.text_bytes = self.text_bytes.saturating_add(kept.len());
        (kept, more)
    }

    /// What was begun on a link and never completed, as items of their own.
    pub(super) fn unfinished(&self) -> Vec<Item> {
        let mut items = Vec::new();
        for (id, link) in &self.links {
            let [host, server] = &link.wires;
            for (wire, lane) in [(host, Lane::Host(link.host)), (server, Lane::Server)] {
                let Some(found) = wire.peek_rest() else {
                    continue;
                };
                let arrived = wire.read_from(found.start).min(found.bytes);
                items.push(Item {
                    kind: found.kind,
                    stamp: found.began,
                    lane,
                    link: Some(id.0),
                    label: found.label,
                    detail: found.text,
                    transit: Some(Transit {
                        bytes: found.bytes,
                        written: found.ended,
                        writes: found.pieces,
                        first_read: None,
                        read: None,
                        reads: 0,
                        arrived,
                    }),
                });
            }
        }
        items
    }
}
