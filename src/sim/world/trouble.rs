//! What goes wrong in a world, and its end.

use super::World;
use super::host::{Cut, Early};
use crate::sim::happening::{Ending, Happening, HostId, Side};
use crate::sim::plan::Fault;
#[cfg(doc)]
use crate::sim::server::Server;
use core::time::Duration;

impl World {
    /// Lets something go wrong: now, or a cut when its byte comes.
    ///
    /// A host that does not exist is left alone.
    pub fn fault(&mut self, fault: &Fault) {
        let now = self.now;
        let until = |lasts: Duration| now.plus(lasts);
        self.eyes.show(&Happening::Fault(fault));
        match fault {
            Fault::Server(operation) => {
                self.server.operate(now, operation);
                self.take_notes();
            }
            &Fault::Cut {
                host,
                from,
                after_bytes,
                how,
                linger,
            } => self.with_host(host, |host| {
                host.trouble.cuts.push(Cut {
                    from,
                    left: after_bytes,
                    how,
                    linger,
                });
            }),
            &Fault::Stall { host, from, lasts } => {
                self.with_host(host, |host| host.trouble.stall(from, until(lasts)));
            }
            &Fault::Refuse { host, lasts } => {
                self.with_host(host, |host| host.trouble.refused_until = Some(until(lasts)));
            }
            &Fault::NoAnswer { host, lasts } => {
                self.with_host(host, |host| {
                    host.trouble.unanswered_until = Some(until(lasts));
                });
            }
            &Fault::NoName { host, lasts } => {
                self.with_host(host, |host| {
                    host.trouble.nameless_until = Some(until(lasts));
                });
            }
            &Fault::Throttle {
                host,
                from,
                bytes_per_second,
                lasts,
            } => self.with_host(host, |host| {
                host.trouble.slow_down(from, bytes_per_second, until(lasts));
            }),
            &Fault::TlsFails { host, certificate } => {
                self.with_host(host, |host| host.trouble.tls_fails = Some(certificate));
            }
            &Fault::Freeze { host, lasts } => {
                self.with_host(host, |host| host.trouble.frozen_until = Some(until(lasts)));
            }
            &Fault::Ignore { host, lasts } => {
                self.with_host(host, |host| host.trouble.ignores_until = Some(until(lasts)));
            }
            &Fault::SmallWrites { host, bytes } => self.with_host(host, |host| {
                host.trouble.small_writes = usize::try_from(bytes.max(1)).ok();
            }),
            &Fault::Leap { host, by } => self.with_host(host, |host| {
                host.trouble.ahead = host.trouble.ahead.saturating_add(by);
            }),
            &Fault::Restart { host, after } => self.kill(host, after),
            &Fault::Skew { host, after, by } => {
                let now = self.now;
                self.with_host(host, |host| host.skew(now, after, by));
            }
            &Fault::Early { host, after, by } => {
                self.with_host(host, |host| {
                    host.trouble.early = Some(Early::new(after, by))
                });
            }
            &Fault::Mishap { host, after, what } => {
                self.with_host(host, |host| host.trouble.mishap = Some((after, what)));
            }
            &Fault::Backup { host } => {
                self.with_host(host, |host| host.backup = Some(host.kept.clone()));
            }
            &Fault::Restore { host, after } => {
                self.kill(host, after);
                self.with_host(host, |host| {
                    if let Some(backup) = host.backup.clone() {
                        host.kept = backup;
                    }
                });
            }
        }
        self.settle();
    }

    /// Ends all that goes wrong: cuts that wait for their byte, stalls, refusals; the
    /// server [runs as it should](Server::heal). Links that are broken stay broken, and
    /// clocks that leapt stay ahead.
    pub fn heal(&mut self) {
        self.eyes.show(&Happening::Healed);
        for host in &mut self.hosts {
            host.heal(self.now);
        }
        for link in &mut self.links {
            link.unwritable_until = None;
        }
        self.server.heal(self.now);
        self.take_notes();
        self.settle();
    }

    fn with_host(&mut self, host: HostId, change: impl FnOnce(&mut super::Host)) {
        if let Some(host) = self.hosts.get_mut(host.0) {
            change(host);
        }
    }

    /// The process dies; its system closes what it had open.
    fn kill(&mut self, id: HostId, after: Duration) {
        let Some(host) = self.hosts.get_mut(id.0) else {
            return;
        };
        host.trouble.starts_at = Some(self.now.plus(after));
        if host.process.take().is_none() {
            return;
        }
        self.eyes.show(&Happening::Died { host: id });
        for link in self.links.iter_mut().filter(|link| link.host == id.0) {
            if link.host_end.open {
                link.drop_end(self.now, Side::Host, &self.weather);
                self.eyes.show(&Happening::Ended {
                    link: link.id,
                    at: Side::Host,
                    how: Ending::Fin,
                });
            }
        }
    }
}
