//! Bytes between the ends of links: what arrives, what is written, what is opened
//! and closed.

use alloc::string::String;
use core::time::Duration;

use super::World;
use super::host::{Host, ahead};
use super::link::{Flight, Link, Tls};
use super::pipe::Arrival;
use crate::sim::happening::{Ending, Happening, LinkId, Side};
use crate::sim::plan::{Effect, Mishap, Weather};
use crate::sim::server::ServerTransport;
use crate::{ChannelBinding, Instant, Security, Transport, TransportFailure, TransportFailureKind};

/// After so long without an answer the host's system gives up opening a link: what Linux
/// does by default.
const UNANSWERED: Duration = Duration::from_secs(127);

impl World {
    /// When something of a link is due, after now.
    pub(super) fn link_next(&self, link: &Link) -> Option<Instant> {
        let trouble = self.hosts.get(link.host).map(|host| &host.trouble);
        let held = |from: Side| trouble.and_then(|trouble| trouble.stalled(from));
        let arrival =
            |at: Option<Instant>, from: Side| at.map(|at| at.max(held(from).unwrap_or(at)));
        [
            link.opens_at,
            link.host_end.reset_at,
            link.server_end.reset_at,
            link.given_up_at,
            link.unwritable_until,
            arrival(link.to_server.next(), Side::Host),
            arrival(link.to_host.next(), Side::Server),
        ]
        .into_iter()
        .flatten()
        .filter(|at| *at > self.now)
        .min()
    }

    /// Gives every end what arrived there. Returns whether there was anything.
    pub(super) fn carry(&mut self) -> bool {
        let mut moved = false;
        for index in 0..self.links.len() {
            moved |= self.open(index);
            moved |= self.resets(index);
            moved |= self.cuts(index);
            while self.carry_to_server(index) {
                moved = true;
                self.cuts(index);
            }
            while self.carry_to_host(index) {
                moved = true;
                self.cuts(index);
            }
        }
        moved
    }

    /// A link that is being opened stands now, or turns out to be refused.
    fn open(&mut self, index: usize) -> bool {
        let now = self.now;
        let Some(link) = self.links.get_mut(index) else {
            return false;
        };
        if link.opens_at.is_none_or(|at| at > now) {
            return false;
        }
        link.opens_at = None;
        let Some(host) = self.hosts.get_mut(link.host) else {
            return false;
        };
        let clear = Security::Clear {
            loopback: !self.server.setup().tls,
        };
        let security = if host.direct_tls {
            Security::Tls(link.binding())
        } else {
            clear
        };
        let nameless = ahead(host.trouble.nameless_until, now);
        let refused = ahead(host.trouble.refused_until, now) || link.mishap.is_some();
        if link.host_end.open && !nameless && !refused {
            link.connection = self.server.accept(now, security.clone());
        }
        let stands = link.connection.is_some();
        self.eyes.show(&Happening::Opened {
            link: link.id,
            stands,
        });
        link.server_end.open = stands;
        let clock = host.clock(now);
        if !link.host_end.open {
            return true;
        }
        if host.direct_tls && stands {
            link.host_end.tls = Tls::Stands;
            link.server_end.tls = Tls::Stands;
            self.eyes.show(&Happening::Protected { link: link.id });
        }
        link.host_end.open = stands;
        if let Some(process) = &mut host.process {
            if stands {
                process.engine.transport_opened(clock, security);
            } else {
                process.link = None;
                let why = match link.mishap {
                    _ if nameless => failure(TransportFailureKind::Resolve, "no such host"),
                    Some(Mishap::Unanswered) => failure(TransportFailureKind::Connect, "timed out"),
                    _ => failure(TransportFailureKind::Connect, "refused"),
                };
                process.engine.transport_failed(clock, why);
            }
        }
        host.pull_eagerly(now, self.pulling);
        true
    }

    /// Ends that learn of a reset, or whose system gives up.
    fn resets(&mut self, index: usize) -> bool {
        let now = self.now;
        let mut moved = false;
        if let Some(link) = self.links.get_mut(index)
            && link.given_up_at.is_some_and(|at| at <= now)
        {
            link.given_up_at = None;
            link.server_end.reset_at = Some(now);
        }
        for side in [Side::Host, Side::Server] {
            let Some(link) = self.links.get_mut(index) else {
                return moved;
            };
            if link.end(side).reset_at.is_none_or(|at| at > now) {
                continue;
            }
            link.end_mut(side).reset_at = None;
            if !link.end(side).open {
                continue;
            }
            moved = true;
            link.end_mut(side).open = false;
            let id = link.id;
            let connection = link.connection;
            let how = link.end(side).ends.unwrap_or(Ending::Reset);
            let host = self.hosts.get_mut(link.host);
            self.eyes.show(&Happening::Ended {
                link: id,
                at: side,
                how,
            });
            match (side, connection, host) {
                (Side::Server, Some(connection), _) => {
                    self.server.transport_failed(now, connection);
                    self.take_notes();
                }
                (Side::Host, _, Some(host)) => {
                    let why = match how {
                        Ending::Alert => failure(TransportFailureKind::Tls, "fatal alert"),
                        _ => failure(TransportFailureKind::Io, "connection reset"),
                    };
                    fail(host, now, id, why);
                    host.pull_eagerly(now, self.pulling);
                }
                _ => {}
            }
        }
        moved
    }

    /// Cuts whose byte has come.
    fn cuts(&mut self, index: usize) -> bool {
        let Some(link) = self.links.get_mut(index) else {
            return false;
        };
        let Some(host) = self.hosts.get_mut(link.host) else {
            return false;
        };
        let current = host.process.as_ref().and_then(|process| process.link);
        if current != Some(link.id) || link.opens_at.is_some() {
            return false;
        }
        let Some(cut) = host.trouble.take_cut() else {
            return false;
        };
        link.cut(self.now, cut.from, cut.how, cut.linger, &self.weather);
        self.eyes.show(&Happening::Broken {
            link: link.id,
            how: cut.how,
        });
        true
    }

    /// Gives the server the next packet of a link.
    fn carry_to_server(&mut self, index: usize) -> bool {
        let now = self.now;
        let Some(link) = self.links.get_mut(index) else {
            return false;
        };
        let Some(host) = self.hosts.get_mut(link.host) else {
            return false;
        };
        if ahead(host.trouble.stalled(Side::Host), now) {
            return false;
        }
        let Some(arrival) = link.to_server.arrived(now) else {
            return false;
        };
        let connection = link.connection.filter(|_| link.server_end.open);
        let (Arrival::Bytes(all), Some(connection)) = (&arrival, connection) else {
            match arrival {
                Arrival::Bytes(bytes) => link.to_server.take(bytes),
                Arrival::End => link.to_server.take_end(),
            }
            if let Some(connection) = connection {
                self.eyes.show(&Happening::Ended {
                    link: link.id,
                    at: Side::Server,
                    how: Ending::Fin,
                });
                self.server.handle_eof(now, connection);
                self.take_notes();
            }
            return true;
        };
        // Cuts wait for bytes of the link that is in use.
        let current = host.process.as_ref().and_then(|process| process.link) == Some(link.id);
        let mut bytes = if current {
            host.trouble.before_cut(Side::Host, *all)
        } else {
            *all
        };
        let handshake = link.handshake_bytes(Side::Server, bytes);
        if handshake > 0 {
            bytes = handshake;
            link.to_server.take(bytes);
            if link.handshake(now, Side::Server, bytes, &self.weather) == Flight::Server {
                let binding = link.binding();
                self.server.tls_established(now, connection, binding);
            }
        } else {
            if !self.server.wants(connection).read {
                return false;
            }
            let head = link.to_server.head(bytes);
            self.eyes.show(&Happening::Read {
                link: link.id,
                by: Side::Server,
                bytes: head,
            });
            self.server.handle_input(now, connection, head);
            link.to_server.take(bytes);
            self.take_notes();
        }
        if let Some(host) = self
            .links
            .get(index)
            .and_then(|link| self.hosts.get_mut(link.host))
            .filter(|_| current)
        {
            host.trouble.count(Side::Host, bytes);
        }
        true
    }

    /// Gives the host the next packet of a link.
    fn carry_to_host(&mut self, index: usize) -> bool {
        let now = self.now;
        let Some(link) = self.links.get_mut(index) else {
            return false;
        };
        let Some(host) = self.hosts.get_mut(link.host) else {
            return false;
        };
        if ahead(host.trouble.stalled(Side::Server), now) || link.opens_at.is_some() {
            return false;
        }
        let Some(arrival) = link.to_host.arrived(now) else {
            return false;
        };
        let clock = host.clock(now);
        let frozen = host.trouble.is_frozen(now);
        let process = host
            .process
            .as_mut()
            .filter(|process| process.link == Some(link.id) && link.host_end.open);
        let Some(process) = process else {
            match arrival {
                Arrival::Bytes(bytes) => link.to_host.take(bytes),
                Arrival::End => link.to_host.take_end(),
            }
            return true;
        };
        if frozen {
            return false;
        }
        let Arrival::Bytes(all) = arrival else {
            if !process.engine.wants().read {
                return false;
            }
            link.to_host.take_end();
            let how = link.host_end.ends.unwrap_or(Ending::Fin);
            self.eyes.show(&Happening::Ended {
                link: link.id,
                at: Side::Host,
                how,
            });
            if how == Ending::Truncation {
                link.drop_end(now, Side::Host, &self.weather);
                let why = failure(TransportFailureKind::Io, "closed without close_notify");
                fail(host, now, link.id, why);
            } else {
                process.engine.handle_eof(clock);
            }
            host.pull_eagerly(now, self.pulling);
            return true;
        };
        let mut bytes = host.trouble.before_cut(Side::Server, all);
        let handshake = link.handshake_bytes(Side::Host, bytes);
        if handshake > 0 {
            bytes = handshake;
            link.to_host.take(bytes);
            if link.handshake(now, Side::Host, bytes, &self.weather) == Flight::Client {
                end_handshake(host, link, now, &self.weather);
                if link.host_end.tls == Tls::Stands {
                    self.eyes.show(&Happening::Protected { link: link.id });
                }
            }
        } else {
            if !process.engine.wants().read {
                return false;
            }
            let head = link.to_host.head(bytes);
            let mut taken: usize = 0;
            while let Some(rest) = head.get(taken..).filter(|rest| !rest.is_empty()) {
                let piece = rest.get(..self.pulling.piece.max(1)).unwrap_or(rest);
                let n = process.engine.handle_input(clock, piece);
                taken = taken.saturating_add(n);
                if n < piece.len() {
                    break;
                }
            }
            self.eyes.show(&Happening::Read {
                link: link.id,
                by: Side::Host,
                bytes: head.get(..taken).unwrap_or_default(),
            });
            link.to_host.take(taken);
            bytes = taken;
        }
        host.trouble.count(Side::Server, bytes);
        host.pull_eagerly(now, self.pulling);
        bytes > 0
    }

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
        process.engine.written(clock, n);
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
                process.engine.handle_eof(clock);
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

/// The server's flight of the TLS handshake is there: the host is content, or not.
fn end_handshake(host: &mut Host, link: &mut Link, now: Instant, weather: &Weather) {
    let clock = host.clock(now);
    let fails = match link.mishap {
        Some(Mishap::Alert) => Some(false),
        Some(Mishap::Certificate) => Some(true),
        _ => host.trouble.tls_fails.take(),
    };
    let Some(process) = &mut host.process else {
        return;
    };
    match fails {
        None => {
            link.finish_tls(now, weather);
            let binding: ChannelBinding = link.binding();
            process.engine.tls_established(clock, binding);
        }
        Some(certificate) => {
            link.drop_end(now, Side::Host, weather);
            let why = if certificate {
                failure(TransportFailureKind::Certificate, "expired")
            } else {
                failure(TransportFailureKind::Tls, "handshake failed")
            };
            fail(host, now, link.id, why);
        }
    }
}

/// Tells an engine that its transport is no more, if it is still that link.
fn fail(host: &mut Host, now: Instant, link: LinkId, why: TransportFailure) {
    let clock = host.clock(now);
    if let Some(process) = &mut host.process
        && process.link == Some(link)
    {
        process.link = None;
        process.engine.transport_failed(clock, why);
    }
}

fn failure(kind: TransportFailureKind, detail: &str) -> TransportFailure {
    TransportFailure {
        kind,
        detail: String::from(detail),
    }
}
