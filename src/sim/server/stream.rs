//! Bringing a stream up (RFC 6120, sections 4 to 7): header, features, STARTTLS,
//! login, and after it a session or the resumption of one.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::connection::Stage;
use super::keys::{Hash, Keys};
use super::model::Model;
use super::sasl::{self, ClientFirst, Mechanism, Scram};
use super::{ConnectionId, Mechanisms, Note, ServerTransport, ns};
use crate::xml::{Element, Frame};
use crate::{SaslCondition, Security, StreamCondition};

/// Keys by account, password and hash.
pub(super) type Derived = BTreeMap<(String, String, Hash), Keys>;

/// Logins that may fail on one connection.
const FAILURES: u8 = 5;

/// What becomes of the bytes after a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// They go on in the same stream.
    Continue,
    /// They begin a new one. RFC 6120, section 4.3.3.
    Restart,
}

impl Model {
    /// Whether bytes of this connection are heard.
    pub(super) fn hears(&self, id: ConnectionId) -> bool {
        let stage = self.hub.connections.get(&id).map(|c| &c.stage);
        stage.is_some_and(|stage| !matches!(stage, Stage::Over | Stage::Tls))
    }

    pub(super) fn on_frame(&mut self, id: ConnectionId, frame: Frame<'_>) -> Then {
        match frame {
            Frame::Open(open) => {
                self.on_header(id, open);
                Then::Continue
            }
            // RFC 6120 section 4.4: the other side closes too.
            Frame::Close => {
                self.end(id, None);
                Then::Continue
            }
            Frame::Stanza(element) => self.on_element(id, element),
        }
    }

    fn on_header(&mut self, id: ConnectionId, open: Element<'_>) {
        let Some(connection) = self.hub.connections.get_mut(&id) else {
            return;
        };
        let stage = core::mem::replace(&mut connection.stage, Stage::Open);
        let Stage::Header { account } = stage else {
            connection.stage = stage;
            return self.end(id, Some(StreamCondition::BadFormat));
        };
        if !open.is("stream", ns::STREAM) {
            return self.end(id, Some(StreamCondition::InvalidNamespace));
        }
        let major = open.attr("version").and_then(|v| v.split('.').next());
        if major.and_then(|v| v.parse::<u32>().ok()).unwrap_or(0) < 1 {
            return self.end(id, Some(StreamCondition::UnsupportedVersion));
        }
        let to = open.attr("to").unwrap_or_default();
        if !to.eq_ignore_ascii_case(&self.hub.setup.domain) {
            return self.end(id, Some(StreamCondition::HostUnknown));
        }
        self.hub.say_header(id);
        match account {
            None => self.offer_login(id),
            Some(account) => {
                self.note_trust(id, &account);
                self.offer_session(id);
                if let Some(connection) = self.hub.connections.get_mut(&id) {
                    connection.stage = Stage::LoggedIn { account };
                }
            }
        }
    }

    fn offer_login(&mut self, id: ConnectionId) {
        let Some(connection) = self.hub.connections.get(&id) else {
            return;
        };
        let tls = self.hub.setup.tls && !connection.is_secure();
        let fewer = self.mechanisms.filter(|(_, until)| self.hub.now < *until);
        if let Some(connection) = self.hub.connections.get_mut(&id) {
            connection.mechanisms = fewer.map(|(left, _)| left);
        }
        let mechanisms = if tls { Vec::new() } else { self.mechanisms(id) };
        let binding = mechanisms
            .iter()
            .any(|m| matches!(m, Mechanism::Scram { plus: true, .. }));
        self.hub.say(id, |w| {
            w.start("stream:features");
            if tls {
                w.start("starttls").attr("xmlns", ns::TLS);
                w.start("required").end();
                w.end();
            } else {
                w.start("mechanisms").attr("xmlns", ns::SASL);
                for mechanism in mechanisms {
                    w.start("mechanism").text(mechanism.name()).end();
                }
                w.end();
            }
            if binding {
                w.start("sasl-channel-binding").attr("xmlns", ns::SASL_CB);
                w.start("channel-binding")
                    .attr("type", "tls-exporter")
                    .end();
                w.end();
            }
            w.end();
        });
    }

    fn offer_session(&mut self, id: ConnectionId) {
        let sm = self.hub.resumption().is_some();
        let limit = self.stanza_limit.map(|most| alloc::format!("{most}"));
        let prosody = self.hub.is_prosody();
        self.hub.say(id, |w| {
            w.start("stream:features");
            w.start("bind").attr("xmlns", ns::BIND);
            if prosody {
                w.start("required").end();
            }
            w.end();
            w.start("session").attr("xmlns", ns::SESSION);
            w.start("optional").end();
            w.end();
            // Measured: both still offer the version before, in which the model does
            // not speak.
            for version in ["urn:xmpp:sm:2", ns::SM].into_iter().filter(|_| sm) {
                w.start("sm").attr("xmlns", version);
                if prosody {
                    w.start("optional").end();
                }
                w.end();
            }
            if let Some(limit) = &limit {
                w.start("limits").attr("xmlns", ns::LIMITS);
                w.start("max-bytes").text(limit).end();
                w.end();
            }
            if prosody {
                w.start("c")
                    .attr("xmlns", ns::CAPS)
                    .attr("hash", "sha-1")
                    .attr("node", "http://prosody.im")
                    .attr("ver", "iCp8o1mZcQHGRkhyzrHFDr5XTjo=")
                    .end();
                w.start("sub")
                    .attr("xmlns", "urn:xmpp:features:pre-approval")
                    .end();
                w.start("ver")
                    .attr("xmlns", "urn:xmpp:features:rosterver")
                    .end();
            }
            w.end();
        });
    }

    /// The mechanisms that are offered on this connection, the best first.
    fn mechanisms(&self, id: ConnectionId) -> Vec<Mechanism> {
        let setup = &self.hub.setup;
        let connection = self.hub.connections.get(&id);
        let secure = connection.is_some_and(super::connection::Connection::is_secure);
        let binds = setup.channel_binding && self.exporter(id).is_some();
        let left = connection.and_then(|connection| connection.mechanisms);
        let is_left = |mechanism: &Mechanism| match (left, mechanism) {
            (None, _) | (Some(_), Mechanism::Plain) => true,
            (Some(Mechanisms::Plain), _) => false,
            (Some(Mechanisms::Unbound), Mechanism::Scram { plus, .. }) => !plus,
            (Some(Mechanisms::Sha1), Mechanism::Scram { hash, .. }) => *hash == Hash::Sha1,
        };
        let offered = |mechanism: &Mechanism| match mechanism {
            Mechanism::Plain => setup.plain && secure,
            Mechanism::Scram { plus, .. } => !plus || binds,
        };
        let all = Mechanism::ALL.into_iter().filter(offered);
        all.filter(is_left).collect()
    }

    fn exporter(&self, id: ConnectionId) -> Option<&[u8]> {
        match &self.hub.connections.get(&id)?.security {
            Security::Tls(binding) => binding.exporter.as_deref(),
            Security::Clear { .. } => None,
        }
    }

    fn on_element(&mut self, id: ConnectionId, element: Element<'_>) -> Then {
        let Some(connection) = self.hub.connections.get_mut(&id) else {
            return Then::Continue;
        };
        if element.is("error", ns::STREAM) {
            // RFC 6120 section 4.9.1.1: the stream is over on both sides.
            self.end(id, None);
            return Then::Continue;
        }
        match &connection.stage {
            Stage::Bound(session) => {
                let session = *session;
                self.on_bound(id, session, element);
            }
            Stage::LoggedIn { account } => {
                let account = account.clone();
                self.on_logged_in(id, &account, element);
            }
            Stage::Open if element.is("starttls", ns::TLS) => self.start_tls(id),
            Stage::Open | Stage::Plain | Stage::Scram(_) if element.ns() == ns::SASL => {
                return self.on_sasl(id, element);
            }
            // RFC 6120 section 4.9.3.12: "The entity has attempted to send XML stanzas
            // or other outbound data before the stream has been authenticated".
            _ => self.end(id, Some(StreamCondition::NotAuthorized)),
        }
        Then::Continue
    }

    fn start_tls(&mut self, id: ConnectionId) {
        let setup = &self.hub.setup;
        let Some(connection) = self.hub.connections.get_mut(&id) else {
            return;
        };
        if !setup.tls || connection.is_secure() {
            // RFC 6120 section 5.4.2.2: a failure, and the stream is closed.
            self.hub.say(id, |w| {
                w.start("failure").attr("xmlns", ns::TLS).end();
            });
            return self.end(id, None);
        }
        connection.stage = Stage::Tls;
        // A new stream follows: whoever ends it has to open it first.
        connection.opened = false;
        connection.transport = ServerTransport::StartTls;
        self.hub.say(id, |w| {
            w.start("proceed").attr("xmlns", ns::TLS).end();
        });
    }

    fn on_sasl(&mut self, id: ConnectionId, element: Element<'_>) -> Then {
        match self
            .sasl_step(id, element)
            .and_then(|step| self.admitted(id, step))
        {
            Ok(SaslStep::Challenge(message, stage)) => {
                self.set_stage(id, stage);
                self.hub.say(id, |w| {
                    w.start("challenge")
                        .attr("xmlns", ns::SASL)
                        .text(&sasl::encode(message.as_bytes()))
                        .end();
                });
                Then::Continue
            }
            Ok(SaslStep::Success(account, message)) => {
                self.hub.say(id, |w| {
                    w.start("success").attr("xmlns", ns::SASL);
                    if !message.is_empty() {
                        w.text(&sasl::encode(message.as_bytes()));
                    }
                    w.end();
                });
                let account = Some(account);
                self.set_stage(id, Stage::Header { account });
                if let Some(connection) = self.hub.connections.get_mut(&id) {
                    connection.opened = false;
                }
                Then::Restart
            }
            Err(condition) => {
                self.set_stage(id, Stage::Open);
                let prosody = self.hub.is_prosody();
                let explains = !prosody || condition == SaslCondition::NotAuthorized;
                self.hub.say(id, |w| {
                    w.start("failure").attr("xmlns", ns::SASL);
                    w.start(condition.as_str()).end();
                    if explains {
                        w.start("text");
                        if !prosody {
                            w.attr("xml:lang", "en");
                        }
                        w.text("You may not").end();
                    }
                    w.end();
                });
                let failures = self.hub.connections.get_mut(&id).map_or(0, |connection| {
                    connection.failures = connection.failures.saturating_add(1);
                    connection.failures
                });
                if failures >= FAILURES {
                    // RFC 6120 section 6.4.5.
                    self.end(id, Some(StreamCondition::PolicyViolation));
                }
                Then::Continue
            }
        }
    }

    /// What becomes of a login that is right: it may be refused all the same, or be
    /// answered by somebody else.
    fn admitted(&mut self, id: ConnectionId, step: SaslStep) -> Result<SaslStep, SaslCondition> {
        let SaslStep::Success(account, proof) = step else {
            return Ok(step);
        };
        if let Some((condition, left)) = self.refused_logins.get_mut(&account)
            && *left > 0
        {
            *left = left.saturating_sub(1);
            return Err(*condition);
        }
        let lie = self.false_proofs.get_mut(&account);
        let proof = match lie.filter(|(_, left)| *left > 0 && !proof.is_empty()) {
            None => proof,
            Some((missing, left)) => {
                *left = left.saturating_sub(1);
                if let Some(connection) = self.hub.connections.get_mut(&id) {
                    connection.false_proof = true;
                }
                self.hub.note(Note::FalseProof {
                    connection: id,
                    account: account.clone(),
                });
                if *missing {
                    String::new()
                } else {
                    alloc::format!("v={}", sasl::encode(&[0; 32]))
                }
            }
        };
        Ok(SaslStep::Success(account, proof))
    }

    /// A client goes on after a login.
    fn note_trust(&mut self, id: ConnectionId, account: &str) {
        let connection = self.hub.connections.get(&id);
        if connection.is_some_and(|connection| connection.false_proof) {
            self.hub.note(Note::Trusted {
                connection: id,
                account: account.into(),
            });
        }
    }

    fn set_stage(&mut self, id: ConnectionId, stage: Stage) {
        if let Some(connection) = self.hub.connections.get_mut(&id) {
            connection.stage = stage;
        }
    }

    fn sasl_step(
        &mut self,
        id: ConnectionId,
        element: Element<'_>,
    ) -> Result<SaslStep, SaslCondition> {
        let Some(connection) = self.hub.connections.get_mut(&id) else {
            return Err(SaslCondition::Aborted);
        };
        let stage = core::mem::replace(&mut connection.stage, Stage::Open);
        match (element.name(), stage) {
            ("auth", Stage::Open) => {
                let name = element.attr("mechanism").unwrap_or_default();
                let offered = self.offered(id);
                let mechanism = offered.iter().find(|m| m.name() == name);
                // RFC 6120 section 6.5.4.
                if self.hub.setup.tls && offered.is_empty() {
                    return Err(SaslCondition::EncryptionRequired);
                }
                let mechanism = *mechanism.ok_or(SaslCondition::InvalidMechanism)?;
                let message = sasl::decode(element.text())?;
                match mechanism {
                    Mechanism::Plain if message.is_empty() => {
                        Ok(SaslStep::Challenge(String::new(), Stage::Plain))
                    }
                    Mechanism::Plain => self.plain(&message),
                    Mechanism::Scram { hash, plus } => {
                        let binds = offered
                            .iter()
                            .any(|m| matches!(m, Mechanism::Scram { plus: true, .. }));
                        self.scram(id, hash, plus, binds, &message)
                    }
                }
            }
            ("response", Stage::Plain) => self.plain(&sasl::decode(element.text())?),
            ("response", Stage::Scram(scram)) => {
                let last = scram.finish(&sasl::decode(element.text())?)?;
                Ok(SaslStep::Success(scram.account.clone(), last))
            }
            ("abort", _) => Err(SaslCondition::Aborted),
            _ => Err(SaslCondition::MalformedRequest),
        }
    }

    /// The mechanisms of the features that were sent: none before TLS.
    fn offered(&self, id: ConnectionId) -> Vec<Mechanism> {
        let connection = self.hub.connections.get(&id);
        if self.hub.setup.tls && connection.is_some_and(|c| !c.is_secure()) {
            return Vec::new();
        }
        self.mechanisms(id)
    }

    fn plain(&self, message: &str) -> Result<SaslStep, SaslCondition> {
        let (name, password) = sasl::plain(message)?;
        match self.password(name) {
            Some(right) if right == password => Ok(SaslStep::Success(name.into(), String::new())),
            _ => Err(SaslCondition::NotAuthorized),
        }
    }

    fn scram(
        &mut self,
        id: ConnectionId,
        hash: Hash,
        plus: bool,
        offered: bool,
        message: &str,
    ) -> Result<SaslStep, SaslCondition> {
        let first = ClientFirst::read(message, plus, offered)?;
        let keys = self
            .keys(&first.name, hash)
            .ok_or(SaslCondition::NotAuthorized)?;
        let channel = self
            .exporter(id)
            .filter(|_| plus)
            .unwrap_or_default()
            .to_vec();
        let nonce = self.hub.ids.nonce();
        let rounds = self.hub.setup.rounds;
        let (scram, message) = Scram::start(hash, &first, keys, rounds, &nonce, &channel);
        Ok(SaslStep::Challenge(message, Stage::Scram(Box::new(scram))))
    }

    fn password(&self, account: &str) -> Option<&str> {
        if let Some(password) = self.passwords.get(account) {
            return Some(password);
        }
        let mut accounts = self.hub.setup.accounts.iter();
        let found = accounts.find(|(name, _)| name == account);
        found.map(|(_, password)| password.as_str())
    }

    fn keys(&mut self, account: &str, hash: Hash) -> Option<Keys> {
        let password = String::from(self.password(account)?);
        if let Some(keys) = self.hub.setup.keys(account, &password, hash) {
            return Some(keys.clone());
        }
        let rounds = self.hub.setup.rounds;
        let keys = self
            .derived
            .entry((account.into(), password.clone(), hash))
            .or_insert_with(|| Keys::derive(hash, account, &password, rounds));
        Some(keys.clone())
    }
}

/// What a SASL element leads to.
enum SaslStep {
    /// This is asked, then something waited for.
    Challenge(String, Stage),
    /// Who is logged in, and the server's proof.
    Success(String, String),
}
