//! Finding out later, by the token alone, and in another engine.

use crate::*;
use parley_xmpp::{CannotTell, PostToken, QueryError, QueryId, RequestError, Resolution};

/// The token of a post that nobody could tell about, and its bytes.
fn doubtful() -> (String, String) {
    let (mut peer, room) = in_room_of(far());
    let (_, written) = post(&mut peer, room, "hi");
    cut(&mut peer);
    peer.engine.close(peer.now);
    match &outcomes(&mut peer)[..] {
        [(_, PostOutcome::Unknown { token })] => (token.to_string(), written),
        other => panic!("{other:?}"),
    }
}

fn resolutions(peer: &mut Peer) -> Vec<(QueryId, Resolution)> {
    let resolved = |event| match event {
        Event::Resolved { id, resolution } => Some((id, resolution)),
        _ => None,
    };
    peer.events().into_iter().filter_map(resolved).collect()
}

fn resolve(peer: &mut Peer, token: &str) -> QueryId {
    let token = PostToken::parse(token).unwrap();
    peer.engine.resolve(peer.now, &token).unwrap()
}

#[test]
fn another_process_finds_it() {
    let (token, written) = doubtful();
    let (mut peer, _) = in_room();
    let id = resolve(&mut peer, &token);
    let query = asked(&mut peer);
    assert!(query.contains("<after>a0</after>"), "{query}");
    has(&mut peer, &query, &[("a1", &written)]);
    let found = Resolution::Found(ArchiveId::new("a1").unwrap());
    assert_eq!(resolutions(&mut peer), [(id, found)]);
}

#[test]
fn another_process_does_not_find_it_so_far() {
    let (token, written) = doubtful();
    let origin_id = attribute(&written, "id");
    let other = written.replace(origin_id, "another-id");
    let copied = Resolution::CannotTell(CannotTell::Copied);
    // Whoever knows the id knows it from the room: a copy shows that the post was said.
    for (said, resolution) in [(&other, Resolution::AbsentSoFar), (&written, copied)] {
        let (mut peer, _) = in_room();
        let id = resolve(&mut peer, &token);
        let query = asked(&mut peer);
        peer.say(&archived_as(&query, "a1", said, "mallory", ""));
        peer.say(&fin(attribute(&query, "id"), true, &["a1"]));
        assert_eq!(resolutions(&mut peer), [(id, resolution)]);
        assert_eq!(peer.heard(), "", "nothing is sent again");
    }
}

/// A copy shows that the post was said, wherever it lies and however the search ends.
#[test]
fn what_was_said_is_known_however_the_search_ends() {
    let (token, written) = doubtful();
    let tombstone = |query: &str| {
        format!(
            "<message from='{ROOM}'><result xmlns='urn:xmpp:mam:2' queryid='{}' id='a2'>\
             <forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' \
             from='{ROOM}/x' type='groupchat'/></forwarded></result></message>",
            attribute(query, "queryid")
        )
    };
    for ends in ["removed", "later", "refused", "expired"] {
        let (mut peer, _) = in_room();
        let id = resolve(&mut peer, &token);
        let query = asked(&mut peer);
        peer.say(&archived_as(&query, "a1", &written, "mallory", ""));
        let page = attribute(&query, "id");
        if ends == "removed" {
            peer.say(&tombstone(&query));
            peer.say(&fin(page, true, &["a1", "a2"]));
        } else if ends == "expired" {
            refuses(&mut peer, &query, "item-not-found", "cancel");
            // It is the anchor, not the archive.
            let query = asked(&mut peer);
            has(&mut peer, &query, &[]);
        } else {
            peer.say(&fin(page, false, &["a1"]));
            let query = asked(&mut peer);
            match ends {
                "later" => peer.say(&fin(attribute(&query, "id"), true, &[])),
                _ => refuses(&mut peer, &query, "feature-not-implemented", "cancel"),
            }
        }
        let copied = Resolution::CannotTell(CannotTell::Copied);
        assert_eq!(resolutions(&mut peer), [(id, copied)], "{ends}");
    }
}

/// The nick was another's when we came back, after the token was written down: it is not
/// absent, though nobody can tell that it is ours.
#[test]
fn what_was_said_under_a_nick_that_came_later_is_not_absent() {
    let (mut peer, room) = in_room();
    let token = peer.engine.prepare(peer.now, room).unwrap().to_string();
    let prepared = PostToken::parse(&token).unwrap();
    let id = prepared.origin_id().to_owned();
    let written = format!("<message id='{id}'/>");
    for (nick, resolution) in [
        ("ada", Resolution::Found(ArchiveId::new("a1").unwrap())),
        ("ada-2", Resolution::CannotTell(CannotTell::Copied)),
    ] {
        let (mut peer, _) = in_room();
        let id = resolve(&mut peer, &token);
        let query = asked(&mut peer);
        peer.say(&archived_as(&query, "a1", &written, nick, ""));
        peer.say(&fin(attribute(&query, "id"), true, &["a1"]));
        assert_eq!(resolutions(&mut peer), [(id, resolution)]);
    }
}

#[test]
fn it_says_why_it_cannot_tell() {
    let (token, _) = doubtful();
    for (condition, kind, why) in [
        ("item-not-found", "modify", CannotTell::AnchorExpired),
        ("feature-not-implemented", "cancel", CannotTell::NoArchive),
    ] {
        let (mut peer, _) = in_room();
        peer.shows = false;
        let id = resolve(&mut peer, &token);
        let query = asked(&mut peer);
        assert!(query.contains("<before>a0</before>"), "{query}");
        refuses(&mut peer, &query, condition, kind);
        if condition == "item-not-found" {
            // It is the anchor, not the archive.
            let query = asked(&mut peer);
            has(&mut peer, &query, &[]);
        }
        assert_eq!(resolutions(&mut peer), [(id, Resolution::CannotTell(why))]);
    }
    let (mut peer, _) = in_room();
    let id = resolve(&mut peer, &token);
    let query = asked(&mut peer);
    let end = fin(attribute(&query, "id"), true, &[]);
    peer.say(&end.replace(" complete=", " stable='false' complete="));
    let unstable = Resolution::CannotTell(CannotTell::Unstable);
    assert_eq!(resolutions(&mut peer), [(id, unstable)]);
    // Silence.
    let id = resolve(&mut peer, &token);
    peer.reads = true;
    peer.pass(secs(30));
    let silent = Resolution::CannotTell(CannotTell::Failed(RequestError::TimedOut));
    assert_eq!(resolutions(&mut peer), [(id, silent)]);
}

/// ejabberd refuses no place to begin at: what it gives then is not what came after it.
#[test]
fn q10_an_anchor_that_is_not_shown_is_expired_and_the_post_not_absent() {
    let (token, written) = doubtful();
    for there in [false, true] {
        let (mut peer, _) = in_room();
        peer.shows = false;
        let id = resolve(&mut peer, &token);
        let query = asked(&mut peer);
        has(&mut peer, &query, &[]);
        let query = asked(&mut peer);
        assert!(!query.contains("<after>"), "{query}");
        let posts = [("a5", &*written)];
        has(&mut peer, &query, &posts[..usize::from(there)]);
        let resolution = if there {
            Resolution::Found(ArchiveId::new("a5").unwrap())
        } else {
            Resolution::CannotTell(CannotTell::AnchorExpired)
        };
        assert_eq!(resolutions(&mut peer), [(id, resolution)]);
    }
}

#[test]
fn a_room_without_an_archive_cannot_tell() {
    let (token, _) = doubtful();
    let (mut peer, _) = in_room_with(config(), "", None);
    let id = resolve(&mut peer, &token);
    let none = Resolution::CannotTell(CannotTell::NoArchive);
    assert_eq!(resolutions(&mut peer), [(id, none)]);
}

#[test]
fn it_waits_until_we_are_in_the_room_and_goes_on_after_a_break() {
    let (token, written) = doubtful();
    let mut peer = Peer::online(config());
    let parsed = PostToken::parse(&token).unwrap();
    let error = peer.engine.resolve(peer.now, &parsed);
    assert_eq!(error, Err(QueryError::UnknownRoom));
    let join = JoinRoom::new(parsed.room().clone(), Nick::Chosen("eve".into()));
    peer.engine.join(peer.now, join).unwrap();
    let id = resolve(&mut peer, &token);
    peer.let_in("eve", ROOM_FEATURES);
    assert_eq!(queries(&peer.heard()).len(), 1);
    cut(&mut peer);
    until_connect(&mut peer);
    peer.events();
    peer.log_in();
    peer.let_in("eve", ROOM_FEATURES);
    let heard = peer.heard();
    let query = queries(&heard)
        .into_iter()
        .find(|query| query.contains("<after>a0</after>"))
        .unwrap();
    has(&mut peer, query, &[("a1", &written)]);
    let found = Resolution::Found(ArchiveId::new("a1").unwrap());
    assert_eq!(resolutions(&mut peer), [(id, found)]);
}

#[test]
fn it_ends_with_the_room_and_with_the_engine() {
    let (token, _) = doubtful();
    let failed = |why| Resolution::CannotTell(CannotTell::Failed(why));
    let (mut peer, room) = in_room();
    let id = resolve(&mut peer, &token);
    peer.engine.leave(peer.now, room);
    let gone = failed(RequestError::NoSuchRoom);
    assert_eq!(resolutions(&mut peer), [(id, gone)]);
    let (mut peer, _) = in_room();
    let id = resolve(&mut peer, &token);
    let given_up = resolve(&mut peer, &token);
    peer.engine.cancel(peer.now, given_up);
    peer.engine.close(peer.now);
    let offline = failed(RequestError::Offline);
    let told = resolutions(&mut peer);
    assert!(
        told == [(id, offline)] || told == [(id, failed(RequestError::NoSuchRoom))],
        "{told:?}"
    );
}

/// Whoever is told that nobody can tell reads why.
#[test]
fn each_reason_reads_differently() {
    let all = [
        CannotTell::NoArchive,
        CannotTell::AnchorExpired,
        CannotTell::Unkept,
        CannotTell::NoAnchor,
        CannotTell::Unstable,
        CannotTell::Removed,
        CannotTell::Copied,
        CannotTell::Failed(RequestError::TimedOut),
    ];
    let read: std::collections::BTreeSet<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(read.len(), all.len());
    assert!(read.iter().all(|why| why.len() > 10), "{read:?}");
}
