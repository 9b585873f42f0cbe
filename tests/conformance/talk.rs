//! What programs do in topics, whatever the way in.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use parley_xmpp::jid::BareJid;
use parley_xmpp::tokio::Client;
use parley_xmpp::{Fetch, Nick};

use crate::backend::{Backend, Page, Target};
use crate::{CROWD, all, crowd_name, soon};

/// More than any archive here holds.
const EVERYTHING: u32 = 10_000;

fn distinct<'a>(ids: impl IntoIterator<Item = &'a str>) -> usize {
    ids.into_iter().collect::<BTreeSet<_>>().len()
}

fn assert_tail(page: &Page, cursor: &str) {
    assert!(page.messages.is_empty() && page.complete, "{page:?}");
    assert_eq!(page.next, cursor);
}

pub(crate) async fn three_posts_come_back_in_order_under_the_ids_that_post_gave<B: Backend>(
    target: Target,
) {
    let backend = B::connect(&target, "alice").await;
    let topic = target.topic::<B>("three");
    let said = ["one", "two @bob", "three <&> \u{1f980}\n "];
    let mut ids = Vec::new();
    for text in said {
        ids.push(backend.post(&topic, text).await);
    }
    assert_eq!(distinct(ids.iter().map(String::as_str)), 3, "{ids:?}");
    for since in [None, Some("")] {
        let page = backend.fetch(&topic, since, 100, 0).await;
        assert_eq!(page.contents(), said);
        assert_eq!(page.ids(), ids);
        assert_eq!(page.next, ids[2]);
        assert!(page.complete);
        for message in &page.messages {
            assert_eq!((&message.topic, &message.id), (&topic, &message.cursor));
            assert!(!message.sender.is_empty());
        }
        assert_eq!(page.messages[1].mentions, ["bob"]);
    }
    // What comes after a cursor does not include it.
    let page = backend.fetch(&topic, Some(&ids[0]), 100, 0).await;
    assert_eq!(
        (page.ids(), &page.next),
        (vec![ids[1].as_str(), &ids[2]], &ids[2])
    );
    // By ones, to the end, where the cursor stays as it is.
    let mut cursor = String::new();
    for id in &ids {
        let page = backend.fetch(&topic, Some(&cursor), 1, 0).await;
        assert_eq!(page.ids(), [id.as_str()]);
        cursor = page.next;
    }
    for _ in 0..2 {
        assert_tail(&backend.fetch(&topic, Some(&cursor), 100, 0).await, &ids[2]);
    }
    // The newest, if only so many are asked for.
    let page = backend.fetch(&topic, None, 2, 0).await;
    assert_eq!((page.contents(), &page.next), (said[1..].to_vec(), &ids[2]));
    backend.close().await;
}

pub(crate) async fn a_topic_never_posted_to_has_an_empty_cursor_that_can_be_used<B: Backend>(
    target: Target,
) {
    let backend = B::connect(&target, "alice").await;
    let topic = target.topic::<B>("silence");
    assert_tail(&backend.fetch(&topic, None, 100, 0).await, "");
    assert_tail(&backend.fetch(&topic, Some(""), 100, 0).await, "");
    let id = backend.post(&topic, "no more").await;
    let page = backend.fetch(&topic, Some(""), 100, 0).await;
    assert_eq!((page.contents(), &page.next), (vec!["no more"], &id));
    backend.close().await;
}

pub(crate) async fn a_pushed_message_is_the_fetched_one<B: Backend>(target: Target) {
    let topic = target.topic::<B>("pushed");
    let (reader, writer) = (
        B::connect(&target, "alice").await,
        B::connect(&target, "bob").await,
    );
    reader.subscribe(&topic, None).await;
    let mut pushed = Vec::new();
    for text in ["for @alice and @carol", "]]> &amp; \"'\t"] {
        let id = writer.post(&topic, text).await;
        pushed.push(reader.pushed().await);
        assert_eq!(pushed.last().map(|message| &message.id), Some(&id));
    }
    reader.post(&topic, "from myself").await;
    pushed.push(reader.pushed().await);
    assert_eq!(pushed[0].mentions, ["alice", "carol"]);
    let page = reader.fetch(&topic, Some(""), 100, 0).await;
    assert_eq!(page.messages, pushed);
    reader.close().await;
    writer.close().await;
}

pub(crate) async fn a_subscription_from_a_cursor_begins_right_after_it<B: Backend>(target: Target) {
    let topic = target.topic::<B>("from");
    let (reader, writer) = (
        B::connect(&target, "alice").await,
        B::connect(&target, "bob").await,
    );
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(writer.post(&topic, text).await);
    }
    reader.subscribe(&topic, Some(&ids[0])).await;
    ids.push(writer.post(&topic, "four").await);
    for id in &ids[1..] {
        assert_eq!(&reader.pushed().await.id, id);
    }
    reader.close().await;
    let reader = B::connect(&target, "carol").await;
    reader.subscribe(&topic, Some("")).await;
    for id in &ids {
        assert_eq!(&reader.pushed().await.id, id);
    }
    reader.close().await;
    writer.close().await;
}

pub(crate) async fn two_topics_are_isolated<B: Backend>(target: Target) {
    let backend = B::connect(&target, "alice").await;
    // They differ in nothing but what is replaced in the room's name.
    let topics = [target.topic::<B>("apart/"), target.topic::<B>("apart!")];
    backend.subscribe(&topics[1], None).await;
    let one = backend.post(&topics[0], "here").await;
    let two = backend.post(&topics[1], "there").await;
    for (topic, id) in topics.iter().zip([&one, &two]) {
        let page = backend.fetch(topic, None, 100, 0).await;
        assert_eq!((page.ids(), &page.next), (vec![id.as_str()], id));
    }
    let pushed = backend.pushed().await;
    assert_eq!((&pushed.topic, &pushed.id), (&topics[1], &two));
    backend.close().await;
}

pub(crate) async fn a_block_ends_with_the_first_news_or_with_its_time<B: Backend>(target: Target) {
    let topic = target.topic::<B>("block");
    let (reader, writer) = (
        B::connect(&target, "alice").await,
        B::connect(&target, "bob").await,
    );
    let first = writer.post(&topic, "first").await;
    // There is something: it does not wait.
    assert_eq!(
        reader.fetch(&topic, Some(""), 9, 50_000).await.ids(),
        [first.as_str()]
    );

    let start = Instant::now();
    let page = reader.fetch(&topic, Some(&first), 9, 300).await;
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_tail(&page, &first);

    let mut last = first;
    for text in ["second", "third"] {
        let start = Instant::now();
        let (page, id) = tokio::join!(reader.fetch(&topic, Some(&last), 9, 30_000), async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            writer.post(&topic, text).await
        });
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(15), "{waited:?}");
        assert_eq!((page.contents(), &page.next), (vec![text], &id));
        last = id;
    }
    reader.close().await;
    writer.close().await;
}

pub(crate) async fn four_connections_that_post_25_each_make_100_messages<B: Backend>(
    target: Target,
) {
    let topic = target.topic::<B>("hundred");
    let users = ["alice", "bob", "carol", "parley"];
    let writers = all(users.map(|user| B::connect(&target, user))).await;
    let ids = all(writers.iter().zip(users).map(async |(writer, user)| {
        let mut ids = Vec::new();
        for n in 0..25 {
            ids.push(writer.post(&topic, &format!("{user} {n}")).await);
        }
        ids
    }))
    .await;
    let reader = &writers[0];
    // The default page of both servers holds 50.
    let page = reader.fetch(&topic, None, EVERYTHING, 0).await;
    assert_eq!(page.messages.len(), 100);
    assert_eq!(distinct(page.ids()), 100);
    assert_eq!(distinct(page.contents()), 100);
    assert!(page.complete);
    for (user, ids) in users.iter().zip(&ids) {
        let whose = format!("{user} ");
        let messages = page.messages.iter();
        let seen: Vec<_> = messages
            .filter(|message| message.content.starts_with(&whose))
            .map(|message| &message.id)
            .collect();
        assert_eq!(seen, ids.iter().collect::<Vec<_>>(), "{user}");
    }
    let forwards = reader.fetch(&topic, Some(""), EVERYTHING, 0).await;
    assert_eq!(forwards.messages, page.messages);
    let rest = reader
        .fetch(&topic, Some(&page.messages[49].id), EVERYTHING, 0)
        .await;
    assert_eq!(rest.messages, page.messages[50..]);
    assert_eq!(
        (rest.next.as_str(), rest.complete),
        (page.messages[99].id.as_str(), true)
    );
    all(writers.into_iter().map(B::close)).await;
}

pub(crate) async fn different_accounts_meet_in_the_rooms_of_the_rule<B: Backend>(target: Target) {
    let (one, two) = (
        B::connect(&target, "alice").await,
        B::connect(&target, "bob").await,
    );
    // Somebody who knows nothing of topics.
    let witness = soon("connect", Client::connect(target.settings("carol")))
        .await
        .expect("to connect");
    for (topic, room) in [
        ("ops", "ops@muc.parley.local"),
        ("Ops / Deploy!", "ops___deploy_-5bdb50bfe5@muc.parley.local"),
        ("🚀x", "__x-fa36b44c4f@muc.parley.local"),
        ("ÄÖ", "__-7acd2cec8b@muc.parley.local"),
    ] {
        // Other combinations talk in the same rooms.
        two.subscribe(topic, None).await;
        let from_one = one.post(topic, &target.topic::<B>("from one")).await;
        let from_two = two.post(topic, &target.topic::<B>("from two")).await;
        for wanted in [&from_one, &from_two] {
            while two.pushed().await.id != *wanted {}
        }
        assert!(
            one.fetch(topic, None, EVERYTHING, 0)
                .await
                .ids()
                .contains(&from_two.as_str())
        );
        let room = BareJid::parse(room).expect("an address");
        let room = soon("join", witness.join(room, Nick::Random))
            .await
            .expect("to join");
        let page = soon("fetch", room.fetch(Fetch::newest(EVERYTHING)))
            .await
            .expect("to fetch");
        for (id, what) in [(&from_one, "from one"), (&from_two, "from two")] {
            let seen = page
                .messages
                .iter()
                .find(|message| message.id.as_ref().is_some_and(|seen| seen.as_str() == id))
                .map(|message| message.body.clone());
            assert_eq!(
                seen,
                Some(target.topic::<B>(what)),
                "{id} of {topic:?} among {:#?}",
                page.messages
                    .iter()
                    .map(|message| (message.id.as_ref(), &message.body))
                    .collect::<Vec<_>>()
            );
        }
    }
    one.close().await;
    two.close().await;
    soon("close", witness.close()).await;
}

pub(crate) async fn ten_who_come_at_the_same_moment_all_get_in<B: Backend>(target: Target) {
    let topic = target.topic::<B>("new");
    let names: Vec<_> = (0..CROWD).map(crowd_name).collect();
    let crowd = all(names.iter().map(|name| B::connect(&target, name))).await;
    // The first of each joins the room, which does not exist yet.
    let ids = all(crowd
        .iter()
        .zip(&names)
        .map(|(one, name)| one.post(&topic, name)))
    .await;
    assert_eq!(distinct(ids.iter().map(String::as_str)), CROWD);
    let pages = all(crowd.iter().map(|one| one.fetch(&topic, None, 100, 0))).await;
    for page in &pages {
        let senders = page.messages.iter().map(|message| message.sender.as_str());
        assert_eq!(distinct(senders), CROWD);
        assert_eq!(page.ids(), pages[0].ids());
        assert_eq!(page.messages.len(), CROWD);
    }
    all(crowd.into_iter().map(B::close)).await;
}
