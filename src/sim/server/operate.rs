//! What operators, accidents and rivals do to the server.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::groupchat::RateLimit;
use super::model::Model;
use super::muc::Muc;
use super::room::{Affiliation, Parting};
use super::tamper::Tamper;
use super::{Note, Operation, Removal};
use crate::StreamCondition;

impl Model {
    pub(super) fn operate(&mut self, operation: &Operation) {
        match operation {
            Operation::Crash {
                lost_messages,
                lost_rooms,
            } => self.crash(*lost_messages, *lost_rooms),
            Operation::Stop => self.stop(),
            Operation::Start => self.up = true,
            Operation::Remove { room, account, how } => self.remove(room, account, *how),
            Operation::Admit { room, account } => {
                let bare = self.hub.bare(account);
                let hub = &mut self.hub;
                self.muc
                    .affiliate(hub, room, &bare, Affiliation::Member, None, None);
            }
            Operation::RestartRooms { told } => self.restart_rooms(*told),
            Operation::Destroy { room } => self.muc.destroy(&mut self.hub, room, None),
            Operation::ArchiveLag(lag) => self.muc.lag = *lag,
            Operation::Expire { room, keep } => {
                let keep = usize::try_from(*keep).unwrap_or(usize::MAX);
                self.muc.expire(&mut self.hub, room, keep);
            }
            Operation::Retract { room, from_end } => self.retract(room, *from_end),
            Operation::StreamError { account, condition } => {
                for session in self.hub.sessions_of(account) {
                    self.close_session(session, Some(*condition));
                }
            }
            Operation::RateLimit { per_second, lasts } => {
                self.muc.limit = Some(RateLimit {
                    per_second: *per_second,
                    until: self.hub.now.plus(*lasts),
                    since: self.hub.now,
                    passed: 0,
                });
            }
            Operation::ForgetStreams => self.forget_streams(),
            Operation::ChangePassword { account, password } => {
                self.passwords.insert(account.clone(), password.clone());
            }
            Operation::DropResult { index } => self.muc.drop_result = Some(*index),
            Operation::FailQueries { count } => self.muc.fail_queries = *count,
            Operation::Unsettle { most, lasts } => {
                self.muc.unsettled = Some((*most, self.hub.now.plus(*lasts)));
            }
            Operation::ClockStep { back } => self.hub.step_back(*back),
            Operation::FailArchiving { count } => self.muc.fail_archiving = *count,
            Operation::Garble(garbling) => self.muc.garbling = Some(*garbling),
            Operation::WithholdManagement { what, lasts } => {
                self.hub.withheld = Some((*what, self.hub.now.plus(*lasts)));
            }
            Operation::WithholdMechanisms { left, lasts } => {
                self.mechanisms = Some((*left, self.hub.now.plus(*lasts)));
            }
            Operation::Archives(there) => self.archives(*there),
            Operation::Migrate { room } => self.migrate(room),
            Operation::RewriteNicks { lasts } => {
                self.muc.renames_until = self.hub.now.plus(*lasts);
            }
            Operation::LimitStanzas(most) => self.stanza_limit = *most,
            Operation::RefuseLogins {
                account,
                condition,
                count,
            } => {
                let refusal = (*condition, *count);
                self.refused_logins.insert(account.clone(), refusal);
            }
            Operation::FalseProof {
                account,
                missing,
                count,
            } => {
                self.false_proofs
                    .insert(account.clone(), (*missing, *count));
            }
            Operation::Tamper {
                account,
                after,
                how,
            } => {
                let tamper = Tamper::new(*after, *how);
                self.hub.tampers.insert(account.clone(), tamper);
            }
            Operation::ExpireStreams => self.expire_streams(),
            Operation::Forge { account, room, lie } => self.forge(account, room, *lie),
        }
    }

    /// Ends what was done to the server and lasts.
    pub(super) fn heal(&mut self) {
        self.up = true;
        self.muc.lag = Duration::ZERO;
        self.muc.limit = None;
        self.muc.drop_result = None;
        self.muc.fail_queries = 0;
        self.muc.unsettled = None;
        self.muc.fail_archiving = 0;
        self.muc.garbling = None;
        self.hub.withheld = None;
        self.mechanisms = None;
        self.muc.renames_until = self.hub.now;
        self.archives(true);
        self.stanza_limit = None;
        self.refused_logins.clear();
        self.false_proofs.clear();
        self.hub.end_tampering();
        self.forger.answers.clear();
    }

    /// The process is killed.
    fn crash(&mut self, lost_messages: u32, lost_rooms: bool) {
        self.up = false;
        let connections: Vec<_> = self.hub.connections.keys().copied().collect();
        for id in connections {
            self.hub.drop_connection(id);
        }
        self.hub.timers.clear();
        self.expired.clear();
        self.out_silently(|_| true);
        self.end_sessions();
        for (jid, room) in &mut self.muc.rooms {
            for _ in 0..lost_messages {
                let Some((lost, _)) = room.archive.pop_latest() else {
                    break;
                };
                self.hub.note(Note::Unarchived {
                    room: jid.clone(),
                    archive_id: lost.id,
                    tombstone: false,
                });
            }
        }
        let Muc { rooms, .. } = &mut self.muc;
        let gone: Vec<_> = if lost_rooms {
            core::mem::take(rooms).into_keys().collect()
        } else {
            let gone = rooms.values().filter(|room| !room.persistent);
            gone.map(|room| room.jid.clone()).collect()
        };
        for room in gone {
            self.muc.rooms.remove(&room);
            self.hub.note(Note::RoomGone { room });
        }
        if lost_rooms {
            self.muc.gone.clear();
        }
        // What did not show yet shows when its time has come.
        for jid in self.muc.rooms.keys().cloned().collect::<Vec<_>>() {
            self.muc.reveal(&mut self.hub, &jid);
        }
    }

    fn stop(&mut self) {
        self.up = false;
        self.restart_rooms(true);
        let connections: Vec<_> = self.hub.connections.keys().copied().collect();
        for id in connections {
            self.end(id, Some(StreamCondition::SystemShutdown));
        }
        self.end_sessions();
        self.expired.clear();
    }

    /// Ends the sessions that have no connection.
    fn end_sessions(&mut self) {
        for session in self.hub.sessions.keys().copied().collect::<Vec<_>>() {
            self.end_session(session);
        }
    }

    /// Takes occupants out without a word to anybody.
    fn out_silently(&mut self, leaves: impl Fn(&super::room::Occupant) -> bool + Copy) {
        for room in self.muc.rooms.values_mut() {
            room.put_out(&mut self.hub, Parting::default(), false, leaves);
        }
    }

    fn restart_rooms(&mut self, told: bool) {
        let parting = Parting {
            codes: &["332"],
            own: true,
            ..Parting::default()
        };
        for room in self.muc.rooms.values_mut() {
            room.put_out(&mut self.hub, parting, told, |_| true);
        }
        for jid in self.muc.rooms.keys().cloned().collect::<Vec<_>>() {
            self.muc.sweep(&mut self.hub, &jid);
        }
    }

    fn remove(&mut self, room: &str, account: &str, how: Removal) {
        let bare: String = self.hub.bare(account);
        let (hub, muc) = (&mut self.hub, &mut self.muc);
        match how {
            Removal::Kicked => muc.remove(hub, room, &bare, &["307"], None, None),
            Removal::Banned => muc.affiliate(hub, room, &bare, Affiliation::Outcast, None, None),
            Removal::NotMember => {
                if let Some(room) = muc.rooms.get_mut(room) {
                    room.members_only = true;
                    for (other, _) in &hub.setup.accounts {
                        let member = room.affiliations.entry(hub.bare(other));
                        member.or_insert(Affiliation::Member);
                    }
                    room.affiliations.remove(&bare);
                }
                muc.remove(hub, room, &bare, &["321"], None, None);
            }
            Removal::Technical => muc.remove(hub, room, &bare, &["333"], None, None),
            Removal::Silent => {
                if let Some(room) = muc.rooms.get_mut(room) {
                    room.put_out(hub, Parting::default(), false, |o| o.bare == bare);
                }
                muc.sweep(hub, room);
            }
        }
    }

    fn retract(&mut self, jid: &str, from_end: u32) {
        let Some(room) = self.muc.rooms.get_mut(jid) else {
            return;
        };
        let from_end = usize::try_from(from_end).unwrap_or(usize::MAX);
        if let Some((id, _)) = room.archive.retract(from_end) {
            let archive_id = id.into();
            let room = jid.into();
            self.hub.note(Note::Unarchived {
                room,
                archive_id,
                tombstone: true,
            });
        }
    }

    /// Rooms archive, if the server does at all, or not.
    fn archives(&mut self, there: bool) {
        for room in self.muc.rooms.values_mut() {
            room.archives = there && self.hub.setup.archive;
        }
    }

    /// The messages of a room have other ids from now on.
    fn migrate(&mut self, jid: &str) {
        let Some(room) = self.muc.rooms.get_mut(jid) else {
            return;
        };
        let now = self.hub.wall_clock();
        let mut ids = Vec::new();
        for message in room.archive.entries_mut() {
            let (id, _) = self.hub.ids.archived(now);
            ids.push((core::mem::replace(&mut message.id, id.clone()), id));
        }
        let room = jid.into();
        self.hub.note(Note::Migrated { room, ids });
    }

    fn expire_streams(&mut self) {
        let sessions = self.hub.sessions.iter();
        let broken = sessions.filter(|(_, session)| session.connection.is_none());
        for session in broken.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.expire(session);
        }
    }

    fn forget_streams(&mut self) {
        self.expired.clear();
        let mut hibernating = Vec::new();
        for (id, session) in &mut self.hub.sessions {
            if let Some(sm) = &mut session.sm {
                sm.token = None;
            }
            if session.connection.is_none() {
                hibernating.push(*id);
            }
        }
        for session in hibernating {
            self.end_session(session);
        }
    }
}
