//! A host and its streams: what it is told of their beginnings and ends (S8, S10), and
//! whether it connects again, how soon and how often (L1, L5, L6).

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::Host;
use crate::sim::happening::LinkId;
use crate::sim::oracle::ATTEMPTS;
use crate::sim::oracle::found::Found;
use crate::sim::oracle::verdicts::{self, Past};
use crate::sim::oracle::wire::Learnt;
use crate::{Limits, OfflineCause, Retry, Timer, TransportFailureKind};

impl Host {
    pub(in crate::sim::oracle) fn opening(&mut self, link: LinkId, found: &mut Found) {
        self.link = Some(link);
        self.opened = self.opened.saturating_add(1);
        self.next_attempt = None;
        self.deceived = false;
        self.heard_at = None;
        self.trouble.opens(found.now);
        if self.rests {
            found.violate("L5", String::from("connects although it was to stay away"));
        }
        if self.closed {
            found.violate("S8", String::from("connects although it is closed"));
        }
        if !core::mem::take(&mut self.asked_to_connect) {
            self.attempts(found);
        }
    }

    /// It connects by itself, once more (L6). Its clock decides, which may have leapt.
    fn attempts(&mut self, found: &mut Found) {
        let now = found.now.plus(self.trouble.ahead);
        let hour = self.attempts.add(now);
        let minute = self.attempts.within(Duration::from_secs(60), now);
        let budget = usize::try_from(Limits::default().attempts_per_hour).unwrap_or(usize::MAX);
        if minute > ATTEMPTS || hour > budget {
            let what = format!("connects {minute} times in a minute, {hour} in an hour");
            found.violate("L6", what);
            self.attempts.clear();
        }
    }

    /// It was let in by somebody who does not know its password.
    pub(in crate::sim::oracle) const fn is_deceived(&mut self) {
        self.deceived = true;
    }

    /// It read something from which it knows more.
    pub(in crate::sim::oracle) const fn learns(&mut self, learnt: Learnt) {
        if learnt.logged_in && !self.deceived {
            // Even if the link breaks before there is a session.
            self.proven = true;
            self.refused = false;
        }
        if learnt.bound {
            self.bound = self.bound.saturating_add(1);
        }
    }

    pub(super) fn came_online(&mut self, found: &mut Found) {
        found.count("online");
        self.onlines = self.onlines.saturating_add(1);
        if self.online {
            found.violate("S8", String::from("online twice"));
        }
        // Who is told late may have been deceived since; what its engine does about that is
        // judged all the same.
        let told_late = self.trouble.is_told_late(found.now);
        if self.deceived && !told_late {
            let what = "online after a login without a valid signature of the server";
            found.violate("S10", String::from(what));
        }
        if self.onlines > self.bound {
            found.violate("S10", String::from("online without a login that succeeded"));
        }
        self.online = true;
        self.seen.taken_up();
    }

    pub(super) fn went_offline(&mut self, cause: &OfflineCause, retry: Retry, found: &mut Found) {
        self.online = false;
        // Its clock may have leapt since it read or wrote anything.
        self.seen.runs_ahead(self.trouble.ahead);
        self.seen.broke(found.now);
        self.offline = self.offline.saturating_add(1);
        let unopened = [OfflineCause::TimedOut(Timer::Connect), OfflineCause::Closed];
        // Who was not told for a while has opened more by now.
        let told_late = self.trouble.is_told_late(found.now);
        if (self.offline > self.opened || told_late) && unopened.contains(cause) {
            // It stood still for so long that it never got round to opening it, or was
            // told to end before it could.
            self.unopened = self.unopened.saturating_add(1);
        }
        if self.offline > self.opened.saturating_add(self.unopened) {
            found.violate("S8", String::from("offline twice for one transport"));
        }
        found.count(path_of(cause));
        self.rests = retry == Retry::Never;
        let breaches = if verdicts::is_breach(cause) {
            self.breaches.add(found.now.plus(self.trouble.ahead))
        } else {
            0
        };
        let past = Past {
            trusted: self.proven && !self.refused,
            breaches,
            closing: self.closing.is_some(),
        };
        if let Some((rule, what)) = verdicts::of_stream(cause, past).broken_by(retry) {
            found.violate(rule, format!("{what} after {cause:?}"));
        }
        if let OfflineCause::Internal(what) = cause {
            found.violate("S14", format!("a mistake of its own: {what}"));
        }
        let refused = verdicts::is_refusal(cause);
        match retry {
            Retry::At(at) => {
                let wait = at.since(found.now.plus(self.trouble.ahead));
                self.next_attempt = Some(found.now.plus(wait));
                self.refused |= refused;
                if wait > verdicts::patience(cause) {
                    found.violate("L1", format!("waits for {wait:?} after {cause:?}"));
                }
            }
            Retry::Never => {
                self.proven &= !refused;
                found.count("stays away");
            }
        }
    }

    /// One [`Event::Offline`](crate::Event::Offline) for each transport: one may be missing, that of now.
    pub(in crate::sim::oracle) fn settle_transports(&self, found: &mut Found) {
        if self.opened > self.offline.saturating_add(1) {
            let (opened, offline) = (self.opened, self.offline);
            found.violate(
                "S8",
                format!("{opened} transports, and only {offline} ends"),
            );
        }
    }
}

/// The path that an end of a stream is.
const fn path_of(cause: &OfflineCause) -> &'static str {
    match cause {
        OfflineCause::Transport(failure) => match failure.kind {
            TransportFailureKind::Resolve => "offline: not resolved",
            TransportFailureKind::Connect => "offline: refused",
            TransportFailureKind::Tls => "offline: tls",
            TransportFailureKind::Certificate => "offline: certificate",
            _ => "offline: transport",
        },
        OfflineCause::TimedOut(Timer::Connect) => "offline: not answered",
        OfflineCause::TimedOut(_) => "offline: timed out",
        OfflineCause::PeerClosed => "offline: closed by the server",
        OfflineCause::Truncated => "offline: cut short",
        OfflineCause::StreamError { .. } => "offline: stream error",
        OfflineCause::Xml(_) => "offline: xml",
        OfflineCause::PeerMisbehaved(_) => "offline: server misbehaved",
        OfflineCause::PeerIncompatible(_) => "offline: server incompatible",
        OfflineCause::Auth(_) => "offline: login refused",
        OfflineCause::Bind(_) => "offline: bind refused",
        OfflineCause::Closed => "offline: asked",
        OfflineCause::Internal(_) => "offline: internal",
    }
}
