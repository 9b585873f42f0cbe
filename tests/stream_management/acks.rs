//! What is counted, and how it is asked for and said.

use crate::*;
use parley_xmpp::Timer;
use peer::{HEADER, PLAIN, message};
use proptest::prelude::*;

#[test]
fn sm1_an_ack_too_high_is_fatal() {
    let (mut peer, room) = in_room();
    post(&mut peer, room, "hi");
    peer.say(&ack(99));
    let events = peer.events();
    assert_eq!(
        causes(&events),
        [OfflineCause::PeerMisbehaved(
            PeerMisbehaved::HandledCountTooHigh { h: 99, sent: 4 }
        )]
    );
    assert_eq!(outcomes(&events), []);
    assert_eq!(
        peer.heard(),
        format!(
            "<stream:error>{UNDEFINED}<handled-count-too-high xmlns='urn:xmpp:sm:3' h='99' \
             send-count='4'/></stream:error></stream:stream>"
        )
    );
    peer.engine.handle_eof(peer.now);
    assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
}

#[test]
fn sm2_an_ack_repeated_is_fine_and_one_backwards_fatal() {
    let (mut peer, _) = in_room();
    for h in [1, 1, 3, 3] {
        peer.say(&ack(h));
    }
    assert_eq!((peer.events(), peer.heard()), (vec![], String::new()));
    peer.say(&ack(2));
    assert_fatal(&mut peer, PeerMisbehaved::HandledCountBackwards, UNDEFINED);
}

#[test]
fn sm3_a_bad_h_is_fatal() {
    let bad = ["", "-1", "abc", "4294967296", "+1", "\u{663}", "1.0", "0x1"];
    let bad = bad.map(ack);
    for bad in bad
        .iter()
        .map(String::as_str)
        .chain(["<a xmlns='urn:xmpp:sm:3'/>"])
    {
        let mut peer = online();
        peer.say(bad);
        let written = "<bad-format xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>";
        assert_fatal(&mut peer, PeerMisbehaved::MalformedHandledCount, written);
    }
    // XML Schema lets numbers begin with zeros.
    let mut peer = online();
    peer.say(&ack("0001"));
    assert_eq!(peer.events(), []);
}

/// dino/dino#1882: `<enabled/>` itself is counted. esl/MongooseIM#408, processone/ejabberd#205:
/// what a client says it handled is more than there was, or below nothing. Holds that only
/// stanzas are counted, from `<enabled/>` on.
#[test]
fn sm5_only_stanzas_are_counted_and_only_after_enabled() {
    let mut peer = Peer::new(config());
    peer.authenticate();
    peer.bind(BIND_SM);
    peer.heard();
    peer.say(&message("bob", "1", "before"));
    peer.say("<stream:features/>");
    peer.say(ENABLED);
    // Ill addressed, of nobody, broken: all stanzas.
    peer.say("<message/><presence/><iq/><iq type='get' id='x'/>");
    peer.say("<message from='@@' type='groupchat'/>");
    // Anything else is none.
    peer.say("<stream:features/><x xmlns='y'/><message xmlns='z'/>");
    peer.say(&ack(1));
    peer.heard();
    peer.say(ASK);
    assert_eq!(peer.heard(), ack(5));
}

#[test]
fn sm6_a_request_before_enabled_is_ignored() {
    let mut peer = Peer::new(config());
    peer.authenticate();
    peer.bind(BIND_SM);
    peer.heard();
    peer.say(ASK);
    peer.say(&ack(1));
    assert_eq!((peer.heard().as_str(), peer.events()), ("", vec![]));
    // And where nothing is managed at all.
    let mut peer = Peer::online(config());
    peer.heard();
    peer.say(&ASK.repeat(3));
    peer.say(ENABLED);
    peer.say(&ASK.repeat(3));
    peer.say(&ack("x"));
    assert_eq!((peer.heard().as_str(), peer.events()), ("", vec![]));
}

#[test]
fn sm6_a_flood_of_requests_is_answered_once_at_a_time() {
    let mut peer = online();
    peer.reads = false;
    for _ in 0..1000 {
        peer.say(ASK);
        peer.say("<message/>");
    }
    // One answer waits; what was asked since is answered when it is taken.
    assert_eq!(peer.engine.wants().write, ack(0).as_bytes());
    assert_eq!(peer.heard(), ack(0) + &ack(1000));
}

#[test]
fn a_second_enabled_changes_nothing() {
    let mut peer = online();
    peer.say("<message/>");
    peer.say("<enabled xmlns='urn:xmpp:sm:3' id='other' resume='true'/>");
    peer.say(ASK);
    assert_eq!(peer.heard(), ack(1));
    cut(&mut peer);
    ask_to_resume(&mut peer, 1);
}

#[test]
fn management_that_is_refused_is_none() {
    let mut peer = online_with(config(), "<failed xmlns='urn:xmpp:sm:3'/>");
    let room = peer.join(ROOM_FEATURES);
    peer.events();
    // What no transport had whole is known to be nowhere, as ever.
    let id = peer.engine.post(peer.now, room, Post::new("x")).unwrap();
    assert!(!peer.heard().contains("<r "));
    peer.engine.post(peer.now, room, Post::new("y")).unwrap();
    cut(&mut peer);
    let events = peer.events();
    assert_eq!(outcomes(&events), []);
    assert!(matches!(room_events(&events)[..], [RoomEvent::Left { .. }]));
    assert!(return_to(&mut peer, BIND_SM).contains("<bind "));
    assert!(matches!(
        given_up(&mut peer)[..],
        [(post, PostOutcome::Unknown { .. }), (_, PostOutcome::NotSent(_))] if post == id
    ));
}

/// Section 6: "If an error occurs with regard to an `<enable/>` ... element, the server MUST
/// return a `<failed/>` element", and "Stream management errors SHOULD be considered
/// recoverable". Nothing is awaited of it then, and the session is as good as any.
#[test]
fn a_server_that_refuses_management_is_not_waited_for() {
    let mut peer = online_with(config(), "<failed xmlns='urn:xmpp:sm:3'/>");
    for _ in 0..60 {
        peer.pass(secs(1));
        peer.say("<message/>");
    }
    assert_eq!(peer.events(), []);
    // What comes after it makes nothing of what was refused.
    peer.say(ENABLED);
    peer.say(ASK);
    assert_eq!(peer.heard(), "");
}

#[test]
fn it_can_be_turned_off() {
    let mut config = config();
    config.stream_management = false;
    let mut peer = Peer::new(config);
    peer.authenticate();
    peer.bind(BIND_SM);
    assert!(peer.heard().starts_with("<presence>"));
}

#[test]
fn a_post_is_asked_about_at_once_and_one_question_is_enough() {
    let (mut peer, room) = in_room();
    let (_, written) = post(&mut peer, room, "one");
    assert!(written.ends_with(ASK), "{written}");
    let (_, written) = post(&mut peer, room, "two");
    assert!(!written.contains(ASK), "{written}");
    // The second is asked about when the first is answered.
    peer.say(&ack(4));
    assert_eq!(peer.heard(), ASK);
    peer.say(&ack(5));
    assert_eq!(peer.heard(), "");
}

#[test]
fn other_stanzas_are_asked_about_by_the_dozen() {
    let mut peer = online();
    let mut questions = 0;
    for _ in 0..40 {
        peer.say("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>");
        questions += peer.heard().matches(ASK).count();
    }
    assert_eq!(questions, 1);
    peer.say(&ack(20));
    assert_eq!(peer.heard(), ASK);
}

#[test]
fn silence_is_asked_about_with_a_request_in_place_of_a_ping() {
    let mut peer = online();
    peer.pass(secs(30));
    assert_eq!(peer.heard(), ASK);
    peer.say(&ack(1));
    peer.pass(secs(44));
    assert_eq!((peer.heard().as_str(), peer.events()), ("", vec![]));
    peer.pass(secs(1));
    assert_eq!(peer.heard(), ASK);
    // Nobody answers: the transport is dropped without a farewell, which would end
    // what is to be resumed.
    peer.pass(secs(15));
    assert_eq!(
        causes(&peer.events()),
        [OfflineCause::TimedOut(Timer::KeepaliveReply)]
    );
    assert_eq!(peer.heard(), "");
    ask_to_resume(&mut peer, 0);
}

#[test]
fn a_question_is_not_unanswered_before_it_was_heard() {
    let mut config = config();
    config.timing.keepalive = secs(1000);
    let (mut peer, room) = in_room_of(config, ENABLED);
    let post = Post::new(&"x".repeat(4000)).within(secs(1000));
    peer.engine.post(peer.now, room, post).unwrap();
    peer.reads = false;
    // The transport is slow, but takes something all the time.
    while !peer.engine.wants().write.is_empty() {
        peer.pass(secs(2));
        peer.engine.written(peer.now, 80);
    }
    peer.pass(secs(14));
    assert_eq!(causes(&peer.events()), []);
    peer.pass(secs(1));
    assert_eq!(
        causes(&peer.events()),
        [OfflineCause::TimedOut(Timer::KeepaliveReply)]
    );
}

/// What is called progress of a transport: 512 bytes. Less does not put off the time for an answer.
#[test]
fn a_question_is_on_its_way_while_512_bytes_leave() {
    for (taken, late) in [(511, true), (512, false)] {
        let mut config = config();
        config.timing.keepalive = secs(1000);
        let (mut peer, room) = in_room_of(config, ENABLED);
        let post = Post::new(&"x".repeat(4000)).within(secs(1000));
        peer.engine.post(peer.now, room, post).unwrap();
        peer.reads = false;
        peer.pass(secs(14));
        peer.engine.written(peer.now, taken);
        peer.pass(secs(2));
        let expected = [OfflineCause::TimedOut(Timer::KeepaliveReply)];
        let expected = &expected[..usize::from(late)];
        assert_eq!(causes(&peer.events()), expected, "{taken} bytes");
    }
}

/// Section 4: "the recipient MUST acknowledge it ... containing a value of 'h' that is equal to the
/// number of stanzas handled", which may be none as yet: it is asked again after a second, or with
/// what is written next, and not for longer than an answer may take.
#[test]
fn who_handled_nothing_yet_is_asked_again_but_not_for_ever() {
    let ping = "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>";
    let mut peer = online();
    peer.say(&ping.repeat(20));
    assert_eq!(peer.heard().matches(ASK).count(), 1);
    let began = peer.now;
    peer.say(&ack(0));
    assert_eq!(peer.heard(), "", "nothing is new");
    peer.say(ping);
    let written = peer.heard();
    assert!(written.ends_with(ASK), "{written}");
    peer.say(&ack(0));
    let mut asked = 0;
    while causes(&peer.events()).is_empty() {
        assert!(peer.now.since(began) <= secs(30), "asked {asked} times");
        peer.pass(secs(1));
        if peer.heard() == ASK {
            asked += 1;
            peer.say(&ack(0));
        }
    }
    assert_eq!((peer.now.since(began), asked), (secs(30), 29));
}

#[test]
fn what_was_handled_is_said_before_an_orderly_end() {
    let (mut peer, _) = in_room();
    peer.engine.close(peer.now);
    assert_eq!(
        peer.heard(),
        "<presence type='unavailable'/><a xmlns='urn:xmpp:sm:3' h='2'/></stream:stream>"
    );
    peer.say("</stream:stream>");
    peer.engine.handle_eof(peer.now);
    assert_eq!(peer.events().last(), Some(&Event::Closed));
}

#[test]
fn stanzas_count_as_handled_when_they_are() {
    let mut config = config();
    config.limits.events = 4;
    let (mut peer, _) = in_room_of(config, ENABLED);
    let said: String = (0..6)
        .map(|n| peer::presence(&format!("bob{n}"), ""))
        .chain([ASK.to_owned()])
        .collect();
    let taken = peer.engine.handle_input(peer.now, said.as_bytes());
    assert!(taken < said.len() && !peer.engine.wants().read);
    cut(&mut peer);
    // Two of the join, and four of the six: the others were not taken.
    assert_eq!(peer.events().len(), 5);
    ask_to_resume(&mut peer, 6);
}

#[test]
fn an_ack_before_the_login_is_out_of_place() {
    let mut peer = Peer::new(config());
    let secure = parley_xmpp::Security::Tls(parley_xmpp::ChannelBinding::default());
    peer.engine.transport_opened(peer.now, secure);
    peer.say(HEADER);
    peer.say(PLAIN);
    peer.say(&ack(0));
    assert_eq!(
        causes(&peer.events()),
        [OfflineCause::PeerMisbehaved(
            PeerMisbehaved::UnexpectedElement
        )]
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Whatever a server says, over whatever many streams, the counts are those of
    /// one who counts stanzas.
    #[test]
    fn sm5_the_counts_are_those_of_a_model(ops in prop::collection::vec(0..6_u8, 0..60)) {
        let (mut peer, room) = in_room();
        let (mut received, mut sent, mut handled) = (2_u32, 3_u32, 0_u32);
        for op in ops {
            match op {
                0 => {
                    peer.say("<message/><presence/>");
                    received += 2;
                }
                1 => {
                    peer.say("<iq type='get' id='p'/>");
                    received += 1;
                    sent += 1;
                }
                2 => {
                    peer.say(ASK);
                    prop_assert!(peer.heard().ends_with(&ack(received)));
                }
                3 => {
                    let post = Post::new("x").within(secs(1_000_000));
                    peer.engine.post(peer.now, room, post).unwrap();
                    sent += 1;
                }
                4 => {
                    handled = (handled + 3).min(sent);
                    peer.say(&ack(handled));
                }
                _ => {
                    cut(&mut peer);
                    ask_to_resume(&mut peer, received);
                    peer.say(&resumed(handled));
                    let again = peer.heard();
                    let stanzas = again.matches("<message ").count()
                        + again.matches("<iq ").count()
                        + again.matches("<presence").count();
                    prop_assert_eq!(stanzas, (sent - handled) as usize);
                    if sent > handled {
                        // It breaks no more often than it gets on.
                        handled += 1;
                        peer.say(&ack(handled));
                    }
                }
            }
            peer.heard();
            prop_assert!(outcomes(&peer.events()).is_empty());
        }
        peer.say(&ack(sent));
        prop_assert!(causes(&peer.events()).is_empty());
        peer.say(&ack(sent + 1));
        prop_assert_eq!(causes(&peer.events()).len(), 1);
    }
}
