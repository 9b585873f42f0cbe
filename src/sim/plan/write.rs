//! Writing the text form of a plan.

use alloc::format;
use core::fmt::{self, Write as _};
use core::time::Duration;

use super::names::{GARBLINGS, LIES, MECHANISMS, REMOVALS, TAMPERINGS, WITHHELD, name_of};
use super::{Fault, Habits, Order, Plan, Step, What};
use crate::Instant;
use crate::sim::happening::Side;
use crate::sim::server::{Operation, Personality, Withheld};

/// A time as `1.5s`.
pub(super) struct Secs(pub(super) Duration);

impl fmt::Display for Secs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.subsec_micros();
        write!(f, "{}", self.0.as_secs())?;
        if micros > 0 {
            let part = format!("{micros:06}");
            write!(f, ".{}", part.trim_end_matches('0'))?;
        }
        f.write_char('s')
    }
}

fn since_zero(at: Instant) -> Secs {
    Secs(at.since(Instant::ZERO))
}

/// A word, quoted where it has to be.
pub(super) struct Word<'a>(pub(super) &'a str);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| !(c.is_whitespace() || c.is_control() || matches!(c, '"' | '#'));
        if !self.0.is_empty() && self.0.chars().all(plain) {
            return f.write_str(self.0);
        }
        Quoted(self.0).fmt(f)
    }
}

/// A text in quotes.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                // What would break the line for an editor or for `str::lines`.
                c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                    write!(f, "\\u{{{:x}}}", u32::from(c))?;
                }
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan 1")?;
        writeln!(f, "seed {}", self.seed)?;
        let personality = match self.personality {
            Personality::Prosody => "prosody",
            Personality::Ejabberd => "ejabberd",
        };
        let resumption = if self.resumption { " resumption" } else { "" };
        let cap = self.page_cap;
        writeln!(f, "server {personality}{resumption} page-cap {cap}")?;
        write!(
            f,
            "weather latency {} jitter {} packet {}",
            Secs(self.weather.latency),
            Secs(self.weather.jitter),
            self.weather.packet
        )?;
        if let Some(bandwidth) = self.weather.bandwidth {
            write!(f, " bandwidth {bandwidth}")?;
        }
        writeln!(f)?;
        for host in &self.hosts {
            writeln!(f, "host {}", Word(host))?;
        }
        if self.habits != Habits::default() {
            writeln!(f, "habits{}", self.habits)?;
        }
        writeln!(f, "heal {}", since_zero(self.heal_at))?;
        writeln!(f, "end {}", since_zero(self.end_at))?;
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

/// With a space before each.
impl fmt::Display for Habits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.one_nick {
            f.write_str(" one-nick")?;
        }
        if self.one_resource {
            f.write_str(" one-resource")?;
        }
        if self.insist {
            f.write_str(" insist")?;
        }
        if let Some(tick) = self.tick {
            write!(f, " tick {}", Secs(tick))?;
        }
        if let Some(held) = self.held {
            write!(f, " held {held}")?;
        }
        self.remembered
            .map_or(Ok(()), |remembered| write!(f, " remembered {remembered}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} {}", since_zero(self.at), self.what)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order(host, order) => write!(f, "host {} {order}", host.0),
            Self::Fault(fault) => fault.fmt(f),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Join(room) => write!(f, "join {}", Word(room)),
            Self::Post(room, text) => write!(f, "post {} {}", Word(room), Quoted(text)),
            Self::Follow(room) => write!(f, "follow {}", Word(room)),
            Self::FollowNow(room) => write!(f, "follow-now {}", Word(room)),
            Self::Unfollow(room) => write!(f, "unfollow {}", Word(room)),
            Self::Fetch(room, limit) => write!(f, "fetch {} {limit}", Word(room)),
            Self::Leave(room) => write!(f, "leave {}", Word(room)),
            Self::Reconnect => f.write_str("reconnect"),
            Self::Close => f.write_str("close"),
        }
    }
}

const fn side(side: Side) -> &'static str {
    match side {
        Side::Host => "host",
        Side::Server => "server",
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut {
                host,
                from,
                after_bytes,
                how,
                linger,
            } => {
                let how = how.name();
                let (host, from) = (host.0, side(*from));
                write!(
                    f,
                    "cut host {host} from {from} after {after_bytes} how {how}"
                )?;
                linger.map_or(Ok(()), |linger| write!(f, " linger {}", Secs(linger)))
            }
            Self::Stall { host, from, lasts } => {
                let (host, from) = (host.0, side(*from));
                write!(f, "stall host {host} from {from} lasts {}", Secs(*lasts))
            }
            Self::Refuse { host, lasts } => {
                write!(f, "refuse host {} lasts {}", host.0, Secs(*lasts))
            }
            Self::NoAnswer { host, lasts } => {
                write!(f, "no-answer host {} lasts {}", host.0, Secs(*lasts))
            }
            Self::NoName { host, lasts } => {
                write!(f, "no-name host {} lasts {}", host.0, Secs(*lasts))
            }
            Self::Throttle {
                host,
                from,
                bytes_per_second,
                lasts,
            } => {
                let (host, lasts) = (host.0, Secs(*lasts));
                let from = match from {
                    Side::Host => "",
                    Side::Server => " from server",
                };
                write!(
                    f,
                    "throttle host {host}{from} rate {bytes_per_second} lasts {lasts}"
                )
            }
            Self::TlsFails { host, certificate } => {
                let certificate = if *certificate { " certificate" } else { "" };
                write!(f, "tls-fails host {}{certificate}", host.0)
            }
            Self::Freeze { host, lasts } => {
                write!(f, "freeze host {} lasts {}", host.0, Secs(*lasts))
            }
            Self::Ignore { host, lasts } => {
                write!(f, "ignore host {} lasts {}", host.0, Secs(*lasts))
            }
            Self::SmallWrites { host, bytes } => {
                write!(f, "small-writes host {} bytes {bytes}", host.0)
            }
            Self::Leap { host, by } => write!(f, "leap host {} by {}", host.0, Secs(*by)),
            Self::Restart { host, after } => {
                write!(f, "restart host {} after {}", host.0, Secs(*after))
            }
            Self::Skew { host, after, by } => {
                write!(f, "skew host {} after {after} by {}", host.0, Secs(*by))
            }
            Self::Early { host, after, by } => {
                write!(f, "early host {} after {after} by {}", host.0, Secs(*by))
            }
            Self::Mishap { host, after, what } => {
                write!(f, "mishap host {} after {after} {what}", host.0)
            }
            Self::Backup { host } => write!(f, "backup host {}", host.0),
            Self::Restore { host, after } => {
                write!(f, "restore host {} after {}", host.0, Secs(*after))
            }
            Self::Server(operation) => write_operation(f, operation),
        }
    }
}

fn write_operation(f: &mut fmt::Formatter<'_>, operation: &Operation) -> fmt::Result {
    match operation {
        Operation::Crash {
            lost_messages,
            lost_rooms,
        } => {
            f.write_str("crash")?;
            if *lost_messages > 0 {
                write!(f, " messages {lost_messages}")?;
            }
            f.write_str(if *lost_rooms { " rooms" } else { "" })
        }
        Operation::Stop => f.write_str("stop"),
        Operation::Start => f.write_str("start"),
        Operation::Remove { room, account, how } => {
            let how = name_of(REMOVALS, *how);
            write!(f, "remove {} {} {how}", Word(room), Word(account))
        }
        Operation::Admit { room, account } => {
            write!(f, "admit {} {}", Word(room), Word(account))
        }
        Operation::RestartRooms { told } => f.write_str(if *told {
            "restart-rooms told"
        } else {
            "restart-rooms"
        }),
        Operation::Destroy { room } => write!(f, "destroy {}", Word(room)),
        Operation::ArchiveLag(lag) => write!(f, "archive-lag {}", Secs(*lag)),
        Operation::Expire { room, keep } => write!(f, "expire {} keep {keep}", Word(room)),
        Operation::Retract { room, from_end } => {
            write!(f, "retract {} from-end {from_end}", Word(room))
        }
        Operation::StreamError { account, condition } => {
            write!(f, "stream-error {} {condition}", Word(account))
        }
        Operation::RateLimit { per_second, lasts } => {
            write!(
                f,
                "rate-limit per-second {per_second} lasts {}",
                Secs(*lasts)
            )
        }
        Operation::ForgetStreams => f.write_str("forget-streams"),
        Operation::ChangePassword { account, password } => {
            write!(f, "change-password {} {}", Word(account), Quoted(password))
        }
        Operation::DropResult { index } => write!(f, "drop-result {index}"),
        Operation::FailQueries { count } => write!(f, "fail-queries {count}"),
        Operation::Unsettle { most, lasts } => {
            let (most, lasts) = (Secs(*most), Secs(*lasts));
            write!(f, "unsettle most {most} lasts {lasts}")
        }
        Operation::ClockStep { back } => write!(f, "clock-step back {}", Secs(*back)),
        Operation::FailArchiving { count } => write!(f, "fail-archiving {count}"),
        Operation::Garble(how) => write!(f, "garble {}", name_of(GARBLINGS, *how)),
        Operation::WithholdManagement { what, lasts } => {
            f.write_str("withhold-management")?;
            if *what != Withheld::All {
                write!(f, " {}", name_of(WITHHELD, *what))?;
            }
            write!(f, " lasts {}", Secs(*lasts))
        }
        Operation::WithholdMechanisms { left, lasts } => {
            let left = name_of(MECHANISMS, *left);
            write!(f, "withhold-mechanisms left {left} lasts {}", Secs(*lasts))
        }
        Operation::Archives(there) => f.write_str(if *there {
            "archives on"
        } else {
            "archives off"
        }),
        Operation::Migrate { room } => write!(f, "migrate {}", Word(room)),
        Operation::RewriteNicks { lasts } => {
            write!(f, "rewrite-nicks lasts {}", Secs(*lasts))
        }
        Operation::LimitStanzas(None) => f.write_str("limit-stanzas"),
        Operation::LimitStanzas(Some(bytes)) => write!(f, "limit-stanzas bytes {bytes}"),
        Operation::RefuseLogins {
            account,
            condition,
            count,
        } => {
            let condition = condition.as_str();
            write!(f, "refuse-logins {} {condition} {count}", Word(account))
        }
        Operation::FalseProof {
            account,
            missing,
            count,
        } => {
            let missing = if *missing { " missing" } else { "" };
            write!(f, "false-proof {} {count}{missing}", Word(account))
        }
        Operation::ExpireStreams => f.write_str("expire-streams"),
        Operation::Tamper {
            account,
            after,
            how,
        } => {
            let how = name_of(TAMPERINGS, *how);
            write!(f, "tamper {} after {after} {how}", Word(account))
        }
        Operation::Forge { account, room, lie } => {
            let lie = name_of(LIES, *lie);
            write!(f, "forge {} {} {lie}", Word(account), Word(room))
        }
    }
}
