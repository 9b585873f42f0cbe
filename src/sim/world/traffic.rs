//! What arrives at the ends of links: that they stand, bytes, and their ends.

use alloc::string::String;

use super::World;
use super::host::{Host, ahead};
use super::link::{Flight, Link, Tls};
use super::pipe::Arrival;
use crate::sim::happening::{Ending, Happening, LinkId, Side};
use crate::sim::plan::{Mishap, Weather};
use crate::{ChannelBinding, Instant, Security, TransportFailure, TransportFailureKind};

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
                process.drive().transport_opened(clock, security);
            } else {
                process.link = None;
                let why = match link.mishap {
                    _ if nameless => failure(TransportFailureKind::Resolve, "no such host"),
                    Some(Mishap::Unanswered) => failure(TransportFailureKind::Connect, "timed out"),
                    _ => failure(TransportFailureKind::Connect, "refused"),
                };
                process.drive().transport_failed(clock, why);
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
                process.drive().handle_eof(clock);
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
                let n = process.drive().handle_input(clock, piece);
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
            process.drive().tls_established(clock, binding);
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
        process.drive().transport_failed(clock, why);
    }
}

fn failure(kind: TransportFailureKind, detail: &str) -> TransportFailure {
    TransportFailure {
        kind,
        detail: String::from(detail),
    }
}
