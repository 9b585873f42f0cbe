//! Drawing what goes wrong: one fault, or those that make one together.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use super::draw::Draft;
use super::kinds::CONDITIONS;
use super::{Fault, FaultKind, FaultKinds, LAG, Order, Profile, What, passes};
use crate::sim::happening::{Ending, HostId, Side};
use crate::sim::random::Random;
use crate::sim::run;
use crate::sim::server::{Garbling, Lie, Mechanisms, Operation, Removal, Tampering, Withheld};
use crate::{Instant, SaslCondition, StreamCondition};

impl Draft {
    /// What goes wrong. Returns whether the engine may be told to stay away for long.
    pub(super) fn trouble(
        &mut self,
        random: &mut Random,
        profile: &Profile,
        kinds: FaultKinds,
    ) -> bool {
        let all: Vec<_> = kinds.iter().collect();
        let mut enabled = |kind: &FaultKind| random.one_in(if kind.is_rare() { 5 } else { 2 });
        let some: Vec<_> = all.iter().copied().filter(|kind| enabled(kind)).collect();
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
            FaultKind::Truncate | FaultKind::Alert | FaultKind::HalfOpen => {
                let how = match kind {
                    FaultKind::Truncate => Ending::Truncation,
                    FaultKind::Alert => Ending::Alert,
                    _ => Ending::HalfOpen,
                };
                let fault = self.cut(random, number, false);
                return self.plain(at, ending(fault, how));
            }
            FaultKind::NoAnswer | FaultKind::NoName => {
                let fault = if kind == FaultKind::NoName {
                    Fault::NoName { host, lasts }
                } else {
                    Fault::NoAnswer { host, lasts }
                };
                self.add(at, What::Fault(fault));
                return self.plain(at, self.broken(host));
            }
            FaultKind::Throttle | FaultKind::Trickle => {
                let bytes_per_second = random.pick(&[50, 400, 3000]).copied().unwrap_or(400);
                let trickles = kind == FaultKind::Trickle;
                return self.plain(
                    at,
                    Fault::Throttle {
                        host,
                        from: if trickles { from } else { Side::Host },
                        bytes_per_second: if trickles { 1 } else { bytes_per_second },
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
                    self.recover(random, at, &account);
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
                let condition = self.condition(true);
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
                let condition = self.condition(false);
                self.recover(random, at, &account);
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
                self.recover(random, later, &account);
                Operation::ChangePassword {
                    password: format!("not {account}'s"),
                    account,
                }
            }
            FaultKind::DropResult => Operation::DropResult { index: 0 },
            FaultKind::DropLater => Operation::DropResult { index: some },
            FaultKind::FailQueries => Operation::FailQueries { count: some },
            FaultKind::Unsettle => Operation::Unsettle {
                most: random.duration(LAG),
                lasts,
            },
            FaultKind::ClockStep => Operation::ClockStep {
                back: random.duration(secs(if long { 3600 } else { 5 })),
            },
            FaultKind::FailArchiving => Operation::FailArchiving { count: some },
            FaultKind::Garble => {
                let ways = [
                    Garbling::Twice,
                    Garbling::Again,
                    Garbling::Bounds,
                    Garbling::AfterEnd,
                ];
                Operation::Garble(random.pick(&ways).copied().unwrap_or(Garbling::Twice))
            }
            FaultKind::Forge => {
                let lie = random.pick(Lie::ALL).copied().unwrap_or(Lie::Result);
                Operation::Forge { account, room, lie }
            }
            FaultKind::Tamper => {
                let ways = [Tampering::Double, Tampering::Drop, Tampering::Swap];
                Operation::Tamper {
                    account,
                    after: some,
                    how: random.pick(&ways).copied().unwrap_or(Tampering::Double),
                }
            }
            FaultKind::NoArchives => {
                self.add(later, What::Fault(Fault::Server(Operation::Archives(true))));
                if long {
                    // It is told so when it comes in.
                    let after = Duration::from_secs(1);
                    self.add(at, What::Fault(Fault::Restart { host, after }));
                }
                Operation::Archives(false)
            }
            FaultKind::Migrate => Operation::Migrate { room },
            FaultKind::RewriteNicks => {
                // It comes in again.
                let out = remove(Removal::Technical);
                self.add(at, What::Fault(Fault::Server(out)));
                Operation::RewriteNicks { lasts }
            }
            FaultKind::NoManagement
            | FaultKind::ManagementRefused
            | FaultKind::NoResumption
            | FaultKind::FewerMechanisms
            | FaultKind::WeakMechanisms
            | FaultKind::SmallStanzas
            | FaultKind::LoginFails
            | FaultKind::Disabled
            | FaultKind::FalseProof
            | FaultKind::ExpireStreams => return self.reconnected(random, at, number, kind),
            FaultKind::Skew => {
                let after = some;
                let by = lasts;
                return self.plain(at, Fault::Skew { host, after, by });
            }
            FaultKind::Backup => return self.plain(at, Fault::Backup { host }),
            FaultKind::Restore => {
                self.add(at, What::Fault(Fault::Backup { host }));
                let after = random.duration(secs(10));
                let old = random.duration(secs(60));
                return self.plain(at.plus(old), Fault::Restore { host, after });
            }
        };
        self.add(at, What::Fault(Fault::Server(operation)));
        false
    }

    /// The next condition that may pass, or that does not pass by itself.
    fn condition(&mut self, passing: bool) -> StreamCondition {
        let all = CONDITIONS.iter().copied();
        let fitting: Vec<_> = all.filter(|c| passes(*c) == passing).collect();
        let next = self.next_of(&fitting);
        next.unwrap_or(StreamCondition::Reset)
    }

    fn plain(&mut self, at: Instant, fault: Fault) -> bool {
        self.add(at, What::Fault(fault));
        false
    }

    /// What shows when a client connects again, which it does.
    fn reconnected(
        &mut self,
        random: &mut Random,
        at: Instant,
        number: usize,
        kind: FaultKind,
    ) -> bool {
        let host = HostId(number);
        let account = self.hosts.get(number).cloned().unwrap_or_default();
        let second = Duration::from_secs(1);
        let count = u32::try_from(random.between(1, 3)).unwrap_or(1);
        let operation = match kind {
            FaultKind::NoManagement => Operation::WithholdManagement {
                what: Withheld::All,
                lasts: random.duration(Duration::from_secs(60)),
            },
            FaultKind::ManagementRefused | FaultKind::NoResumption => {
                // A new stream asks for it, not one that is resumed.
                let forget = Fault::Server(Operation::ForgetStreams);
                self.add(at, What::Fault(forget));
                Operation::WithholdManagement {
                    what: if kind == FaultKind::NoResumption {
                        Withheld::Resumption
                    } else {
                        Withheld::Enabling
                    },
                    lasts: random.duration(Duration::from_secs(60)),
                }
            }
            FaultKind::FewerMechanisms => {
                let ways = [Mechanisms::Unbound, Mechanisms::Sha1];
                Operation::WithholdMechanisms {
                    left: random.pick(&ways).copied().unwrap_or(Mechanisms::Sha1),
                    lasts: random.duration(Duration::from_secs(60)),
                }
            }
            FaultKind::WeakMechanisms => {
                // It shows at all new streams.
                for account in self.hosts.clone() {
                    self.recover(random, at, &account);
                }
                Operation::WithholdMechanisms {
                    left: Mechanisms::Plain,
                    lasts: random.duration(Duration::from_secs(20)),
                }
            }
            FaultKind::SmallStanzas => {
                // Said while it is away: too much for what comes then.
                let room = self.room(random);
                let filling = "long & ".repeat(1500);
                let text = format!("{} of {number}: {filling}", at.as_micros());
                let offline = at.plus(random.duration(second));
                self.order(offline, number, Order::Post(room, text));
                let later = at.plus(random.duration(Duration::from_secs(60)));
                let back = Operation::LimitStanzas(None);
                self.add(later, What::Fault(Fault::Server(back)));
                Operation::LimitStanzas(Some(10_000))
            }
            FaultKind::LoginFails => Operation::RefuseLogins {
                account,
                condition: SaslCondition::TemporaryAuthFailure,
                count,
            },
            FaultKind::Disabled => {
                self.recover(random, at, &account);
                Operation::RefuseLogins {
                    account,
                    condition: SaslCondition::AccountDisabled,
                    count: count.min(2),
                }
            }
            FaultKind::FalseProof => {
                self.recover(random, at, &account);
                Operation::FalseProof {
                    account,
                    missing: random.one_in(2),
                    count: count.min(2),
                }
            }
            _ => {
                // It cannot come back at once.
                let lasts = second.saturating_mul(3);
                self.add(at, What::Fault(Fault::Refuse { host, lasts }));
                let expire = Fault::Server(Operation::ExpireStreams);
                self.add(at.plus(second), What::Fault(expire));
                return self.plain(at, self.broken(host));
            }
        };
        self.add(at, What::Fault(Fault::Server(operation)));
        self.add(at, What::Fault(self.broken(host)));
        matches!(kind, FaultKind::LoginFails | FaultKind::SmallStanzas)
    }

    /// A link ends at once, and both ends are told.
    const fn broken(&self, host: HostId) -> Fault {
        Fault::Cut {
            host,
            from: Side::Host,
            after_bytes: 0,
            how: Ending::Reset,
            linger: None,
        }
    }

    /// Somebody looks after the clients of an account, which do not try again by
    /// themselves: some time after, and once all is well.
    pub(super) fn recover(&mut self, random: &mut Random, at: Instant, account: &str) {
        let soon = at.plus(random.duration(Duration::from_secs(60)));
        let healed = self.heal_at.plus(random.duration(Duration::from_secs(10)));
        // Once more for what was still under way then.
        let late = healed.plus(Duration::from_secs(90));
        for host in 0..self.hosts.len() {
            if self.hosts.get(host).is_some_and(|known| known == account) {
                for at in [soon, healed, late] {
                    self.order(at, host, Order::Reconnect);
                }
            }
        }
    }
}

/// The same cut, with another ending.
fn ending(cut: Fault, ending: Ending) -> Fault {
    match cut {
        Fault::Cut {
            host,
            from,
            after_bytes,
            linger,
            ..
        } => Fault::Cut {
            host,
            from,
            after_bytes,
            how: ending,
            linger,
        },
        other => other,
    }
}
