//! Drawing a plan from a seed: who does what when, and what goes wrong.
//!
//! Each seed enables a random half of the kinds of faults (a swarm), so that faults
//! that hide each other are also met apart. Workload, faults and weather are drawn
//! from streams of their own.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Fault, FaultKind, FaultKinds, LAG, Order, Plan, Step, Weather, What};
use crate::sim::happening::{Ending, HostId, Side};
use crate::sim::random::Random;
use crate::sim::run;
use crate::sim::server::{Operation, Personality, Removal};
use crate::{Instant, StreamCondition};

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
            healed: Duration::from_secs(300),
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
        let hosts: Vec<String> = (0..profile.hosts).map(|n| format!("u{n}")).collect();
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
        };
        draft.work(&mut Random::stream(seed, "plan.workload"), profile.posts);
        let mut kinds = profile
            .kinds
            .without(FaultKind::Start)
            .without(FaultKind::Admit);
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
            steps,
            heal_at,
            end_at: heal_at.plus(profile.healed).plus(patience),
        }
    }
}

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

/// A plan that is being drawn.
struct Draft {
    hosts: Vec<String>,
    rooms: Vec<String>,
    heal_at: Instant,
    healed: Duration,
    steps: Vec<Step>,
}

impl Draft {
    fn add(&mut self, at: Instant, what: What) {
        self.steps.push(Step { at, what });
    }

    fn order(&mut self, at: Instant, host: usize, order: Order) {
        self.add(at, What::Order(HostId(host), order));
    }

    fn host(&self, random: &mut Random) -> usize {
        let hosts = u64::try_from(self.hosts.len()).unwrap_or(0);
        usize::try_from(random.below(hosts)).unwrap_or(0)
    }

    fn room(&self, random: &mut Random) -> String {
        random.pick(&self.rooms).cloned().unwrap_or_default()
    }

    /// What bots are told to do.
    fn work(&mut self, random: &mut Random, posts: u32) {
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
            self.whim(random, troubled);
        }
        if random.one_in(6) {
            let host = self.host(random);
            let at = self.heal_at.plus(self.healed / 2);
            self.order(at, host, Order::Close);
        }
    }

    /// Something that somebody does in between.
    fn whim(&mut self, random: &mut Random, troubled: Duration) {
        let host = self.host(random);
        let room = self.room(random);
        let at = Instant::ZERO.plus(random.duration(troubled));
        let later = at.plus(random.duration(Duration::from_secs(20)));
        match random.below(5) {
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
            _ => {
                let limit = u32::try_from(random.between(1, 150)).unwrap_or(1);
                self.order(at, host, Order::Fetch(room, limit));
            }
        }
    }

    /// What goes wrong. Returns whether the engine may be told to stay away for long.
    fn trouble(&mut self, random: &mut Random, profile: &Profile, kinds: FaultKinds) -> bool {
        let all: Vec<_> = kinds.iter().collect();
        let some: Vec<_> = all.iter().copied().filter(|_| random.one_in(2)).collect();
        let kinds = if some.is_empty() { all } else { some };
        let troubled = profile.troubled;
        let mut slow = false;
        let mut at = Instant::ZERO;
        for number in 0..profile.faults {
            let Some(kind) = random.pick(&kinds).copied() else {
                return slow;
            };
            // A third comes right after the one before.
            at = if number > 0 && random.one_in(3) {
                at.plus(random.duration(Duration::from_secs(2)))
            } else {
                Instant::ZERO.plus(random.duration(troubled))
            };
            slow |= self.fault(random, at, kind);
        }
        slow
    }

    fn cut(&self, random: &mut Random, host: usize, linger: bool) -> Fault {
        let endings = [Ending::Fin, Ending::Reset, Ending::Silence];
        let sides = [Side::Host, Side::Server];
        Fault::Cut {
            host: HostId(host),
            from: random.pick(&sides).copied().unwrap_or(Side::Host),
            after_bytes: if random.one_in(3) {
                0
            } else {
                random.below(1500)
            },
            how: if linger {
                Ending::Silence
            } else {
                random.pick(&endings).copied().unwrap_or(Ending::Reset)
            },
            linger: linger.then(|| random.duration(Duration::from_secs(30))),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "a line or two for each kind of fault"
    )]
    fn fault(&mut self, random: &mut Random, at: Instant, kind: FaultKind) -> bool {
        let number = self.host(random);
        let host = HostId(number);
        let secs = Duration::from_secs;
        let account = self.hosts.get(number).cloned().unwrap_or_default();
        let room = self.room(random);
        let long = random.one_in(4);
        let lasts = random.duration(secs(if long { 120 } else { 20 }));
        let some = u32::try_from(random.between(1, 8)).unwrap_or(1);
        let sides = [Side::Host, Side::Server];
        let from = random.pick(&sides).copied().unwrap_or(Side::Host);
        let later = at.plus(random.duration(secs(20)));
        let remove = |how| Operation::Remove {
            room: room.clone(),
            account: account.clone(),
            how,
        };
        let operation = match kind {
            FaultKind::Cut | FaultKind::Linger => {
                let fault = self.cut(random, number, kind == FaultKind::Linger);
                self.add(at, What::Fault(fault));
                return false;
            }
            FaultKind::Stall => return self.plain(at, Fault::Stall { host, from, lasts }),
            FaultKind::Refuse => {
                self.add(at, What::Fault(Fault::Refuse { host, lasts }));
                let cut = self.cut(random, number, false);
                return self.plain(at, cut);
            }
            FaultKind::Throttle => {
                let bytes_per_second = random.pick(&[50, 400, 3000]).copied().unwrap_or(400);
                return self.plain(
                    at,
                    Fault::Throttle {
                        host,
                        bytes_per_second,
                        lasts,
                    },
                );
            }
            FaultKind::TlsFails | FaultKind::Certificate => {
                let certificate = kind == FaultKind::Certificate;
                self.add(at, What::Fault(Fault::TlsFails { host, certificate }));
                let cut = self.cut(random, number, false);
                self.add(at, What::Fault(cut));
                if certificate {
                    // It may come to the handshake only minutes later.
                    self.recover(random, at, number);
                }
                return false;
            }
            FaultKind::Freeze => return self.plain(at, Fault::Freeze { host, lasts }),
            FaultKind::Ignore => return self.plain(at, Fault::Ignore { host, lasts }),
            FaultKind::SmallWrites => {
                let bytes = random.pick(&[1, 7, 100]).copied().unwrap_or(1);
                return self.plain(at, Fault::SmallWrites { host, bytes });
            }
            FaultKind::Leap => {
                let far = random.one_in(3);
                let by = random.duration(secs(if far { 3600 } else { 60 }));
                return self.plain(at, Fault::Leap { host, by });
            }
            FaultKind::Restart => {
                let after = random.duration(secs(30));
                return self.plain(at, Fault::Restart { host, after });
            }
            FaultKind::Crash | FaultKind::CrashLosesMessages | FaultKind::CrashLosesRooms => {
                let crash = Operation::Crash {
                    lost_messages: if kind == FaultKind::CrashLosesMessages {
                        some
                    } else {
                        0
                    },
                    lost_rooms: kind == FaultKind::CrashLosesRooms,
                };
                self.add(later, What::Fault(Fault::Server(Operation::Start)));
                crash
            }
            FaultKind::Stop => {
                self.add(later, What::Fault(Fault::Server(Operation::Start)));
                Operation::Stop
            }
            FaultKind::Start => Operation::Start,
            FaultKind::Admit => Operation::Admit { room, account },
            FaultKind::Kick => remove(Removal::Kicked),
            FaultKind::Ban => remove(Removal::Banned),
            FaultKind::NotMember => remove(Removal::NotMember),
            FaultKind::Technical => remove(Removal::Technical),
            FaultKind::Vanish => remove(Removal::Silent),
            FaultKind::RoomsRestart => Operation::RestartRooms { told: true },
            FaultKind::RoomsVanish => Operation::RestartRooms { told: false },
            FaultKind::Destroy => Operation::Destroy { room },
            FaultKind::ArchiveLag => Operation::ArchiveLag(random.duration(LAG)),
            FaultKind::ArchiveLagLong => {
                Operation::ArchiveLag(LAG.saturating_add(random.duration(secs(6))))
            }
            FaultKind::Expire => Operation::Expire { room, keep: some },
            FaultKind::Retract => Operation::Retract {
                room,
                from_end: some.saturating_sub(1),
            },
            FaultKind::StreamError => {
                let conditions = [
                    StreamCondition::SystemShutdown,
                    StreamCondition::InternalServerError,
                    StreamCondition::ConnectionTimeout,
                    StreamCondition::UndefinedCondition,
                    StreamCondition::Reset,
                    StreamCondition::ResourceConstraint,
                    StreamCondition::PolicyViolation,
                ];
                let condition = random.pick(&conditions).copied();
                let condition = condition.unwrap_or(StreamCondition::Reset);
                self.add(
                    at,
                    What::Fault(Fault::Server(Operation::StreamError { account, condition })),
                );
                return matches!(
                    condition,
                    StreamCondition::ResourceConstraint | StreamCondition::PolicyViolation
                );
            }
            FaultKind::StreamRefused => {
                let conditions = [
                    StreamCondition::Conflict,
                    StreamCondition::HostUnknown,
                    StreamCondition::NotAuthorized,
                ];
                let condition = random.pick(&conditions).copied();
                let condition = condition.unwrap_or(StreamCondition::Conflict);
                self.recover(random, at, number);
                Operation::StreamError { account, condition }
            }
            FaultKind::RateLimit => Operation::RateLimit {
                per_second: some.saturating_sub(1),
                lasts,
            },
            FaultKind::ForgetStreams => Operation::ForgetStreams,
            FaultKind::ChangePassword => {
                let back = Operation::ChangePassword {
                    password: run::password(&account),
                    account: account.clone(),
                };
                self.add(later, What::Fault(Fault::Server(back)));
                let cut = self.cut(random, number, false);
                self.add(at, What::Fault(cut));
                self.recover(random, later, number);
                Operation::ChangePassword {
                    password: format!("not {account}'s"),
                    account,
                }
            }
            FaultKind::DropResult => Operation::DropResult { index: 0 },
            FaultKind::DropLater => Operation::DropResult { index: some },
            FaultKind::FailQueries => Operation::FailQueries { count: some },
        };
        self.add(at, What::Fault(Fault::Server(operation)));
        false
    }

    fn plain(&mut self, at: Instant, fault: Fault) -> bool {
        self.add(at, What::Fault(fault));
        false
    }

    /// Somebody looks after a client that does not try again by itself: some time
    /// after, and once all is well.
    fn recover(&mut self, random: &mut Random, at: Instant, host: usize) {
        let soon = at.plus(random.duration(Duration::from_secs(60)));
        let healed = self.heal_at.plus(random.duration(Duration::from_secs(10)));
        // Once more for what was still under way then.
        let late = healed.plus(Duration::from_secs(90));
        for at in [soon, healed, late] {
            self.order(at, host, Order::Reconnect);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
