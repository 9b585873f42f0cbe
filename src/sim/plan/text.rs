//! Reading the text form of a plan: a line for each decision, to be read, edited and kept.
//!
//! ```text
//! # What stands after a number sign is for people.
//! plan 1
//! seed 42
//! server prosody resumption page-cap 50
//! weather latency 0.02s jitter 0.005s packet 1460 bandwidth 20000
//! host u0
//! host u1
//! heal 600s
//! end 900s
//! at 0.1s host 0 join red@muc.sim
//! at 3.5s host 0 post red@muc.sim "a \"text\"\n"
//! at 4s cut host 1 from server after 120 how reset
//! at 5s crash messages 3
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::names::{ENDINGS, GARBLINGS, LIES, MECHANISMS, REMOVALS, TAMPERINGS, WITHHELD};
use super::words::{Words, Wrong, wrong};
use super::{Fault, Habits, Mishap, Order, Plan, Step, Weather, What};
use crate::sim::happening::{HostId, Side};
use crate::sim::server::{Operation, Personality, Withheld};
use crate::{Instant, SaslCondition, StreamCondition};

/// A text that is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// Which line, from one; zero if it is not about one.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl core::error::Error for PlanError {}

impl Plan {
    /// Reads the text form.
    ///
    /// # Errors
    /// [`PlanError`], about the first line that is wrong.
    pub fn parse(text: &str) -> Result<Self, PlanError> {
        let mut draft = Draft::default();
        let mut last = 0;
        for (number, line) in text.lines().enumerate() {
            last = number.saturating_add(1);
            draft.line(line).map_err(|(problem, remedy)| PlanError {
                line: last,
                problem,
                remedy,
            })?;
        }
        draft.finish().map_err(|(problem, remedy)| PlanError {
            line: last,
            problem,
            remedy,
        })
    }
}

/// A plan that is being read.
#[derive(Default)]
struct Draft {
    versioned: bool,
    seed: Option<u64>,
    server: Option<(Personality, bool, u32)>,
    weather: Option<Weather>,
    hosts: Vec<String>,
    habits: Habits,
    steps: Vec<Step>,
    heal_at: Option<Instant>,
    end_at: Option<Instant>,
}

impl Draft {
    fn line(&mut self, line: &str) -> Result<(), Wrong> {
        let mut words = Words::new(line)?;
        let Some(first) = words.next() else {
            return Ok(());
        };
        if !self.versioned && first != "plan" {
            return wrong("this is no plan", "begin with `plan 1`");
        }
        match first.as_str() {
            "plan" => {
                self.versioned = true;
                let version: u32 = words.number("the version")?;
                if version != 1 {
                    return wrong(
                        format!("version {version} is not known"),
                        "this program reads version 1",
                    );
                }
            }
            "seed" => self.seed = Some(words.number("a seed")?),
            "server" => self.server = Some(server(&mut words)?),
            "weather" => self.weather = Some(weather(&mut words)?),
            "host" => self.hosts.push(words.text("an account")?),
            "habits" => self.habits = habits(&mut words)?,
            "heal" => self.heal_at = Some(words.instant()?),
            "end" => self.end_at = Some(words.instant()?),
            "at" => {
                let at = words.instant()?;
                let what = what(&mut words)?;
                self.steps.push(Step { at, what });
            }
            other => {
                return wrong(
                    format!("`{other}` begins no line of a plan"),
                    "use plan, seed, server, weather, host, habits, heal, end or at",
                );
            }
        }
        words.end()
    }

    fn finish(self) -> Result<Plan, Wrong> {
        let missing = |what: &str| -> Wrong {
            (
                format!("the line `{what}` is missing"),
                format!("add it: `{what} ...`"),
            )
        };
        let (personality, resumption, page_cap) = self.server.ok_or_else(|| missing("server"))?;
        let mut steps = self.steps;
        steps.sort_by_key(|step| step.at);
        let hosts = self.hosts.len();
        let beyond = steps.iter().filter_map(|step| step.what.host());
        if let Some(host) = beyond.into_iter().find(|host| host.0 >= hosts) {
            return wrong(
                format!("host {} is used, and there are {hosts}", host.0),
                "add `host ACCOUNT` lines, or use a lower number: they count from zero",
            );
        }
        Ok(Plan {
            seed: self.seed.ok_or_else(|| missing("seed"))?,
            personality,
            resumption,
            page_cap,
            weather: self.weather.ok_or_else(|| missing("weather"))?,
            hosts: self.hosts,
            habits: self.habits,
            steps,
            heal_at: self.heal_at.ok_or_else(|| missing("heal"))?,
            end_at: self.end_at.ok_or_else(|| missing("end"))?,
        })
    }
}

impl What {
    /// Whose it is, if it is a host's.
    #[must_use]
    pub const fn host(&self) -> Option<HostId> {
        match self {
            Self::Order(host, _) => Some(*host),
            Self::Fault(fault) => fault.host(),
        }
    }
}

impl Fault {
    /// The host that it befalls; `None` if it is the server.
    #[must_use]
    pub const fn host(&self) -> Option<HostId> {
        match self {
            Self::Cut { host, .. }
            | Self::Stall { host, .. }
            | Self::Refuse { host, .. }
            | Self::NoAnswer { host, .. }
            | Self::NoName { host, .. }
            | Self::Throttle { host, .. }
            | Self::TlsFails { host, .. }
            | Self::Freeze { host, .. }
            | Self::Ignore { host, .. }
            | Self::SmallWrites { host, .. }
            | Self::Leap { host, .. }
            | Self::Restart { host, .. }
            | Self::Skew { host, .. }
            | Self::Early { host, .. }
            | Self::Mishap { host, .. }
            | Self::Backup { host }
            | Self::Restore { host, .. } => Some(*host),
            Self::Server(_) => None,
        }
    }
}

fn server(words: &mut Words) -> Result<(Personality, bool, u32), Wrong> {
    let personality = match words.text("a personality")?.as_str() {
        "prosody" => Personality::Prosody,
        "ejabberd" => Personality::Ejabberd,
        other => {
            return wrong(
                format!("`{other}` is no personality"),
                "use prosody or ejabberd",
            );
        }
    };
    let resumption = words.flag("resumption");
    words.keyword("page-cap")?;
    Ok((personality, resumption, words.number("a page's size")?))
}

fn habits(words: &mut Words) -> Result<Habits, Wrong> {
    Ok(Habits {
        one_nick: words.flag("one-nick"),
        one_resource: words.flag("one-resource"),
        insist: words.flag("insist"),
        tick: if words.flag("tick") {
            Some(words.duration()?)
        } else {
            None
        },
        held: if words.flag("held") {
            Some(words.number("how many")?)
        } else {
            None
        },
        remembered: if words.flag("remembered") {
            Some(words.number("how many")?)
        } else {
            None
        },
    })
}

fn weather(words: &mut Words) -> Result<Weather, Wrong> {
    words.keyword("latency")?;
    let latency = words.duration()?;
    words.keyword("jitter")?;
    let jitter = words.duration()?;
    words.keyword("packet")?;
    let packet = words.number("a packet's size")?;
    let bandwidth = if words.flag("bandwidth") {
        Some(words.number("bytes a second")?)
    } else {
        None
    };
    Ok(Weather {
        latency,
        jitter,
        packet,
        bandwidth,
    })
}

/// Which timer of whom, and by how much.
fn skew(words: &mut Words) -> Result<(HostId, u32, Duration), Wrong> {
    let host = words.host()?;
    words.keyword("after")?;
    let after = words.number("how many")?;
    words.keyword("by")?;
    Ok((host, after, words.duration()?))
}

fn what(words: &mut Words) -> Result<What, Wrong> {
    let verb = words.text("what happens")?;
    if verb == "host" {
        let host = HostId(words.number("a host's number")?);
        return Ok(What::Order(host, order(words)?));
    }
    Ok(What::Fault(match verb.as_str() {
        "cut" => {
            let host = words.host()?;
            let from = words.side()?;
            words.keyword("after")?;
            let after_bytes = words.number("bytes")?;
            words.keyword("how")?;
            let how = words.one_of(ENDINGS, "way to end")?;
            let linger = if words.flag("linger") {
                Some(words.duration()?)
            } else {
                None
            };
            Fault::Cut {
                host,
                from,
                after_bytes,
                how,
                linger,
            }
        }
        "stall" => Fault::Stall {
            host: words.host()?,
            from: words.side()?,
            lasts: words.lasts()?,
        },
        "refuse" => Fault::Refuse {
            host: words.host()?,
            lasts: words.lasts()?,
        },
        "no-answer" => Fault::NoAnswer {
            host: words.host()?,
            lasts: words.lasts()?,
        },
        "no-name" => Fault::NoName {
            host: words.host()?,
            lasts: words.lasts()?,
        },
        "throttle" => Fault::Throttle {
            host: words.host()?,
            from: if words.is_next("from") {
                words.side()?
            } else {
                Side::Host
            },
            bytes_per_second: {
                words.keyword("rate")?;
                words.number("bytes a second")?
            },
            lasts: words.lasts()?,
        },
        "tls-fails" => Fault::TlsFails {
            host: words.host()?,
            certificate: words.flag("certificate"),
        },
        "freeze" => Fault::Freeze {
            host: words.host()?,
            lasts: words.lasts()?,
        },
        "ignore" => Fault::Ignore {
            host: words.host()?,
            lasts: words.lasts()?,
        },
        "small-writes" => Fault::SmallWrites {
            host: words.host()?,
            bytes: {
                words.keyword("bytes")?;
                words.number("bytes")?
            },
        },
        "leap" => Fault::Leap {
            host: words.host()?,
            by: {
                words.keyword("by")?;
                words.duration()?
            },
        },
        "restart" => Fault::Restart {
            host: words.host()?,
            after: {
                words.keyword("after")?;
                words.duration()?
            },
        },
        "skew" => {
            let (host, after, by) = skew(words)?;
            Fault::Skew { host, after, by }
        }
        "early" => {
            let (host, after, by) = skew(words)?;
            Fault::Early { host, after, by }
        }
        "mishap" => Fault::Mishap {
            host: words.host()?,
            after: {
                words.keyword("after")?;
                words.number("how many")?
            },
            what: Mishap::read(words)?,
        },
        "backup" => Fault::Backup {
            host: words.host()?,
        },
        "restore" => Fault::Restore {
            host: words.host()?,
            after: {
                words.keyword("after")?;
                words.duration()?
            },
        },
        other => Fault::Server(operation(other, words)?),
    }))
}

fn order(words: &mut Words) -> Result<Order, Wrong> {
    Ok(match words.text("an order")?.as_str() {
        "join" => Order::Join(words.text("a room")?),
        "post" => Order::Post(words.text("a room")?, words.text("a text")?),
        "follow" => Order::Follow(words.text("a room")?),
        "follow-now" => Order::FollowNow(words.text("a room")?),
        "unfollow" => Order::Unfollow(words.text("a room")?),
        "fetch" => Order::Fetch(words.text("a room")?, words.number("how many")?),
        "leave" => Order::Leave(words.text("a room")?),
        "reconnect" => Order::Reconnect,
        "close" => Order::Close,
        other => {
            return wrong(
                format!("`{other}` is no order"),
                "use join, post, follow, follow-now, unfollow, fetch, leave, reconnect or close",
            );
        }
    })
}

/// Whether something is there.
const SWITCH: &[(bool, &str)] = &[(true, "on"), (false, "off")];

fn operation(verb: &str, words: &mut Words) -> Result<Operation, Wrong> {
    Ok(match verb {
        "crash" => Operation::Crash {
            lost_messages: if words.flag("messages") {
                words.number("how many")?
            } else {
                0
            },
            lost_rooms: words.flag("rooms"),
        },
        "stop" => Operation::Stop,
        "start" => Operation::Start,
        "remove" => Operation::Remove {
            room: words.text("a room")?,
            account: words.text("an account")?,
            how: words.one_of(REMOVALS, "way to be put out")?,
        },
        "admit" => Operation::Admit {
            room: words.text("a room")?,
            account: words.text("an account")?,
        },
        "restart-rooms" => Operation::RestartRooms {
            told: words.flag("told"),
        },
        "destroy" => Operation::Destroy {
            room: words.text("a room")?,
        },
        "archive-lag" => Operation::ArchiveLag(words.duration()?),
        "expire" => Operation::Expire {
            room: words.text("a room")?,
            keep: {
                words.keyword("keep")?;
                words.number("how many")?
            },
        },
        "retract" => Operation::Retract {
            room: words.text("a room")?,
            from_end: {
                words.keyword("from-end")?;
                words.number("a place")?
            },
        },
        "stream-error" => Operation::StreamError {
            account: words.text("an account")?,
            condition: StreamCondition::from_wire(&words.text("a condition")?),
        },
        "rate-limit" => Operation::RateLimit {
            per_second: {
                words.keyword("per-second")?;
                words.number("how many")?
            },
            lasts: words.lasts()?,
        },
        "forget-streams" => Operation::ForgetStreams,
        "change-password" => Operation::ChangePassword {
            account: words.text("an account")?,
            password: words.text("a password")?,
        },
        "drop-result" => Operation::DropResult {
            index: words.number("an index")?,
        },
        "fail-queries" => Operation::FailQueries {
            count: words.number("how many")?,
        },
        "unsettle" => Operation::Unsettle {
            most: {
                words.keyword("most")?;
                words.duration()?
            },
            lasts: words.lasts()?,
        },
        "clock-step" => Operation::ClockStep {
            back: {
                words.keyword("back")?;
                words.duration()?
            },
        },
        "fail-archiving" => Operation::FailArchiving {
            count: words.number("how many")?,
        },
        "garble" => Operation::Garble(words.one_of(GARBLINGS, "way to spoil a page")?),
        "withhold-management" => Operation::WithholdManagement {
            what: if words.is_next("lasts") {
                Withheld::All
            } else {
                words.one_of(WITHHELD, "part of stream management")?
            },
            lasts: words.lasts()?,
        },
        "withhold-mechanisms" => Operation::WithholdMechanisms {
            left: {
                words.keyword("left")?;
                words.one_of(MECHANISMS, "choice of mechanisms")?
            },
            lasts: words.lasts()?,
        },
        "archives" => Operation::Archives(words.one_of(SWITCH, "state")?),
        "migrate" => Operation::Migrate {
            room: words.text("a room")?,
        },
        "rewrite-nicks" => Operation::RewriteNicks {
            lasts: words.lasts()?,
        },
        "limit-stanzas" => Operation::LimitStanzas(if words.flag("bytes") {
            Some(words.number("bytes")?)
        } else {
            None
        }),
        "refuse-logins" => Operation::RefuseLogins {
            account: words.text("an account")?,
            condition: SaslCondition::from_wire(&words.text("a condition")?),
            count: words.number("how many")?,
        },
        "false-proof" => Operation::FalseProof {
            account: words.text("an account")?,
            count: words.number("how many")?,
            missing: words.flag("missing"),
        },
        "expire-streams" => Operation::ExpireStreams,
        "tamper" => Operation::Tamper {
            account: words.text("an account")?,
            after: {
                words.keyword("after")?;
                words.number("how many")?
            },
            how: words.one_of(TAMPERINGS, "way to tamper")?,
        },
        "forge" => Operation::Forge {
            account: words.text("an account")?,
            room: words.text("a room")?,
            lie: words.one_of(LIES, "lie")?,
        },
        other => {
            return wrong(
                format!("`{other}` is nothing that can happen"),
                "use host, a fault of a link or host (cut, stall, refuse, no-answer, no-name, \
                 throttle, tls-fails, freeze, ignore, small-writes, leap, restart, skew, early, \
                 mishap, backup, restore) or of the server \
                 (crash, stop, start, remove, admit, restart-rooms, destroy, archive-lag, \
                 expire, retract, stream-error, rate-limit, forget-streams, change-password, \
                 drop-result, fail-queries, unsettle, clock-step, fail-archiving, garble, \
                 withhold-management, withhold-mechanisms, archives, migrate, rewrite-nicks, \
                 limit-stanzas, refuse-logins, false-proof, \
                 expire-streams, forge, tamper)",
            );
        }
    })
}

impl core::str::FromStr for Plan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;
    use crate::sim::plan::Profile;

    #[test]
    fn drawn_plans_read_back() {
        for seed in 0..50 {
            let plan = Plan::draw(seed, &Profile::everything());
            assert_eq!(Plan::parse(&plan.to_string()), Ok(plan));
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_a_remedy() {
        let error = Plan::parse("plan 1\nseed x\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert_eq!(
            error.to_string(),
            "line 2: `x` is not a seed; use a whole number that is not negative"
        );
        let head = "plan 1\nseed 1\nserver prosody page-cap 50\nweather latency 1ms jitter 0s packet 9\nheal 1s\nend 2s\n";
        assert!(Plan::parse(head).is_ok());
        let error = Plan::parse(&format!("{head}at 1s host 0 close")).unwrap_err();
        assert!(error.problem.contains("host 0"), "{error}");
        let error = Plan::parse(&format!("{head}at 1s stal")).unwrap_err();
        assert_eq!(
            (error.line, error.problem.as_str()),
            (7, "`stal` is nothing that can happen")
        );
    }
}
