//! A run as lines of text: one for each thing that happens, as many as fit a screen.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use crate::sim::happening::{Happening, Request, Side, Watch};
use crate::sim::server::Note;
use crate::{Entry, Event, Instant, RoomEvent};

/// The widest line, in characters.
const WIDTH: usize = 160;

/// Writes a line for each thing that happens: when, who, what. It keeps the first
/// lines and the last ones up to and including the first violation; what came
/// between is counted.
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// use parley_xmpp::sim::{Timeline, Watch};
///
/// let timeline = Rc::new(RefCell::new(Timeline::new(40)));
/// // ... run(&plan, Pulling::default(), vec![Box::new(Rc::clone(&timeline))]), then:
/// println!("{}", timeline.borrow());
/// ```
#[derive(Debug)]
pub struct Timeline {
    first: Vec<String>,
    last: VecDeque<String>,
    half: usize,
    left_out: usize,
    bytes: bool,
    /// It ends a few lines after the first violation.
    ends_after: Option<usize>,
}

/// So many lines come after the first violation.
const AFTER: usize = 3;

impl Timeline {
    /// A timeline of at most so many lines.
    #[must_use]
    pub const fn new(lines: usize) -> Self {
        Self {
            first: Vec::new(),
            last: VecDeque::new(),
            half: lines / 2,
            left_out: 0,
            bytes: false,
            ends_after: None,
        }
    }

    /// The same with what is written on links.
    #[must_use]
    pub const fn with_bytes(mut self) -> Self {
        self.bytes = true;
        self
    }

    fn push(&mut self, line: &str) {
        let line: String = line.chars().take(WIDTH).collect();
        if self.first.len() < self.half {
            self.first.push(line);
            return;
        }
        self.last.push_back(line);
        if self.last.len() > self.half {
            self.last.pop_front();
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))?;
        if self.left_out > 0 {
            writeln!(f, "      ... {} lines left out", self.left_out)?;
        }
        self.last.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Watch for Timeline {
    fn see(&mut self, at: Instant, happening: &Happening<'_>) {
        if self.ends_after == Some(0) {
            return;
        }
        let Some((actor, what)) = summary(happening, self.bytes) else {
            return;
        };
        if let Some(left) = &mut self.ends_after {
            *left = left.saturating_sub(1);
        } else if matches!(happening, Happening::Violated(_)) {
            self.ends_after = Some(AFTER);
        }
        let micros = at.as_micros();
        let (secs, part) = (micros / 1_000_000, micros % 1_000_000);
        self.push(&format!("{secs:>6}.{part:06} {actor:<7} {what}"));
    }
}

/// Who did what, if it is worth a line.
fn summary(happening: &Happening<'_>, bytes_too: bool) -> Option<(String, String)> {
    let host = |number: usize| format!("host {number}");
    let link = |number: u32| format!("link {number}");
    Some(match happening {
        Happening::Started { host: id, account } => (host(id.0), format!("starts as {account}")),
        Happening::Died { host: id } => (host(id.0), "dies".into()),
        Happening::Opening { link: id, host } => (link(id.0), format!("opens for host {}", host.0)),
        Happening::Opened { link: id, stands } => {
            let what = if *stands { "stands" } else { "is refused" };
            (link(id.0), what.into())
        }
        Happening::Protected { link: id } => (link(id.0), "has TLS".into()),
        Happening::Broken { link: id, how } => (link(id.0), format!("breaks: {how:?}")),
        Happening::Ended { link: id, at, how } => {
            (link(id.0), format!("ends for the {at:?}: {how:?}"))
        }
        Happening::Written {
            link: id,
            by,
            bytes,
        } if bytes_too => {
            let mark = match by {
                Side::Host => "->",
                Side::Server => "<-",
            };
            (link(id.0), format!("{mark} {}", shown(bytes)))
        }
        Happening::Asked { host: id, request } => (host(id.0), asked(request)?),
        Happening::Told { host: id, event } => (host(id.0), told(event)),
        Happening::Kept {
            host: id,
            name,
            value,
        } if bytes_too => (host(id.0), format!("keeps {name}: {value:?}")),
        Happening::Noted(note) => ("server".into(), noted(note)),
        Happening::Fault(fault) => ("FAULT".into(), fault.to_string()),
        Happening::Mishap { host: id, what } => (host(id.0), format!("mishap: {what}")),
        Happening::Untimely {
            host: id,
            timer,
            early,
            by,
        } => {
            let how = if *early { "early" } else { "late" };
            (host(id.0), format!("timer {timer:?} {how} by {by:?}"))
        }
        Happening::Healed => ("WORLD".into(), "is well from now on".into()),
        Happening::Violated(violation) => {
            let what = format!("{}: {}", violation.rule, violation.detail);
            ("BROKEN".into(), what)
        }
        Happening::Written { .. }
        | Happening::Read { .. }
        | Happening::Held { .. }
        | Happening::Kept { .. } => return None,
    })
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).escape_debug().to_string()
}

fn asked(request: &Request<'_>) -> Option<String> {
    Some(match request {
        Request::Join(room, id) => format!("joins {} as {id:?}", room.room.as_str()),
        Request::Post(_, post, id) => format!("posts {:?} as {id:?}", post.body),
        Request::Subscribe(_, start, id) => format!("follows from {start:?} as {id:?}"),
        Request::Grant(..) => return None,
        other => format!("asks {other:?}"),
    })
}

fn told(event: &Event) -> String {
    match event {
        Event::Online { jid, .. } => format!("is online as {}", jid.as_str()),
        Event::Offline { cause, retry } => format!("is offline: {cause:?}, {retry:?}"),
        Event::Room {
            room,
            event: RoomEvent::Joined(joined),
        } => format!(
            "is in {} ({room:?}) as {}",
            joined.room.as_str(),
            joined.nick
        ),
        Event::Entry {
            subscription,
            entry: Entry::Message(message),
        } => {
            let id = message.id.as_ref().map_or("-", |id| id.as_str());
            let (source, body) = (message.source, &message.body);
            format!("{subscription:?} gives {body:?} ({source:?}, {id})")
        }
        Event::Entry {
            subscription,
            entry,
        } => format!("{subscription:?} says {entry:?}"),
        other => format!("is told {other:?}"),
    }
}

fn noted(note: &Note) -> String {
    match note {
        Note::Accepted {
            archive_id,
            nick,
            body,
            ..
        } => {
            let id = archive_id.as_deref().unwrap_or("-");
            format!("accepts {body:?} of {nick} at {id}")
        }
        other => format!("{other:?}"),
    }
}
