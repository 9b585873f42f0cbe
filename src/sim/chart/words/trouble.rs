//! Faults in a few words: whom they befall, and for how long.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::super::brief;
use super::ending;
use crate::sim::happening::{HostId, Side};
use crate::sim::plan::Fault;
use crate::sim::server::Operation;

/// What is drawn of a fault.
pub(in crate::sim::chart) struct Harm {
    /// Whose lifeline; `None` is the server's.
    pub(in crate::sim::chart) host: Option<HostId>,
    pub(in crate::sim::chart) label: String,
    pub(in crate::sim::chart) lasts: Option<Duration>,
}

/// What is drawn of this one.
pub(in crate::sim::chart) fn fault(fault: &Fault) -> Harm {
    let harm = |host: &HostId, label: String, lasts: Option<&Duration>| Harm {
        host: Some(*host),
        label,
        lasts: lasts.copied(),
    };
    match fault {
        Fault::Cut {
            host,
            from,
            after_bytes,
            how,
            linger,
        } => {
            let late = linger.map(|linger| format!(", rest {linger:?} late"));
            let label = format!(
                "cut ({}) {after_bytes} bytes on {}{}",
                ending(*how),
                direction(*from),
                late.unwrap_or_default()
            );
            harm(host, label, None)
        }
        Fault::Stall { host, from, lasts } => {
            let label = format!("stall {} for {lasts:?}", direction(*from));
            harm(host, label, Some(lasts))
        }
        Fault::Refuse { host, lasts } => harm(
            host,
            format!("connections refused for {lasts:?}"),
            Some(lasts),
        ),
        Fault::NoAnswer { host, lasts } => harm(
            host,
            format!("connections not answered for {lasts:?}"),
            Some(lasts),
        ),
        Fault::NoName { host, lasts } => harm(
            host,
            format!("the server's name is not found for {lasts:?}"),
            Some(lasts),
        ),
        Fault::Throttle {
            host,
            from,
            bytes_per_second,
            lasts,
        } => {
            let way = direction(*from);
            let label = format!("{bytes_per_second} bytes/s {way} for {lasts:?}");
            harm(host, label, Some(lasts))
        }
        Fault::TlsFails { host, certificate } => {
            let why = match certificate {
                true => ": bad certificate",
                false => "",
            };
            harm(host, format!("next TLS handshake fails{why}"), None)
        }
        Fault::Freeze { host, lasts } => harm(host, format!("frozen for {lasts:?}"), Some(lasts)),
        Fault::Ignore { host, lasts } => harm(
            host,
            format!("bot takes no events for {lasts:?}"),
            Some(lasts),
        ),
        Fault::SmallWrites { host, bytes } => harm(
            host,
            format!("writes at most {bytes} bytes at a time"),
            None,
        ),
        Fault::Leap { host, by } => harm(host, format!("clock leaps {by:?} ahead"), None),
        Fault::Restart { host, after } => {
            harm(host, format!("killed, starts again after {after:?}"), None)
        }
        Fault::Server(operation) => {
            let (label, lasts) = server(operation);
            Harm {
                host: None,
                label,
                lasts,
            }
        }
        #[allow(unreachable_patterns, reason = "what is to come is shown as it is")]
        other => Harm {
            host: None,
            label: brief(&format!("{other:?}"), 80),
            lasts: None,
        },
    }
}

const fn direction(from: Side) -> &'static str {
    match from {
        Side::Host => "to the server",
        Side::Server => "from the server",
    }
}

fn server(operation: &Operation) -> (String, Option<Duration>) {
    let label = match operation {
        Operation::Crash {
            lost_messages,
            lost_rooms,
        } => match (lost_messages, lost_rooms) {
            (0, false) => "server crashes".into(),
            (_, true) => "server crashes and loses its rooms".into(),
            (n, false) => format!("server crashes and loses {n} messages of each archive"),
        },
        Operation::Stop => "server stops in good order".into(),
        Operation::Start => "server starts".into(),
        Operation::Remove { room, account, how } => {
            let how = format!("{how:?}").to_ascii_lowercase();
            format!("{account} is out of {}: {how}", super::address(room))
        }
        Operation::Admit { room, account } => {
            format!("{account} may enter {} again", super::address(room))
        }
        Operation::RestartRooms { told } => match told {
            true => "room service restarts, occupants are told".into(),
            false => "room service restarts without a word".into(),
        },
        Operation::Destroy { room } => format!("{} is destroyed", super::address(room)),
        Operation::ArchiveLag(lag) => format!("archive lags {lag:?} behind"),
        Operation::Expire { room, keep } => {
            format!("archive of {} keeps {keep} messages", super::address(room))
        }
        Operation::Retract { room, from_end } => {
            format!(
                "message {from_end} from the end of {} is retracted",
                super::address(room)
            )
        }
        Operation::StreamError { account, condition } => {
            format!("stream error for {account}: {condition}")
        }
        Operation::RateLimit { per_second, lasts } => {
            let label = format!("at most {per_second} messages/s for {lasts:?}");
            return (label, Some(*lasts));
        }
        Operation::ForgetStreams => "forgets streams to resume".into(),
        Operation::ChangePassword { account, .. } => format!("new password for {account}"),
        Operation::DropResult { index } => format!("next page lacks result {index}"),
        Operation::FailQueries { count } => format!("next {count} archive queries fail"),
        #[allow(unreachable_patterns, reason = "what is to come is shown as it is")]
        other => brief(&format!("{other:?}"), 80),
    };
    (label, None)
}
