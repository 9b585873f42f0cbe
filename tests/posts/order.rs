//! The order of the calls is kept, whatever breaks.

use crate::*;

fn bodies(written: &str) -> Vec<&str> {
    let parts = written.split("<body>").skip(1);
    parts
        .map(|part| &part[..part.find("</body>").unwrap()])
        .collect()
}

#[test]
fn what_comes_after_a_post_in_doubt_waits_for_it() {
    let (mut peer, room) = in_room();
    let (one, first) = post(&mut peer, room, "one");
    cut(&mut peer);
    let (two, _) = post(&mut peer, room, "two");
    heal(&mut peer);
    let query = asked(&mut peer);
    let (three, written) = post(&mut peer, room, "three");
    assert_eq!(written, "");
    has(&mut peer, &query, &[("a1", &first)]);
    assert_eq!(outcomes(&mut peer), [(one, committed("a1", Via::Archive))]);
    let written = peer.heard();
    assert_eq!(bodies(&written), ["two", "three"]);
    let last = written.rfind("<message").unwrap();
    reflect(&mut peer, &written[..last], "a2");
    reflect(&mut peer, &written[last..], "a3");
    let ids: Vec<_> = outcomes(&mut peer).iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [two, three]);
}

#[test]
fn what_need_not_be_in_order_goes_ahead() {
    let (mut peer, room) = in_room();
    let (one, first) = post(&mut peer, room, "one");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    let (two, second) = send(&mut peer, room, Post::new("two").unordered());
    assert_eq!(bodies(&second), ["two"]);
    reflect(&mut peer, &second, "a2");
    has(&mut peer, &query, &[("a1", &first)]);
    assert_eq!(
        outcomes(&mut peer),
        [
            (two, committed("a2", Via::Reflection)),
            (one, committed("a1", Via::Archive)),
        ]
    );
}

#[test]
fn all_that_is_absent_is_sent_again_in_order() {
    let (mut peer, room) = in_room();
    let (one, first) = post(&mut peer, room, "one");
    let (_, second) = post(&mut peer, room, "two");
    let (_, third) = post(&mut peer, room, "three");
    break_and_heal(&mut peer);
    let query = asked(&mut peer);
    // The room had the first, and then the stream broke.
    has(&mut peer, &query, &[("a1", &first)]);
    assert_eq!(outcomes(&mut peer), [(one, committed("a1", Via::Archive))]);
    peer.pass(secs(5));
    let query = asked(&mut peer);
    has(&mut peer, &query, &[("a1", &first)]);
    assert_eq!(peer.heard(), second + &third);
}

/// Sent again, it would stand behind what was said after it.
#[test]
fn what_was_overtaken_is_not_sent_again_out_of_order() {
    for (ordered, resent) in [(true, false), (false, true)] {
        let (mut peer, room) = in_room();
        let mut one = Post::new("one");
        one.ordered = ordered;
        let (one, first) = send(&mut peer, room, one);
        let (two, second) = post(&mut peer, room, "two");
        break_and_heal(&mut peer);
        for _ in 0..2 {
            let query = asked(&mut peer);
            has(&mut peer, &query, &[("a2", &second)]);
            peer.pass(secs(5));
        }
        let outcomes = outcomes(&mut peer);
        assert_eq!(outcomes[0], (two, committed("a2", Via::Archive)));
        if resent {
            assert_eq!(outcomes.len(), 1);
            assert_eq!(peer.heard(), first);
        } else {
            assert_unknown(&outcomes[1..], &[one]);
            assert_eq!(peer.heard(), "");
        }
    }
}

#[test]
fn a_reflection_overtakes_as_well() {
    let (mut peer, room) = in_room();
    let (one, _) = post(&mut peer, room, "one");
    let (two, second) = post(&mut peer, room, "two");
    reflect(&mut peer, &second, "a2");
    assert_eq!(
        outcomes(&mut peer),
        [(two, committed("a2", Via::Reflection))]
    );
    break_and_heal(&mut peer);
    has_not(&mut peer);
    assert_unknown(&outcomes(&mut peer), &[one]);
}

/// What the archive has under another's name was said all the same: what was before it and is not
/// there would come out of its order.
#[test]
fn a_copy_that_came_to_the_room_is_not_overtaken_by_sending_again_what_was_before_it() {
    for nick in ["eve", "ada"] {
        let (mut peer, room) = in_room();
        let (first, _) = post(&mut peer, room, "one");
        let (second, written) = post(&mut peer, room, "two");
        break_and_heal(&mut peer);
        has_by(&mut peer, &written, nick);
        assert_eq!(peer.heard(), "", "{nick}");
        let told = outcomes(&mut peer);
        match nick {
            "ada" => assert_unknown(&told[1..], &[first]),
            _ => assert_unknown(&told, &[first, second]),
        }
    }
}
