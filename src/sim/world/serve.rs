//! What the ends want of their links: links that are opened and closed, bytes that are
//! written.

use super::World;
use super::host::ahead;
use super::link::{Link, Tls};
use crate::Transport;
use crate::sim::happening::{Ending, Happening, LinkId, Side};
use crate::sim::plan::{Effect, Mishap, Weather};
use crate::sim::server::ServerTransport;
use core::time::Duration;

/// After so long without an answer the host's system gives up opening a link: what Linux
/// does by default.
const UNANSWERED: Duration = Duration::from_secs(127);

impl World {
    /// Does what the engines want of their transports. Returns whether there was anything.
    pub(super) fn serve_hosts(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.hosts.len() {
            moved |= self.serve_host(index);
        }
        moved
    }

    fn serve_host(&mut self, index: usize) -> bool {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(index) else {
            return false;
        };
        if host.trouble.is_frozen(now) {
            return false;
        }
        let Some(process) = &mut host.process else {
            return false;
        };
        let transport = process.engine.wants().transport;
        let current = process.link;
        let fresh = match transport {
            Transport::Connect { attempt } => process.attempt != Some(attempt),
            _ => false,
        };
        if current.is_some() && (fresh || transport == Transport::Closed) {
            process.link = None;
            self.hang_up(current);
            return true;
        }
        if let Transport::Connect { attempt } = transport {
            if fresh {
                process.attempt = Some(attempt);
                self.dial(index);
            }
            return fresh;
        }
        let Some(at) = self.links.iter().position(|link| Some(link.id) == current) else {
            return false;
        };
        let wrote = self.write_host(index, at);
        self.advance_host(index, at) || wrote
    }

    /// Drops the host's end of a link.
    fn hang_up(&mut self, id: Option<LinkId>) {
        let link = self.links.iter_mut().find(|link| Some(link.id) == id);
        if let Some(link) = link.filter(|link| link.host_end.open) {
            link.drop_end(self.now, Side::Host, &self.weather);
            self.eyes.show(&Happening::Ended {
                link: link.id,
                at: Side::Host,
                how: Ending::Fin,
            });
        }
    }

    /// Opens a link: there and back once.
    fn dial(&mut self, index: usize) {
        let Some(host) = self.hosts.get_mut(index) else {
            return;
        };
        let id = LinkId(self.next_link);
        self.next_link = self.next_link.saturating_add(1);
        host.links = host.links.saturating_add(1);
        let mut link = Link::new(id, index, self.seed, host.links);
        let there_and_back = self.weather.latency.saturating_mul(2);
        let opens_at = self.now.plus(there_and_back);
        // Its system asks again until it is answered.
        let unanswered = host.trouble.unanswered_until.unwrap_or(opens_at);
        link.opens_at = Some(opens_at.max(unanswered));
        link.mishap = host.trouble.befalls(Effect::Connect);
        if link.mishap == Some(Mishap::Unanswered) {
            link.opens_at = Some(self.now.plus(UNANSWERED));
        }
        if let Some(process) = &mut host.process {
            process.link = Some(id);
        }
        self.eyes.show(&Happening::Opening {
            link: id,
            host: host.id,
        });
        if let Some(what) = link.mishap {
            let host = host.id;
            self.eyes.show(&Happening::Mishap { host, what });
        }
        self.links.push(link);
    }

    /// Writes what the engine has to write, as far as it is taken.
    fn write_host(&mut self, index: usize, at: usize) -> bool {
        let now = self.now;
        let (Some(host), Some(link)) = (self.hosts.get_mut(index), self.links.get_mut(at)) else {
            return false;
        };
        let clock = host.clock(now);
        let allowance = host.write_allowance(now);
        let throttle = host.trouble.rate(Side::Host, now);
        let Some(process) = &mut host.process else {
            return false;
        };
        if !link.host_end.open || matches!(link.host_end.tls, Tls::Awaits(_)) {
            return false;
        }
        let write = process.engine.wants().write;
        let mut write = write.get(..allowance).unwrap_or(write);
        if write.is_empty() || link.to_server.room() == 0 {
            return false;
        }
        if ahead(link.unwritable_until, now) {
            return false;
        }
        if let Some(what) = host.trouble.befalls(Effect::Write) {
            let host_id = host.id;
            self.eyes.show(&Happening::Mishap {
                host: host_id,
                what,
            });
            match what {
                Mishap::Unwritable(lasts) => {
                    link.unwritable_until = Some(now.plus(lasts));
                    return false;
                }
                Mishap::Broken => {
                    link.cut(now, Side::Host, Ending::Reset, None, &self.weather);
                    // Its end learns of it in the next round, at this same instant.
                    return true;
                }
                _ => {
                    host.trouble.small_writes = Some(1);
                    write = write.get(..1).unwrap_or(write);
                }
            }
        }
        let weather = Weather {
            bandwidth: throttle.or(self.weather.bandwidth),
            ..self.weather.clone()
        };
        let n = link.to_server.write(now, write, &weather);
        if n == 0 {
            return false;
        }
        self.eyes.show(&Happening::Written {
            link: link.id,
            by: Side::Host,
            bytes: write.get(..n).unwrap_or_default(),
        });
        process.drive().written(clock, n);
        host.wrote(now);
        host.pull_eagerly(now, self.pulling);
        true
    }

    /// TLS, or the end, once all is written.
    fn advance_host(&mut self, index: usize, at: usize) -> bool {
        let now = self.now;
        let (Some(host), Some(link)) = (self.hosts.get_mut(index), self.links.get_mut(at)) else {
            return false;
        };
        let clock = host.clock(now);
        let Some(process) = &mut host.process else {
            return false;
        };
        let wants = process.engine.wants();
        if !wants.write.is_empty() || !link.host_end.open {
            return false;
        }
        match wants.transport {
            Transport::StartTls if link.host_end.tls == Tls::None => {
                link.begin_tls(now, &self.weather);
                link.mishap = host.trouble.befalls(Effect::Handshake);
                if let Some(what) = link.mishap {
                    let host = host.id;
                    self.eyes.show(&Happening::Mishap { host, what });
                }
                if link.mishap == Some(Mishap::Stalled) {
                    link.to_host.silence();
                }
                true
            }
            Transport::Shutdown => {
                process.link = None;
                process.drive().handle_eof(clock);
                host.pull_eagerly(now, self.pulling);
                let id = link.id;
                self.hang_up(Some(id));
                true
            }
            _ => false,
        }
    }

    /// Does what the server wants of its transports. Returns whether there was anything.
    pub(super) fn serve_server(&mut self) -> bool {
        let now = self.now;
        let mut moved = false;
        for link in &mut self.links {
            let Some(connection) = link.connection.filter(|_| link.server_end.open) else {
                continue;
            };
            let wants = self.server.wants(connection);
            let transport = wants.transport;
            let trouble = self.hosts.get(link.host).map(|host| &host.trouble);
            let throttle = trouble.and_then(|trouble| trouble.rate(Side::Server, now));
            let weather = Weather {
                bandwidth: throttle.or(self.weather.bandwidth),
                ..self.weather.clone()
            };
            let n = link.to_host.write(now, wants.write, &weather);
            if n > 0 {
                self.eyes.show(&Happening::Written {
                    link: link.id,
                    by: Side::Server,
                    bytes: wants.write.get(..n).unwrap_or_default(),
                });
                self.server.written(now, connection, n);
                moved = true;
            }
            let flushed = self.server.wants(connection).write.is_empty();
            match transport {
                ServerTransport::StartTls if flushed => link.await_tls(),
                ServerTransport::Shutdown if flushed => {
                    moved = true;
                    link.drop_end(now, Side::Server, &self.weather);
                    self.eyes.show(&Happening::Ended {
                        link: link.id,
                        at: Side::Server,
                        how: Ending::Fin,
                    });
                    self.server.handle_eof(now, connection);
                }
                ServerTransport::Closed => {
                    moved = true;
                    link.server_end.open = false;
                    self.eyes.show(&Happening::Ended {
                        link: link.id,
                        at: Side::Server,
                        how: Ending::Reset,
                    });
                    link.to_server.silence();
                    // Its system tells the host, after what is under way or before it.
                    if link.id.0.is_multiple_of(2) {
                        link.to_host.finish(now, &self.weather);
                    } else {
                        link.to_host.silence();
                        link.host_end.reset_at = Some(now.plus(self.weather.latency));
                    }
                }
                _ => {}
            }
        }
        self.take_notes();
        moved
    }
}
