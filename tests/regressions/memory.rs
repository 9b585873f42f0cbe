//! What a subscription has to remember so that nothing is told twice, against an archive
//! that is late, or holds much that is no message.

use parley_xmpp::{Bookmark, SubscriptionId};
use proptest::prelude::*;

use crate::peer::{archived, message};
use crate::*;

pub(super) struct Item {
    pub(super) id: String,
    /// Whether it is a message; else a marker, a reaction or the like.
    pub(super) body: bool,
    /// Whether the archive shows it.
    pub(super) shown: bool,
}

/// A room whose archive shows what it is told to, a reader in it, and what came of that.
pub(super) struct World {
    pub(super) peer: Peer,
    pub(super) room: RoomId,
    pub(super) subscription: Option<SubscriptionId>,
    pub(super) config: parley_xmpp::Config,
    pub(super) items: Vec<Item>,
    /// Whether the archive refuses to be read.
    pub(super) refuses: bool,
    /// Whether it does not answer.
    pub(super) silent: bool,
    /// So many items of its pages lie before the place which they were to come after.
    pub(super) overlap: usize,
    pub(super) bookmark: Bookmark,
    /// What was told, in the words of [`words`].
    pub(super) told: Vec<String>,
    /// How much of that a process before was told.
    pub(super) before: usize,
    /// How many questions the archive was asked.
    pub(super) asked: usize,
    /// Answers wait in `queue`.
    pub(super) delays: bool,
    pub(super) queue: Vec<String>,
}

/// An entry in words: messages are their ids, late ones are marked.
pub(super) fn words(entry: Entry) -> String {
    match entry {
        Entry::Message(message) => message.body,
        Entry::Late(message) => format!("late {}", message.body),
        Entry::CaughtUp { .. } => "caught up".into(),
        Entry::Confirmed { .. } => "confirmed".into(),
        Entry::Gap { reason, .. } => format!("gap {reason:?}"),
        other => format!("{other:?}"),
    }
}

impl World {
    /// An archive of one message, `m0`, and nobody who reads it yet.
    pub(super) fn new(config: parley_xmpp::Config) -> Self {
        let (mut peer, room) = in_room_of(config.clone(), ROOM_FEATURES);
        peer.shows = false;
        let first = Item {
            id: "m0".into(),
            body: true,
            shown: true,
        };
        Self {
            peer,
            room,
            subscription: None,
            config,
            items: vec![first],
            refuses: false,
            silent: false,
            overlap: 0,
            bookmark: Bookmark::at(Cursor::parse("m0").unwrap()),
            told: Vec::new(),
            before: 0,
            asked: 0,
            delays: false,
            queue: Vec::new(),
        }
    }

    /// Begins to read where the bookmark stands.
    pub(super) fn read(&mut self, credit: u32) {
        let start = Start::Bookmark(self.bookmark.clone());
        let (now, room) = (self.peer.now, self.room);
        let id = self.peer.engine.subscribe(now, room, start, credit);
        self.subscription = Some(id.unwrap());
        self.serve();
    }

    /// The process is killed, and another goes on from what it kept.
    pub(super) fn restart(&mut self, credit: u32) {
        let kept = self.bookmark.to_string();
        self.bookmark = Bookmark::parse(&kept).unwrap();
        (self.peer, self.room) = in_room_of(self.config.clone(), ROOM_FEATURES);
        self.peer.shows = false;
        self.before = self.told.len();
        self.read(credit);
    }

    /// How many messages this process was told.
    pub(super) fn told_since_restart(&self) -> usize {
        let told = self.told.iter().skip(self.before);
        told.filter(|told| is_message(told)).count()
    }

    /// The reader can take more.
    pub(super) fn grant(&mut self, credit: u32) {
        let id = self.subscription.expect("a reader");
        self.peer.engine.grant(self.peer.now, id, credit);
        self.serve();
    }

    /// Puts something into the archive, or only behind it, that the reader does not hear.
    pub(super) fn store(&mut self, body: bool, shown: bool) {
        let id = format!("m{}", self.items.len());
        self.items.push(Item { id, body, shown });
    }

    /// The room says something.
    pub(super) fn say(&mut self, shown: bool) {
        self.store(true, shown);
        let id = self.items.last().map(|item| item.id.clone()).unwrap();
        self.peer.say(&message("bob", &id, &id));
        self.serve();
    }

    /// The archive shows all that it has.
    pub(super) fn show(&mut self) {
        for item in &mut self.items {
            item.shown = true;
        }
    }

    /// The room drops the reader, `meanwhile` happens, and it is let in again.
    pub(super) fn away(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        self.peer.say(&dropped());
        self.take();
        meanwhile(self);
        for _ in 0..1000 {
            let sent = self.peer.heard();
            if !joins(&sent).is_empty() {
                self.peer.kept = sent;
                self.peer.let_in("ada", ROOM_FEATURES);
                return self.serve();
            }
            self.answer(&sent);
            turn(&mut self.peer);
            self.take();
        }
        panic!("never back in the room");
    }

    /// Lets time pass, the archive answering.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.peer.now.plus(time);
        self.serve();
        while let Some(deadline) = self.peer.engine.wants().deadline.filter(|d| d.at <= end) {
            self.peer.now = self.peer.now.max(deadline.at);
            self.peer.engine.handle_timeout(self.peer.now);
            self.serve();
        }
        self.peer.now = end;
    }

    /// Answers all that is asked.
    pub(super) fn serve(&mut self) {
        for turns in 0.. {
            assert!(turns < 10_000, "it is asked for ever");
            let sent = self.peer.heard();
            self.take();
            if requests(&sent).is_empty() {
                self.peer.kept = sent;
                return;
            }
            self.answer(&sent);
        }
    }

    pub(super) fn answer(&mut self, sent: &str) {
        for request in requests(sent) {
            if request.contains("urn:xmpp:mam:2") && self.silent {
                self.asked += 1;
            } else if request.contains("urn:xmpp:mam:2") {
                self.page(request);
            } else {
                let (id, to) = (iq(request), attribute(request, "to"));
                let pong = format!("<iq type='result' id='{id}' from='{to}'/>");
                self.peer.say(&pong);
            }
            self.take();
        }
    }

    pub(super) fn page(&mut self, query: &str) {
        self.asked += 1;
        if self.refuses {
            let refusal = failure(iq(query), "not-allowed", "cancel");
            return self.give(refusal);
        }
        let text = |name: &str| {
            let (_, rest) = query.split_once(&format!("<{name}>"))?;
            Some(rest.split_once('<').unwrap().0)
        };
        let max: usize = text("max").unwrap().parse().unwrap();
        let shown: Vec<_> = self.items.iter().filter(|item| item.shown).collect();
        let place = |id| shown.iter().position(|item| item.id == id);
        let backward = query.contains("<before");
        let named = text("before").or_else(|| text("after"));
        let at = named.filter(|id| !id.is_empty()).map(place);
        let range = match (at, backward) {
            (Some(None), _) => {
                let unknown = failure(iq(query), "item-not-found", "cancel");
                return self.give(unknown);
            }
            (Some(Some(end)), true) => end.saturating_sub(max)..end,
            (None, true) => shown.len().saturating_sub(max)..shown.len(),
            (Some(Some(at)), false) => {
                let overlap = self.overlap.min(max.saturating_sub(2));
                let from = (at + 1).saturating_sub(overlap);
                from..shown.len().min(from + max)
            }
            (None, false) => 0..shown.len().min(max),
        };
        let complete = match backward {
            true => range.start == 0,
            false => range.end == shown.len(),
        };
        let mut said = String::new();
        for item in &shown[range.clone()] {
            let all = archived(query_id(query), &item.id, &item.id);
            said += &match item.body {
                true => all,
                false => all.replace(&format!("<body>{}</body>", item.id), "<x xmlns='marker'/>"),
            };
        }
        let ids: Vec<_> = shown[range].iter().map(|item| item.id.as_str()).collect();
        said += &fin(iq(query), complete, &ids);
        self.give(said);
    }

    pub(super) fn give(&mut self, answer: String) {
        if self.delays {
            self.queue.push(answer);
        } else {
            self.peer.say(&answer);
        }
    }

    /// What was told since last time.
    pub(super) fn take(&mut self) {
        for entry in entries(self.peer.events()) {
            self.bookmark.take(&entry);
            self.told.push(words(entry));
        }
    }

    /// How often each message was told, in the order of the archive.
    pub(super) fn times(&self) -> Vec<(&str, usize)> {
        let mut times = std::collections::BTreeMap::new();
        for words in &self.told {
            let id = words.strip_prefix("late ").unwrap_or(words);
            *times.entry(id).or_insert(0) += 1;
        }
        let messages = self.items.iter().skip(1).filter(|item| item.body);
        messages
            .map(|item| item.id.as_str())
            .map(|id| (id, times.get(id).copied().unwrap_or(0)))
            .collect()
    }

    /// Those that were not told once.
    pub(super) fn not_once(&self) -> Vec<(&str, usize)> {
        let mut times = self.times();
        times.retain(|(_, times)| *times != 1);
        times
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Said in the room; the archive shows it now or later.
    Said(usize, bool),
    /// Things that are no messages.
    Markers(usize),
    /// Not heard, and in the archive now or later.
    Unheard(usize, bool),
    /// The archive shows all it has.
    Shows,
    /// Out of the room while so many messages are said, and back; the archive refuses
    /// to be read until it shows all again.
    Away(usize, bool),
    Pass(u64),
    /// The reader takes what it was told.
    Takes,
    /// The process is killed.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..12_usize, any::<bool>()).prop_map(|(n, shown)| Step::Said(n, shown)),
        3 => (1..40_usize).prop_map(Step::Markers),
        2 => (1..12_usize, any::<bool>()).prop_map(|(n, shown)| Step::Unheard(n, shown)),
        3 => Just(Step::Shows),
        2 => (0..60_usize, any::<bool>()).prop_map(|(n, refuses)| Step::Away(n, refuses)),
        6 => (1..60_u64).prop_map(Step::Pass),
        4 => Just(Step::Takes),
        1 => Just(Step::Restart),
    ]
}

/// Who remembers so many, asks for pages of so many, and holds so many back.
pub(super) fn limited(remembered: usize, page: u32, held: usize) -> parley_xmpp::Config {
    let mut config = config();
    config.limits.remembered_ids = remembered;
    config.limits.page = page;
    config.limits.held_messages = held;
    config
}

/// Does the steps; then all is shown and taken, for a long time.
fn run(steps: &[Step], remembered: usize, page: u32, held: usize, window: u32) -> World {
    run_over(0, steps, remembered, page, held, window)
}

/// The same with an archive whose pages overlap by so much.
fn run_over(
    overlap: usize,
    steps: &[Step],
    remembered: usize,
    page: u32,
    held: usize,
    window: u32,
) -> World {
    let mut world = World::new(limited(remembered, page, held));
    world.overlap = overlap;
    world.read(window);
    let mut taken = 0;
    let takes = |world: &mut World, taken: &mut usize| {
        let told = world.told.iter().filter(|told| is_message(told)).count();
        let unread = told - core::mem::replace(taken, told);
        world.grant(u32::try_from(unread).unwrap());
        unread > 0
    };
    for step in steps {
        match *step {
            Step::Said(n, shown) => (0..n).for_each(|_| world.say(shown)),
            Step::Markers(n) => (0..n).for_each(|_| world.store(false, true)),
            Step::Unheard(n, shown) => (0..n).for_each(|_| world.store(true, shown)),
            Step::Shows => {
                world.refuses = false;
                world.show();
            }
            Step::Away(n, refuses) => world.away(|world| {
                world.refuses |= refuses;
                (0..n).for_each(|_| world.store(true, true));
            }),
            Step::Pass(time) => world.pass(secs(time)),
            Step::Takes => drop(takes(&mut world, &mut taken)),
            Step::Restart => {
                world.restart(window);
                taken = world.told.iter().filter(|told| is_message(told)).count();
                // What the new process was told fills its window.
                taken -= world.told_since_restart();
            }
        }
    }
    world.refuses = false;
    world.show();
    for rounds in 0.. {
        world.pass(secs(700));
        if !takes(&mut world, &mut taken) && rounds > 4 {
            return world;
        }
        assert!(rounds < 2000, "it is told for ever");
    }
    unreachable!()
}

/// Whether time passes while the archive does not show what the reader may not have heard.
fn shows_very_late(steps: &[Step]) -> bool {
    let mut hidden = false;
    steps.iter().any(|step| {
        match step {
            Step::Unheard(_, false) | Step::Said(_, false) => hidden = true,
            Step::Shows => hidden = false,
            _ => {}
        }
        hidden && matches!(step, Step::Pass(_) | Step::Away(..))
    })
}

pub(super) fn is_message(told: &str) -> bool {
    told.trim_start_matches("late ").starts_with('m')
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").map_or(60, |cases| cases.parse().unwrap()),
        failure_persistence: None,
        // One that is told for ever takes its time.
        max_shrink_iters: 100,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_told_twice_and_nothing_is_lost_in_silence(
        steps in proptest::collection::vec(step(), 1..40),
        remembered in prop_oneof![0..24_usize, Just(1024)],
        page in 1..6_u32,
        held in 1..8_usize,
        window in 1..30_u32,
        overlap in prop_oneof![4 => Just(0_usize), 1 => 1..4_usize],
    ) {
        let world = run_over(overlap, &steps, remembered, page, held, window);
        let (lost, twice): (Vec<_>, Vec<_>) =
            world.not_once().into_iter().partition(|(_, times)| *times == 0);
        let has = |what: &str| world.told.iter().any(|told| told.starts_with(what));
        if has("gap CursorExpired") {
            // What the archive has left comes, whatever of it is not remembered.
            return Ok(());
        }
        let restarts = steps.iter().any(|step| matches!(step, Step::Restart));
        if restarts && shows_very_late(&steps) {
            // What the archive did not show for so long was told where it may not lie, and what
            // lies ahead of that before it.
            return Ok(());
        }
        prop_assert!(twice.is_empty(), "{twice:?}: {:?}", world.told);
        // What shows up very late need not be found, nor what shows up behind more than is
        // remembered.
        let hides = |step: &Step| matches!(step, Step::Said(_, false) | Step::Unheard(_, false));
        let found = !shows_very_late(&steps) && (remembered == 1024 || !steps.iter().any(hides));
        prop_assert!(!found || has("gap") || lost.is_empty(), "{lost:?}: {:?}", world.told);
    }
}

/// Its pages lead back to before the place that it is read from.
#[test]
fn who_goes_on_from_a_bookmark_is_not_told_again_where_pages_overlap() {
    let steps = [
        Step::Said(2, true),
        Step::Pass(30),
        Step::Markers(2),
        Step::Restart,
    ];
    let world = run_over(2, &steps, 0, 4, 1, 4);
    assert_eq!(world.not_once(), [], "{:?}", world.told);
}

/// A page that began before where the reader stands showed what had been told late there, and was
/// forgotten with all that was compared.
#[test]
fn what_lies_right_before_the_reader_is_not_told_late_again() {
    let steps = [
        Step::Away(47, true),
        Step::Away(15, false),
        Step::Said(11, false),
        Step::Said(8, false),
        Step::Unheard(1, false),
        Step::Said(1, false),
        Step::Shows,
        Step::Takes,
        Step::Pass(1),
        Step::Said(5, false),
    ];
    let world = run(&steps, 32, 5, 4, 22);
    assert_eq!(world.not_once(), [], "{:?}", world.told);
}
