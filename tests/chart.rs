//! The chart of a run: what stands in the page, and what cannot get into it.

#![cfg(feature = "sim")]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use parley_xmpp::sim::plan::Fault;
use parley_xmpp::sim::server::{Note, Operation};
use parley_xmpp::sim::{
    Chart, ChartLimits, Ending, Happening, HostId, LinkId, Random, Side, Violation, Watch,
};
use parley_xmpp::{Event, Instant, OfflineCause, Retry};
use proptest::prelude::*;
use serde_json::Value;

/// A run made by hand: what a world would show, without one.
struct Script {
    chart: Chart,
    watcher: Chart,
    now: u64,
}

const HEADER: &[u8] = b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>";

impl Script {
    fn new(chart: Chart) -> Self {
        let watcher = chart.clone();
        Self {
            chart,
            watcher,
            now: 0,
        }
    }

    fn see(&mut self, happening: &Happening<'_>) {
        self.watcher.see(Instant::from_micros(self.now), happening);
    }

    fn wait(&mut self, micros: u64) {
        self.now += micros;
    }

    fn start(&mut self, host: usize) {
        let account = format!("u{host}");
        let host = HostId(host);
        self.see(&Happening::Started {
            host,
            account: &account,
        });
    }

    fn write(&mut self, link: u32, by: Side, bytes: &[u8]) {
        let link = LinkId(link);
        self.see(&Happening::Written { link, by, bytes });
    }

    fn read(&mut self, link: u32, by: Side, bytes: &[u8]) {
        let link = LinkId(link);
        self.see(&Happening::Read { link, by, bytes });
    }

    /// Written by one end and, later, read whole by the other.
    fn send(&mut self, link: u32, by: Side, bytes: &[u8], latency: u64) {
        self.write(link, by, bytes);
        self.wait(latency);
        self.read(link, other(by), bytes);
    }

    /// A link that stands, and both streams after their headers.
    fn connect(&mut self, link: u32, host: usize) {
        let id = LinkId(link);
        self.see(&Happening::Opening {
            link: id,
            host: HostId(host),
        });
        self.wait(12_000);
        self.see(&Happening::Opened {
            link: id,
            stands: true,
        });
        self.send(link, Side::Host, HEADER, 9_000);
        self.send(link, Side::Server, HEADER, 8_500);
    }

    /// The login, with both restarts of the stream.
    fn log_in(&mut self, link: u32, host: usize) {
        self.connect(link, host);
        let tls = "urn:ietf:params:xml:ns:xmpp-tls";
        let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
        self.send(
            link,
            Side::Server,
            format!(
                "<stream:features><starttls xmlns='{tls}'><required/></starttls></stream:features>"
            )
            .as_bytes(),
            8_000,
        );
        self.send(
            link,
            Side::Host,
            format!("<starttls xmlns='{tls}'/>").as_bytes(),
            9_000,
        );
        self.send(
            link,
            Side::Server,
            format!("<proceed xmlns='{tls}'/>").as_bytes(),
            9_000,
        );
        self.wait(21_000);
        self.see(&Happening::Protected { link: LinkId(link) });
        self.send(link, Side::Host, HEADER, 9_000);
        self.send(link, Side::Server, HEADER, 8_500);
        self.send(
            link,
            Side::Host,
            format!("<auth xmlns='{sasl}' mechanism='SCRAM-SHA-256'>biwsbj11MCxyPWFiYw==</auth>")
                .as_bytes(),
            9_000,
        );
        self.send(
            link,
            Side::Server,
            format!("<challenge xmlns='{sasl}'>cj1hYmM=</challenge>").as_bytes(),
            9_000,
        );
        self.send(
            link,
            Side::Host,
            format!("<response xmlns='{sasl}'>Yz1iaXdz</response>").as_bytes(),
            9_000,
        );
        self.send(
            link,
            Side::Server,
            format!("<success xmlns='{sasl}'>dj1hYmM=</success>").as_bytes(),
            9_000,
        );
        self.send(link, Side::Host, HEADER, 9_000);
        self.send(link, Side::Server, HEADER, 8_500);
        let bind = "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>";
        self.send(link, Side::Host, bind.as_bytes(), 9_000);
        let bound = format!(
            "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>u{host}@example.org/r</jid></bind></iq>"
        );
        self.send(link, Side::Server, bound.as_bytes(), 9_000);
        let join = format!(
            "<presence to='t@muc.example.org/u{host}' id='j1'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>"
        );
        self.send(link, Side::Host, join.as_bytes(), 9_000);
        self.see(&Happening::Noted(&Note::Entered {
            room: "t@muc.example.org".into(),
            nick: format!("u{host}"),
            jid: format!("u{host}@example.org/r"),
        }));
        let here = format!(
            "<presence from='t@muc.example.org/u{host}'><x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='none' role='participant'/><status code='110'/></x></presence>"
        );
        self.send(link, Side::Server, here.as_bytes(), 9_000);
    }

    /// A post, its acceptance and its way to all of `links`.
    fn post(&mut self, number: u64, from: (u32, usize), links: &[u32], random: &mut Random) {
        let (link, host) = from;
        let body = format!("message {number} &amp; what belongs to it");
        let said = format!(
            "<message type='groupchat' to='t@muc.example.org' id='m{number}'><body>{body}</body><origin-id xmlns='urn:xmpp:sid:0' id='m{number}'/></message>"
        );
        self.write(link, Side::Host, said.as_bytes());
        self.wait(random.between(4_000, 30_000));
        self.read(link, Side::Server, said.as_bytes());
        self.see(&Happening::Noted(&Note::Accepted {
            room: "t@muc.example.org".into(),
            archive_id: Some(format!("2026-{number:08}")),
            nick: format!("u{host}"),
            jid: format!("u{host}@example.org/r"),
            origin_id: Some(format!("m{number}")),
            body: body.clone(),
        }));
        let out = format!(
            "<message type='groupchat' from='t@muc.example.org/u{host}' id='m{number}'><body>{body}</body><stanza-id xmlns='urn:xmpp:sid:0' by='t@muc.example.org' id='2026-{number:08}'/></message>"
        );
        for link in links {
            self.write(*link, Side::Server, out.as_bytes());
        }
        for link in links {
            self.wait(random.between(500, 9_000));
            self.read(*link, Side::Host, out.as_bytes());
        }
        let id = format!("2026-{number:08}");
        self.see(&Happening::Kept {
            host: HostId(host),
            name: "cursor",
            value: &id,
        });
    }

    fn cut(&mut self, link: u32, host: usize, how: Ending) {
        self.see(&Happening::Fault(&Fault::Cut {
            host: HostId(host),
            from: Side::Server,
            after_bytes: 120,
            how,
            linger: None,
        }));
        let half = b"<message type='groupchat' from='t@muc.example.org/u9'><body>never arrives whole</body></message>";
        self.write(link, Side::Server, half);
        self.wait(7_000);
        self.read(link, Side::Host, &half[..40]);
        self.see(&Happening::Ended {
            link: LinkId(link),
            at: Side::Host,
            how,
        });
        let cause = OfflineCause::PeerClosed;
        let retry = Retry::At(Instant::from_micros(self.now + 1_200_000));
        self.see(&Happening::Told {
            host: HostId(host),
            event: &Event::Offline { cause, retry },
        });
        self.wait(40_000);
        self.see(&Happening::Ended {
            link: LinkId(link),
            at: Side::Server,
            how,
        });
    }
}

fn other(side: Side) -> Side {
    match side {
        Side::Host => Side::Server,
        Side::Server => Side::Host,
    }
}

/// A run of about fifty events: one host, a post, a cut, a broken rule.
fn small() -> Script {
    let mut script = Script::new(Chart::new("Seed 42"));
    let chart = script.chart.clone();
    chart.fact("seed", "42");
    chart.fact("server", "like Prosody 0.12");
    chart.command(
        "again",
        "parley-xmpp sim --replay failure-42.trace --html run.html",
    );
    let mut random = Random::stream(42, "chart");
    script.start(0);
    script.log_in(0, 0);
    script.post(1, (0, 0), &[0], &mut random);
    script.wait(31_000_000);
    script.send(0, Side::Host, b" ", 9_000);
    script.wait(391_000);
    script.see(&Happening::Fault(&Fault::Stall {
        host: HostId(0),
        from: Side::Server,
        lasts: Duration::from_millis(900),
    }));
    script.post(2, (0, 0), &[0], &mut random);
    script.cut(0, 0, Ending::Reset);
    script.wait(1_200_000);
    script.connect(1, 0);
    script.see(&Happening::Healed);
    script.see(&Happening::Violated(&Violation {
        rule: "S4",
        detail: "u0 was given message 2 twice, at 31.5 s and at 33.1 s".into(),
    }));
    script
}

/// A run of so many posts among three hosts, with faults all along.
fn large(posts: u64) -> Script {
    let mut script = Script::new(Chart::new("Seed 7"));
    script.chart.fact("seed", "7");
    let mut random = Random::stream(7, "chart");
    let mut links = [0, 1, 2];
    let mut next = 3;
    for (host, link) in links.iter().enumerate() {
        script.start(host);
        script.log_in(*link, host);
    }
    for number in 0..posts {
        let host = usize::try_from(random.below(3)).unwrap();
        let id = HostId(host);
        script.wait(random.between(1_000, 700_000));
        if random.one_in(20) {
            script.wait(random.between(1_000_000, 90_000_000));
        }
        script.post(number, (links[host], host), &links, &mut random);
        if random.one_in(25) {
            let how = *random
                .pick(&[Ending::Fin, Ending::Reset, Ending::Silence])
                .unwrap();
            script.cut(links[host], host, how);
            script.wait(random.between(1_000_000, 4_000_000));
            links[host] = next;
            next += 1;
            script.log_in(links[host], host);
        }
        if random.one_in(30) {
            let lasts = random.duration(Duration::from_secs(8));
            let fault = match random.below(3) {
                0 => Fault::Stall {
                    host: id,
                    from: Side::Host,
                    lasts,
                },
                1 => Fault::Freeze { host: id, lasts },
                _ => Fault::Throttle {
                    host: id,
                    from: Side::Host,
                    bytes_per_second: 300,
                    lasts,
                },
            };
            script.see(&Happening::Fault(&fault));
        }
        if random.one_in(60) {
            script.see(&Happening::Died { host: id });
            script.see(&Happening::Ended {
                link: LinkId(links[host]),
                at: Side::Host,
                how: Ending::Reset,
            });
            script.see(&Happening::Ended {
                link: LinkId(links[host]),
                at: Side::Server,
                how: Ending::Reset,
            });
            script.wait(random.between(500_000, 9_000_000));
            script.start(host);
            links[host] = next;
            next += 1;
            script.log_in(links[host], host);
        }
        if random.one_in(90) {
            let crash = Operation::Crash {
                lost_messages: 2,
                lost_rooms: false,
            };
            script.see(&Happening::Fault(&Fault::Server(crash)));
            script.wait(2_500_000);
            script.see(&Happening::Fault(&Fault::Server(Operation::Start)));
        }
        if number == posts * 4 / 5 {
            script.see(&Happening::Healed);
        }
        if random.one_in(150) {
            script.see(&Happening::Violated(&Violation {
                rule: "S2",
                detail: format!("the archive has message {number} and u1 was never given it, although it was told that it had caught up"),
            }));
        }
    }
    script
}

/// The data within a page.
fn data(html: &str) -> Value {
    let (_, rest) = html.split_once("id=\"data\"").unwrap();
    let (_, rest) = rest.split_once('>').unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

/// The events of a page, by the names of their fields as `data.js` has them.
struct Row {
    kind: String,
    at: u64,
    label: String,
    detail: String,
    /// When it was read whole; nothing for what is not on the wire.
    read: Option<i64>,
}

fn rows(data: &Value) -> Vec<Row> {
    let text = |place: &Value| {
        let place = usize::try_from(place.as_u64().unwrap()).unwrap();
        data["strings"][place].as_str().unwrap().to_owned()
    };
    let row = |row: &Value| {
        let kind = usize::try_from(row[0].as_u64().unwrap()).unwrap();
        Row {
            kind: data["kinds"][kind].as_str().unwrap().to_owned(),
            at: row[2].as_u64().unwrap(),
            label: text(&row[5]),
            detail: text(&row[6]),
            read: row.get(11).map(|read| read.as_i64().unwrap()),
        }
    };
    data["events"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn a_page_needs_nothing_but_itself() {
    let html = small().chart.html();
    for loader in [
        "src=",
        "@import",
        "<link",
        "<img",
        "<iframe",
        "<object",
        "<embed",
        "<base",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
        "EventSource",
        "sendBeacon",
        "import(",
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    ] {
        assert!(!html.contains(loader), "{loader}");
    }
    for (prefix, allowed) in [("href=\"", "#"), ("url(", "#hatch"), ("action=", "-")] {
        for (_, rest) in html.split(prefix).skip(1).map(|rest| ((), rest)) {
            assert!(rest.starts_with(allowed), "{prefix}{}", &rest[..20]);
        }
    }
    // Where somebody tries all the same, the browser refuses.
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn what_peers_say_cannot_break_out() {
    let evil =
        "</script><img src=x onerror=alert(1)>{{script}}{{data}}<!--\u{202e}\u{2028}&amp;'\"";
    let escaped = "&lt;/script>&lt;img src=x onerror=alert(1)>{{script}}{{data}}&lt;!--\u{202e}\u{2028}&amp;amp;'\"";
    let mut script = Script::new(Chart::new(evil));
    script.chart.fact(evil, evil);
    script.chart.command(evil, evil);
    script.see(&Happening::Started {
        host: HostId(0),
        account: evil,
    });
    script.connect(0, 0);
    let said = format!("<message><body>{escaped}</body></message>");
    script.send(0, Side::Server, said.as_bytes(), 1000);
    // Not XML at all.
    script.write(0, Side::Host, evil.as_bytes());
    script.see(&Happening::Kept {
        host: HostId(0),
        name: evil,
        value: evil,
    });
    script.see(&Happening::Violated(&Violation {
        rule: "S1",
        detail: evil.into(),
    }));
    let html = script.chart.html();
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("</script").count(), 2);
    for markup in ["<img", "<!--", "onerror=alert(1)>{"] {
        assert!(!html.contains(markup), "{markup}");
    }
    for hidden in ['\u{202e}', '\u{2028}'] {
        assert!(!html.contains(hidden));
    }
    // Nothing is lost on the way: the data is what was said.
    let rows = rows(&data(&html));
    assert!(
        rows.iter()
            .any(|row| row.kind == "message" && row.detail == said)
    );
    assert!(
        rows.iter()
            .any(|row| row.kind == "bytes" && row.detail == evil)
    );
    assert!(
        rows.iter()
            .any(|row| row.kind == "violation" && row.detail == evil)
    );
}

/// What a login says is worth as much as the password to who can try many; and pages are passed
/// on.
#[test]
fn a18_a_page_shows_no_login() {
    let html = small().chart.html();
    assert!(html.contains("SCRAM-SHA-256"));
    for said in ["biwsbj11MCxyPWFiYw==", "cj1hYmM=", "Yz1iaXdz", "dj1hYmM="] {
        assert!(!html.contains(said), "{said}");
    }
    // Nor what is not whole yet.
    let mut script = Script::new(Chart::new("torn"));
    script.start(0);
    script.connect(0, 0);
    script.send(0, Side::Host, HEADER, 9_000);
    script.write(
        0,
        Side::Host,
        b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>biwsbj11",
    );
    assert!(!script.chart.html().contains("biwsbj11"));
}

#[test]
fn the_same_run_gives_the_same_page() {
    assert_eq!(large(40).chart.html(), large(40).chart.html());
    assert_eq!(small().chart.html(), small().chart.html());
}

#[test]
fn a_login_is_understood_through_both_restarts_of_the_stream() {
    let mut script = Script::new(Chart::new("login"));
    script.start(0);
    script.log_in(0, 0);
    let rows = rows(&data(&script.chart.html()));
    let labels: Vec<&str> = rows
        .iter()
        .filter(|row| row.read.is_some())
        .map(|row| row.label.as_str())
        .collect();
    assert_eq!(
        labels,
        [
            "stream begins",
            "stream begins",
            "features: starttls",
            "starttls",
            "proceed",
            "stream begins",
            "stream begins",
            "auth SCRAM-SHA-256",
            "challenge",
            "response",
            "success",
            "stream begins",
            "stream begins",
            "iq set bind",
            "iq result bind",
            "presence to t/u0",
            "presence of t/u0 [110]",
        ]
    );
    assert!(rows.iter().all(|row| row.read.is_none_or(|read| read > 0)));
}

#[test]
fn what_was_not_read_whole_is_lost() {
    let rows = rows(&data(&small().chart.html()));
    let lost: Vec<&str> = rows
        .iter()
        .filter(|row| row.read == Some(-1))
        .map(|row| row.label.as_str())
        .collect();
    assert_eq!(lost, ["message “never arrives whole” by t/u9"]);
}

#[test]
fn a_page_is_bounded_and_says_so() {
    let mut limits = ChartLimits::default();
    limits.events = 20;
    limits.detail_bytes = 64;
    let mut script = Script::new(Chart::with_limits("bounded", limits));
    script.start(0);
    script.connect(0, 0);
    let long = format!("<message><body>{}</body></message>", "x".repeat(5000));
    for _ in 0..40 {
        script.send(0, Side::Server, long.as_bytes(), 1000);
    }
    script.see(&Happening::Violated(&Violation {
        rule: "L1",
        detail: "at the very end".into(),
    }));
    assert_eq!(script.chart.len(), 21);
    let html = script.chart.html();
    assert!(
        html.contains("the page is full with 20 events; 25 more, from 0:00."),
        "{}",
        &html[..20_000]
    );
    assert!(html.contains("are cut after 64 bytes"));
    assert!(html.contains("at the very end"));
    let rows = rows(&data(&html));
    assert!(rows.iter().all(|row| row.detail.len() < 200));
    assert!(rows.iter().any(|row| row.detail.contains("bytes in all")));
}

#[test]
fn a_run_that_never_began_is_a_page_too() {
    let chart = Chart::new("nothing");
    assert!(chart.is_empty());
    assert!(data(&chart.html())["events"].as_array().unwrap().is_empty());
}

/// Cuts bytes at places that are drawn anew after each piece.
fn pieces<'a>(mut bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut all = Vec::new();
    for cut in cuts.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (head, tail) = bytes.split_at((cut + 1).min(bytes.len()));
        all.push(head);
        bytes = tail;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the bytes are cut on both sides, and however writing and reading
    /// interleave, each stanza is there once, from the time at which its first byte
    /// was written to the time at which its last was read.
    #[test]
    fn arrows_pair_up_whatever_the_pieces(
        writes in prop::collection::vec(0_usize..90, 1..12),
        reads in prop::collection::vec(0_usize..90, 1..12),
        eager in prop::collection::vec(any::<bool>(), 1..20),
        bodies in prop::collection::vec("[a-z]{1,30}", 1..12),
        whole in any::<bool>(),
    ) {
        let mut script = Script::new(Chart::new("pieces"));
        script.start(0);
        script.connect(0, 0);
        let mut stream = Vec::new();
        let mut bounds = Vec::new();
        for body in &bodies {
            let begins = stream.len();
            stream.extend_from_slice(format!("<message><body>{body}</body></message>").as_bytes());
            bounds.push((begins, stream.len()));
        }
        // The last one may never be read whole.
        let readable = if whole { stream.len() } else { stream.len() - 1 };
        let mut write_times = Vec::new();
        let mut read_times = Vec::new();
        let mut reading = pieces(&stream[..readable], &reads).into_iter().peekable();
        let mut eager = eager.iter().cycle();
        for piece in pieces(&stream, &writes) {
            script.wait(1000);
            script.write(0, Side::Server, piece);
            write_times.extend(piece.iter().map(|_| script.now));
            while reading.peek().is_some_and(|next| read_times.len() + next.len() <= write_times.len())
                && *eager.next().unwrap()
            {
                script.wait(1000);
                let next = reading.next().unwrap();
                script.read(0, Side::Host, next);
                read_times.extend(next.iter().map(|_| script.now));
            }
        }
        for next in reading {
            script.wait(1000);
            script.read(0, Side::Host, next);
            read_times.extend(next.iter().map(|_| script.now));
        }
        let rows = rows(&data(&script.chart.html()));
        let messages: Vec<&Row> = rows.iter().filter(|row| row.kind == "message").collect();
        prop_assert_eq!(messages.len(), bodies.len());
        for ((row, body), (begins, ends)) in messages.iter().zip(&bodies).zip(&bounds) {
            prop_assert!(row.label.contains(body.as_str()));
            prop_assert_eq!(row.at, write_times[*begins]);
            let read = read_times.get(ends - 1).map_or(-1, |at| i64::try_from(*at).unwrap());
            prop_assert_eq!(row.read, Some(read));
        }
    }

    /// Any bytes at all make a page whose data is sound.
    #[test]
    fn no_bytes_upset_the_chart(writes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
        let mut script = Script::new(Chart::new("noise"));
        script.start(0);
        script.connect(0, 0);
        for (number, bytes) in writes.iter().enumerate() {
            let side = if number % 3 == 0 { Side::Host } else { Side::Server };
            script.send(0, side, bytes, 10);
        }
        let html = script.chart.html();
        prop_assert_eq!(html.matches("</script").count(), 2);
        prop_assert!(data(&html)["events"].as_array().is_some());
    }
}

/// The pages are written to `CHART_PAGES`.
#[test]
#[ignore = "for eyes: CHART_PAGES=DIRECTORY cargo test ... -- --ignored"]
fn pages_to_look_at() {
    let directory = std::env::var("CHART_PAGES").expect("CHART_PAGES=DIRECTORY");
    for (name, script) in [
        ("small", small()),
        ("large", large(640)),
        ("huge", large(6000)),
    ] {
        println!("{name}: {} events", script.chart.len());
        std::fs::write(format!("{directory}/{name}.html"), script.chart.html()).unwrap();
    }
}

/// The same of a world, of the seed `CHART_SEED`.
#[test]
#[ignore = "for eyes: CHART_PAGES=DIRECTORY CHART_SEED=N cargo test ... -- --ignored"]
fn a_world_to_look_at() {
    use parley_xmpp::sim::plan::{Plan, Profile};
    let directory = std::env::var("CHART_PAGES").expect("CHART_PAGES=DIRECTORY");
    let seed = std::env::var("CHART_SEED").expect("CHART_SEED=N");
    let plan = Plan::draw(seed.parse().unwrap(), &Profile::standard());
    let chart = Chart::of(&plan);
    let report = parley_xmpp::sim::run(&plan, Default::default(), vec![Box::new(chart.clone())]);
    chart.judged(&report.violations);
    println!("{} events, {:?}", chart.len(), report);
    std::fs::write(format!("{directory}/world.html"), chart.html()).unwrap();
}
