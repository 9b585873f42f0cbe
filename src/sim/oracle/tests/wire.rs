//! What hosts write and read: rules S9, S11, S17, S19 and S20.

use super::*;

/// A link with what the host reads and writes, TLS first.
fn wire(script: &[(Side, &str)]) -> Vec<&'static str> {
    let mut hand = from_beginning();
    let link = LinkId(0);
    hand.see(&Happening::Opening { link, host: HOST });
    play(&mut hand, script);
    hand.rules()
}

/// What the host reads and writes over its first link.
pub(super) fn play(hand: &mut Hand, script: &[(Side, &str)]) {
    play_over(LinkId(0), hand, script);
}

pub(super) fn play_over(link: LinkId, hand: &mut Hand, script: &[(Side, &str)]) {
    for (by, text) in script {
        let (by, bytes) = (*by, text.as_bytes());
        match (by, *text) {
            (_, "TLS") => hand.see(&Happening::Protected { link }),
            (Side::Host, _) => {
                // In whatever pieces.
                for bytes in bytes.chunks(3) {
                    hand.see(&Happening::Written { link, by, bytes });
                }
            }
            (Side::Server, _) => hand.see(&Happening::Read {
                link,
                by: Side::Host,
                bytes,
            }),
        }
    }
}

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams' to='x' version='1.0'>";

/// A login, then `more`.
fn session(more: &[(Side, &'static str)]) -> Vec<&'static str> {
    let mut script = login().to_vec();
    script.extend_from_slice(more);
    wire(&script)
}

pub(super) const fn login() -> [(Side, &'static str); 12] {
    use Side::{Host, Server};
    [
        (Host, HEADER),
        (Server, HEADER),
        (Host, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        (Host, "TLS"),
        (Host, HEADER),
        (Server, HEADER),
        (
            Host,
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AA==</auth>",
        ),
        (
            Server,
            "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
        ),
        (Server, HEADER),
        (Host, HEADER),
        (
            Host,
            "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
        ),
        (Server, "<iq type='result' id='1'/>"),
    ]
}

#[test]
fn s9_what_is_said_when() {
    use Side::{Host, Server};
    assert_eq!(session(&[(Host, "<presence/>")]), [""; 0]);
    let auth = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    assert_eq!(
        wire(&[(Host, HEADER), (Server, HEADER), (Host, auth)]),
        ["S9"]
    );
    let early = wire(&[(Host, "TLS"), (Host, HEADER), (Host, "<presence/>")]);
    assert_eq!(early, ["S9"]);
}

#[test]
fn s11_errors_and_answers() {
    use Side::{Host, Server};
    let ping = (
        Server,
        "<iq type='get' id='p' from='x'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    let pong = (Host, "<iq type='result' id='p' to='x'/>");
    assert_eq!(session(&[ping, pong]), [""; 0]);
    assert_eq!(session(&[ping, pong, pong]), ["S11"]);
    // Who asks chooses the id: another's request has the same.
    let other = (
        Server,
        "<iq type='get' id='p' from='y'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    let to_other = (Host, "<iq type='result' id='p' to='y'/>");
    assert_eq!(session(&[ping, to_other]), ["S11"]);
    assert_eq!(session(&[ping, other, to_other, pong]), [""; 0]);
    assert_eq!(session(&[ping, other, pong, pong]), ["S11"]);
    let bounce = (Host, "<message type='error' to='x'/>");
    assert_eq!(session(&[bounce]), ["S11"]);
}

#[test]
fn s11_who_writes_little_at_a_time_answers_later_and_no_longer() {
    let rules = |bytes: Option<u32>, heals: bool, later: u64| {
        let mut hand = from_beginning();
        hand.open(0);
        play(&mut hand, &login());
        if let Some(bytes) = bytes {
            let host = HOST;
            hand.see(&Happening::Fault(&Fault::SmallWrites { host, bytes }));
        }
        if heals {
            hand.see(&Happening::Healed);
        }
        let ping = "<iq type='get' id='p' from='x'><ping xmlns='urn:xmpp:ping'/></iq>";
        play(&mut hand, &[(Side::Server, ping)]);
        hand.at = hand.at.plus(Duration::from_secs(later));
        let how = Ending::Reset;
        let link = LinkId(7);
        hand.see(&Happening::Broken { link, how });
        hand.rules()
    };
    assert_eq!(rules(None, false, 31), ["S11"]);
    // What fills a link takes less than a second, or more than a minute.
    assert_eq!(rules(Some(100), false, 31), ["S11"]);
    assert_eq!(rules(Some(1), false, 90), [""; 0]);
    assert_eq!(rules(Some(1), false, 100), ["S11"]);
    assert_eq!(rules(Some(1), true, 31), ["S11"]);
}

#[test]
fn s17_counters_and_what_is_resent() {
    use Side::{Host, Server};
    let enable = [
        (Host, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"),
        (Server, "<enabled xmlns='urn:xmpp:sm:3' id='s'/>"),
        (Server, "<message from='a@x'/><message from='b@x'/>"),
        (Server, "<r xmlns='urn:xmpp:sm:3'/>"),
    ];
    let with = |last| session(&[enable[0], enable[1], enable[2], enable[3], last]);
    assert_eq!(with((Host, "<a xmlns='urn:xmpp:sm:3' h='2'/>")), [""; 0]);
    assert_eq!(with((Host, "<a xmlns='urn:xmpp:sm:3' h='1'/>")), ["S17"]);
    assert_eq!(with((Host, "<a xmlns='urn:xmpp:sm:3' h='3'/>")), ["S17"]);
    let resume = (Host, "<resume xmlns='urn:xmpp:sm:3' h='2' previd='s'/>");
    let resumed = (Server, "<resumed xmlns='urn:xmpp:sm:3' h='1' previd='s'/>");
    let first = (Host, "<message id='1' to='r@x'/>");
    let second = (Host, "<message id='2' to='r@x'/>");
    let resumption = |again| {
        session(&[
            enable[0], enable[1], first, second, enable[2], resume, resumed, again,
        ])
    };
    assert_eq!(resumption(second), [""; 0]);
    assert_eq!(resumption(first), ["S17"]);
    // The same to whoever reads it, and not the same bytes.
    let other = (Host, "<message to='r@x' id='2'/>");
    assert_eq!(resumption(other), ["S17"]);
}

/// What is wrong after a login with management and `more`, half a minute later.
fn managed(more: &[(Side, &'static str)]) -> Vec<&'static str> {
    use Side::{Host, Server};
    let mut hand = from_beginning();
    hand.open(0);
    play(&mut hand, &login());
    let enable = [
        (Host, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"),
        (Server, "<enabled xmlns='urn:xmpp:sm:3' id='s'/>"),
        (Server, "<message from='a@x'/>"),
    ];
    play(&mut hand, &enable);
    play(&mut hand, more);
    hand.at = hand.at.plus(Duration::from_secs(31));
    hand.see(&Happening::Healed);
    hand.rules()
}

#[test]
fn s17_who_is_asked_acknowledges() {
    use Side::{Host, Server};
    let asked = (Server, "<r xmlns='urn:xmpp:sm:3'/>");
    let one = (Host, "<a xmlns='urn:xmpp:sm:3' h='1'/>");
    let none = (Host, "<a xmlns='urn:xmpp:sm:3' h='0'/>");
    assert_eq!(managed(&[asked, one]), [""; 0]);
    assert_eq!(managed(&[asked]), ["S17"]);
    // Both at once.
    assert_eq!(managed(&[asked, asked, one]), [""; 0]);
    // The second is about more.
    let more = (Server, "<message from='b@x'/>");
    assert_eq!(managed(&[asked, more, asked, one]), ["S17"]);
    // Unasked, and back again.
    assert_eq!(managed(&[one]), [""; 0]);
    assert_eq!(managed(&[one, none]), ["S17"]);
}

#[test]
fn s17_what_was_not_handled_is_sent_again_in_time() {
    use Side::{Host, Server};
    let said = (Host, "<message id='1' to='r@x'/>");
    let resumed = (Server, "<resumed xmlns='urn:xmpp:sm:3' h='0' previd='s'/>");
    assert_eq!(managed(&[said, resumed, said]), [""; 0]);
    assert_eq!(managed(&[said, resumed]), ["S17"]);
}

#[test]
fn s20_two_joins_at_a_time() {
    let join = "<presence to='r@x/n'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
    let refused = "<presence from='r@x/n' type='error'/>";
    use Side::{Host, Server};
    assert_eq!(
        session(&[(Host, join), (Server, refused), (Host, join)]),
        [""; 0]
    );
    assert_eq!(session(&[(Host, join), (Host, join)]), ["S20"]);
}

#[test]
fn s20_a_join_that_is_sent_again_is_the_same() {
    use Side::{Host, Server};
    let join = "<presence to='r@x/n'><x xmlns='http://jabber.org/protocol/muc'/></presence>";
    let out = "<presence from='r@x/n' type='unavailable'>\
        <x xmlns='http://jabber.org/protocol/muc#user'><status code='110'/></x></presence>";
    let resumed = (Server, "<resumed xmlns='urn:xmpp:sm:3' h='0' previd='s'/>");
    let again = |answered: bool| {
        let mut hand = from_beginning();
        hand.open(0);
        play(&mut hand, &login());
        let enable = [
            (Host, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"),
            (Server, "<enabled xmlns='urn:xmpp:sm:3' id='s'/>"),
            (Host, join),
        ];
        play(&mut hand, &enable);
        hand.open(1);
        play_over(LinkId(1), &mut hand, &login()[..10]);
        play_over(LinkId(1), &mut hand, &[resumed]);
        if answered {
            // Read before what is sent again was written.
            play_over(LinkId(1), &mut hand, &[(Server, out)]);
        }
        play_over(LinkId(1), &mut hand, &[(Host, join), (Host, join)]);
        hand.rules()
    };
    assert_eq!(again(true), [""; 0]);
    assert_eq!(again(false), ["S20"]);
}

#[test]
fn s19_a_password_anywhere() {
    let mut hand = from_beginning();
    hand.tell(&Event::Room {
        room: ROOM,
        event: crate::RoomEvent::OccupantJoined {
            nick: "ana's secret".into(),
        },
    });
    assert_eq!(hand.rules(), ["S19"]);
    use Side::Host;
    let said = (
        Host,
        "<message to='r@x'><body>ana's secret</body></message>",
    );
    assert_eq!(session(&[said]), ["S19"]);
}
