//! Drawing a plan from a seed: who does what when, and what goes wrong.
//!
//! Each seed enables a random half of the kinds of faults (a swarm), so that faults
//! that hide each other are also met apart. Workload, faults, weather and habits are
//! drawn from streams of their own. What a fault is made of is in [`trouble`](super::trouble).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Fault, FaultKind, FaultKinds, Habits, Order, Plan, Step, Weather, What};
use crate::Instant;
use crate::sim::happening::HostId;
use crate::sim::random::Random;
use crate::sim::run;
use crate::sim::server::Personality;

/// What plans are drawn like.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The server's habits; `None` draws them.
    pub personality: Option<Personality>,
    /// How many hosts, each with an account of its own.
    pub hosts: usize,
    /// How many rooms at most; each plan has some of them.
    pub rooms: usize,
    /// How many posts.
    pub posts: u32,
    /// How many faults.
    pub faults: u32,
    /// Which kinds of faults there may be; each plan has some of them. Those that a
    /// server's habits put [beyond the client](FaultKinds::beyond_the_client_on) are
    /// left out even if they are named here, unless [`Self::beyond`] names them too.
    pub kinds: FaultKinds,
    /// Which of [`Self::kinds`] are drawn although they are known to be beyond the client.
    pub beyond: FaultKinds,
    /// For how long things go wrong.
    pub troubled: Duration,
    /// For how long all is well afterwards.
    pub healed: Duration,
}

impl Profile {
    /// Three clients in one or two rooms, 200 posts, 30 faults in ten minutes.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            personality: None,
            hosts: 3,
            rooms: 2,
            posts: 200,
            faults: 30,
            kinds: FaultKinds::standard(),
            beyond: FaultKinds::none(),
            troubled: Duration::from_secs(600),
            // Longer than a room stays locked whose creator died: five minutes on Prosody.
            healed: Duration::from_secs(420),
        }
    }

    /// The same with every kind of fault, those included that the client does not bear.
    #[must_use]
    pub fn everything() -> Self {
        Self {
            kinds: FaultKinds::all(),
            beyond: FaultKinds::all(),
            ..Self::standard()
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::standard()
    }
}

/// What all rooms of a plan are called.
const ROOMS: &[&str] = &["red", "blue", "green", "grey", "black", "white"];

/// What posts say beside their number, so that nothing on the way gets it wrong.
const SAYINGS: &[&str] = &[
    "all is well",
    "<b>&amp;</b> & ]]> <!-- -->",
    "a\r\nb\nc\rd",
    "\"quoted\" 'twice' `thrice`",
    "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{1f600}",
    "\u{5d0}\u{5d1}\u{202e}\u{5d2} e\u{301}",
    "  spaces\tand tabs  ",
    "/me waves at @u1, @u2.",
    "\u{fffd}\u{2028}\u{85}\u{feff}",
];

impl Plan {
    /// Draws the plan of a seed.
    #[must_use]
    pub fn draw(seed: u64, profile: &Profile) -> Self {
        let mut random = Random::stream(seed, "plan.setting");
        let both = [Personality::Prosody, Personality::Ejabberd];
        let drawn = random.pick(&both).copied().unwrap_or(Personality::Prosody);
        let personality = profile.personality.unwrap_or(drawn);
        let resumption = !random.one_in(3);
        let page_cap = random.pick(&[5, 20, 50]).copied().unwrap_or(50);
        let mut rare = Random::stream(seed, "plan.rare");
        // The least that makes progress.
        let page_cap = if rare.one_in(12) { 1 } else { page_cap };
        let mut hosts: Vec<String> = (0..profile.hosts).map(|n| format!("u{n}")).collect();
        let mut habits = habits(&mut Random::stream(seed, "plan.habits"), &mut hosts);
        habits.tick = rare.one_in(8).then_some(TICK);
        habits.insist = rare.one_in(12);
        habits.remembered = remembered(&mut Random::stream(seed, "plan.memory"));
        let known = profile.rooms.clamp(1, ROOMS.len());
        let rooms = random.between(1, u64::try_from(known).unwrap_or(1));
        let rooms: Vec<String> = ROOMS
            .iter()
            .take(usize::try_from(rooms).unwrap_or(1))
            .map(|name| run::room(name))
            .collect();
        let heal_at = Instant::ZERO.plus(profile.troubled);
        let mut draft = Draft {
            hosts,
            rooms,
            heal_at,
            healed: profile.healed,
            steps: Vec::new(),
            turn: seed,
        };
        let restarts = profile.faults > 0 && profile.kinds.has(FaultKind::Restart);
        let work = &mut Random::stream(seed, "plan.workload");
        draft.work(work, profile.posts, restarts);
        draft.habits(&mut Random::stream(seed, "plan.habitual"), habits);
        let mut kinds = profile
            .kinds
            .without(FaultKind::Start)
            .without(FaultKind::Admit)
            .without(FaultKind::Backup);
        let beyond = FaultKinds::beyond_the_client_on(personality);
        kinds = kinds.except(beyond.except(profile.beyond));
        let slow = draft.trouble(&mut Random::stream(seed, "plan.faults"), profile, kinds);
        let Draft {
            hosts, mut steps, ..
        } = draft;
        steps.sort_by_key(|step| step.at);
        let patience = if slow { SLOW_RETRY } else { Duration::ZERO };
        Self {
            seed,
            personality,
            resumption,
            page_cap,
            weather: weather(&mut Random::stream(seed, "plan.weather")),
            hosts,
            habits,
            steps,
            heal_at,
            end_at: heal_at.plus(profile.healed).plus(patience),
        }
    }
}

/// What monotonic clocks of some systems count in.
const TICK: Duration = Duration::from_millis(15);

/// What the engine may wait after an error that tells it to stay away for a while.
const SLOW_RETRY: Duration = Duration::from_secs(660);

fn weather(random: &mut Random) -> Weather {
    let calm = random.one_in(3);
    Weather {
        latency: Duration::from_millis(if calm { 1 } else { random.between(1, 150) }),
        jitter: Duration::from_millis(if calm { 0 } else { random.between(0, 50) }),
        packet: random.pick(&[1460, 536, 64]).copied().unwrap_or(1460),
        bandwidth: random.one_in(5).then_some(20_000),
    }
}

/// What is particular about the hosts, if anything is.
fn habits(random: &mut Random, hosts: &mut [String]) -> Habits {
    let mut habits = Habits {
        one_nick: random.one_in(8),
        one_resource: false,
        insist: false,
        tick: None,
        held: None,
        remembered: None,
    };
    if let (true, [first, second, ..]) = (random.one_in(8), hosts) {
        second.clone_from(first);
        habits.one_resource = random.one_in(3);
    }
    if random.one_in(8) {
        habits.held = u32::try_from(random.between(1, 3)).ok();
    }
    habits
}

/// In one plan of four hosts remember so little that what rooms say fills it now and then.
fn remembered(random: &mut Random) -> Option<u32> {
    let remembered = random.pick(&[32, 48, 64, 96]).copied();
    remembered.filter(|_| random.one_in(4))
}

/// A plan that is being drawn.
pub(super) struct Draft {
    pub(super) hosts: Vec<String>,
    rooms: Vec<String>,
    pub(super) heal_at: Instant,
    healed: Duration,
    steps: Vec<Step>,
    /// Where it stands with what is taken in turn: from seed to seed it begins elsewhere.
    turn: u64,
}

impl Draft {
    pub(super) fn add(&mut self, at: Instant, what: What) {
        self.steps.push(Step { at, what });
    }

    pub(super) fn order(&mut self, at: Instant, host: usize, order: Order) {
        self.add(at, What::Order(HostId(host), order));
    }

    pub(super) fn host(&self, random: &mut Random) -> usize {
        let hosts = u64::try_from(self.hosts.len()).unwrap_or(0);
        usize::try_from(random.below(hosts)).unwrap_or(0)
    }

    pub(super) fn room(&self, random: &mut Random) -> String {
        random.pick(&self.rooms).cloned().unwrap_or_default()
    }

    /// The next of some that are taken in turn, so that a batch of seeds has them all.
    pub(super) fn next_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        let many = u64::try_from(all.len()).ok()?;
        let index = usize::try_from(self.turn.checked_rem(many)?).ok()?;
        self.turn = self.turn.wrapping_add(1);
        all.get(index).copied()
    }

    /// What bots are told to do.
    fn work(&mut self, random: &mut Random, posts: u32, restarts: bool) {
        for host in 0..self.hosts.len() {
            for room in self.rooms.clone() {
                let at = Instant::ZERO.plus(random.duration(Duration::from_secs(2)));
                self.order(at, host, Order::Join(room.clone()));
                let later = at.plus(random.duration(Duration::from_millis(500)));
                // The last one follows everything, so that somebody does.
                let last = host.saturating_add(1) == self.hosts.len();
                if last || !random.one_in(5) {
                    self.order(later, host, Order::Follow(room));
                }
            }
        }
        let troubled = self.heal_at.since(Instant::ZERO);
        // A tenth comes when all is well again.
        let healing = self.healed / 4;
        let mut at = Instant::ZERO;
        let mut burst = 0;
        for number in 0..posts {
            if burst == 0 {
                let base = Duration::from_secs(1);
                at = if random.one_in(10) {
                    self.heal_at.plus(base).plus(random.duration(healing))
                } else {
                    Instant::ZERO.plus(base).plus(random.duration(troubled))
                };
                burst = if random.one_in(4) {
                    random.between(2, 12)
                } else {
                    1
                };
            }
            burst -= 1;
            let host = self.host(random);
            let room = self.room(random);
            let saying = random.pick(SAYINGS).copied().unwrap_or_default();
            let mut text = format!("{number}: {saying}");
            if random.one_in(40) {
                let more = usize::try_from(random.between(500, 4000)).unwrap_or(500);
                text.extend(core::iter::repeat_n("long & ", more / 7));
            }
            self.order(at, host, Order::Post(room, text));
        }
        for _ in 0..self.hosts.len().saturating_mul(2) {
            self.whim(random, troubled, restarts);
        }
        if random.one_in(6) {
            let host = self.host(random);
            let at = self.heal_at.plus(self.healed / 2);
            if random.one_in(2) {
                self.last_words(random, at, host);
            }
            self.order(at, host, Order::Close);
        }
    }

    /// What the habits of hosts are there to show.
    fn habits(&mut self, random: &mut Random, habits: Habits) {
        if let (true, Some(account)) = (habits.one_resource, self.hosts.first().cloned()) {
            // They put each other out, and one of them comes back.
            let troubled = self.heal_at.since(Instant::ZERO);
            for _ in 0..3 {
                let at = Instant::ZERO.plus(random.duration(troubled));
                self.recover(random, at, &account);
            }
        }
        let last = self.hosts.len().saturating_sub(1);
        if let (Some(held), true) = (habits.held, last > 0) {
            // More is said than is held back while somebody asks where "now" is.
            let room = self.room(random);
            let at = Instant::ZERO.plus(Duration::from_secs(4));
            self.order(at, last, Order::Unfollow(room.clone()));
            self.order(at, last, Order::FollowNow(room.clone()));
            for number in 0..held.saturating_add(12) {
                let at = at.plus(Duration::from_millis(20).saturating_mul(number));
                let text = format!("{number}: more than is held back");
                self.order(at, 0, Order::Post(room.clone(), text));
            }
        }
    }

    /// Posts of a host that are on their way when it does something else.
    fn last_words(&mut self, random: &mut Random, at: Instant, host: usize) {
        let room = self.room(random);
        for number in 0..random.between(1, 3) {
            let text = format!("{} of {host}: last words {number}", at.as_micros());
            self.order(at, host, Order::Post(room.clone(), text));
        }
    }

    /// Something that somebody does in between.
    fn whim(&mut self, random: &mut Random, troubled: Duration, restarts: bool) {
        let host = self.host(random);
        let room = self.room(random);
        let at = Instant::ZERO.plus(random.duration(troubled));
        let later = at.plus(random.duration(Duration::from_secs(20)));
        match random.below(9) {
            0 => {
                self.order(at, host, Order::Unfollow(room.clone()));
                self.order(later, host, Order::Follow(room));
            }
            1 => {
                self.order(at, host, Order::Leave(room.clone()));
                self.order(later, host, Order::Join(room.clone()));
                self.order(later, host, Order::Follow(room));
            }
            2 => self.order(at, host, Order::Reconnect),
            3 => {
                // It leaves before it is in.
                let soon = at.plus(random.duration(Duration::from_millis(500)));
                self.order(at, host, Order::Leave(room.clone()));
                self.order(at, host, Order::Join(room.clone()));
                self.order(soon, host, Order::Leave(room.clone()));
                self.order(later.max(soon), host, Order::Join(room.clone()));
                self.order(later.max(soon), host, Order::Follow(room));
            }
            4 if restarts => {
                let soon = at.plus(random.duration(Duration::from_millis(100)));
                self.last_words(random, at, host);
                self.order(soon, host, Order::Close);
                let restart = Fault::Restart {
                    host: HostId(host),
                    after: random.duration(Duration::from_secs(10)),
                };
                self.add(later.max(soon), What::Fault(restart));
            }
            _ => {
                let limit = u32::try_from(random.between(1, 150)).unwrap_or(1);
                self.order(at, host, Order::Fetch(room, limit));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::kinds::CONDITIONS;
    use super::*;
    use crate::sim::server::Operation;
    use alloc::collections::BTreeSet;

    #[test]
    fn a_seed_is_a_plan_and_its_posts_differ() {
        let profile = Profile::standard();
        let plan = Plan::draw(5, &profile);
        assert_eq!(plan, Plan::draw(5, &profile));
        assert_ne!(plan, Plan::draw(6, &profile));
        let texts: BTreeSet<_> = plan
            .steps
            .iter()
            .filter_map(|step| match &step.what {
                What::Order(_, Order::Post(_, text)) => Some(text),
                _ => None,
            })
            .collect();
        assert_eq!(texts.len(), 200);
    }

    #[test]
    fn a_hundred_seeds_have_all_there_is() {
        let plans: Vec<_> = (0..100)
            .map(|seed| Plan::draw(seed, &Profile::standard()))
            .collect();
        let steps = plans.iter().flat_map(|plan| &plan.steps);
        let faults: Vec<_> = steps
            .filter_map(|step| match &step.what {
                What::Fault(fault) => Some(fault),
                What::Order(..) => None,
            })
            .collect();
        for kind in FaultKinds::standard().without(FaultKind::Admit).iter() {
            let drawn = faults.iter().any(|fault| fault.kind() == kind);
            assert!(drawn, "{}", kind.name());
        }
        for condition in CONDITIONS {
            let ends = |fault: &&Fault| matches!(fault, Fault::Server(Operation::StreamError { condition: drawn, .. }) if drawn == condition);
            assert!(
                faults.iter().copied().any(|fault| ends(&fault)),
                "{condition}"
            );
        }
        assert!(plans.iter().any(|plan| plan.page_cap == 1));
        assert!(plans.iter().any(|plan| plan.habits.tick.is_some()));
        assert!(plans.iter().any(|plan| plan.habits.remembered == Some(32)));
        let waits = |plan: &Plan| plan.habits.insist && plan.habits.one_nick;
        assert!(plans.iter().any(waits));
    }

    #[test]
    fn what_is_beyond_the_client_is_not_drawn_by_default() {
        for seed in 0..40 {
            let plan = Plan::draw(seed, &Profile::standard());
            let beyond = FaultKinds::beyond_the_client_on(plan.personality);
            for step in &plan.steps {
                if let What::Fault(fault) = &step.what {
                    assert!(!beyond.has(fault.kind()), "{step}");
                }
            }
        }
    }
}
