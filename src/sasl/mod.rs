//! Logging in: SASL as XMPP profiles it (RFC 6120, section 6), with SCRAM and PLAIN.
//!
//! First [`choose`], then [`Exchange::start`], then feed what the server says.
//! Only an [`Exchange`] can make an [`Authenticated`], and of SCRAM only after the
//! server has proved that it knows the password too: a stream that asks for that
//! token cannot take a mere `<success/>` for a login.
//!
//! Key derivation is long work and done in slices, [`Exchange::work`].
//!
//! Nothing here sees XML, asks a clock or draws randomness. Nothing re-tries:
//! whether a refused login is tried again is for who counts attempts. SASL2
//! (XEP-0388), EXTERNAL and tokens are not spoken.

mod choice;
mod hash;
mod plain;
mod scram;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::{fmt, mem};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) use choice::{Choice, Offer, Policy, choose, named};
pub(crate) use scram::ScramKeys;

use crate::config::Credentials;
use crate::error::{AuthFailure, SaslCondition};
use choice::Kind;

/// The most characters of a message of the server, in base64.
const MESSAGE_CHARS: usize = 16 * 1024;
/// The most bytes kept of what a server says in words.
const TEXT_BYTES: usize = 1024;

/// One login, from the initial response on.
///
/// An error ends it: whatever comes after one is an error too.
pub(crate) struct Exchange {
    state: State,
}

enum State {
    /// The password is out.
    Plain,
    First(Box<scram::First>),
    Deriving(Box<scram::Deriving>),
    Final(Box<scram::Final>),
    /// The server has proved itself; its `<success/>` is waited for.
    Proven(ScramKeys),
    Failed,
}

/// What a challenge calls for.
pub(crate) enum Step {
    /// To send this.
    Respond(Vec<u8>),
    /// To call [`Exchange::work`] until it gives what to send.
    Work,
}

impl Exchange {
    /// Begins, and gives the initial response, not yet encoded.
    ///
    /// `nonce` must be fresh and random, printable ASCII without a comma.
    /// `iterations` are the least and the most rounds the server may ask for.
    /// `cached` are the keys of an earlier login with the same credentials; they
    /// are used if they fit what the server says.
    pub(crate) fn start(
        choice: Choice,
        credentials: &Credentials,
        nonce: String,
        iterations: (u32, u32),
        cached: Option<&ScramKeys>,
    ) -> (Self, Vec<u8>) {
        match choice.kind {
            Kind::Plain => (State::Plain.into(), plain::message(credentials)),
            Kind::Scram(choice) => {
                let (first, message) =
                    scram::First::start(choice, credentials, nonce, iterations, cached);
                (State::First(Box::new(first)).into(), message)
            }
        }
    }

    /// Takes the text of a `<challenge/>`, as on the wire.
    pub(crate) fn challenge(&mut self, text: &str) -> Result<Step, AuthFailure> {
        match mem::replace(&mut self.state, State::Failed) {
            State::First(first) => match first.server_first(&decode(text)?)? {
                scram::Next::Derive(deriving) => {
                    self.state = State::Deriving(deriving);
                    Ok(Step::Work)
                }
                scram::Next::Respond((waiting, message)) => {
                    self.state = State::Final(Box::new(waiting));
                    Ok(Step::Respond(message))
                }
            },
            // The server may send its proof like this, to have an empty response
            // and say <success/> then. RFC 4422, section 5 (2b).
            State::Final(waiting) => {
                self.state = State::Proven(waiting.server_final(&decode(text)?)?);
                Ok(Step::Respond(Vec::new()))
            }
            State::Plain | State::Deriving(_) | State::Proven(_) | State::Failed => {
                Err(AuthFailure::BadMessage("a challenge out of order"))
            }
        }
    }

    /// Whether there is work to do.
    #[cfg(test)]
    pub(crate) const fn is_working(&self) -> bool {
        matches!(self.state, State::Deriving(_))
    }

    /// Does at most `rounds` rounds of key derivation (one, if that is zero), and
    /// gives the response to send, not yet encoded, after the last one.
    ///
    /// `None` and nothing done if there is no work.
    pub(crate) fn work(&mut self, rounds: u32) -> Option<Vec<u8>> {
        match mem::replace(&mut self.state, State::Failed) {
            State::Deriving(deriving) => match deriving.work(rounds.max(1)) {
                Ok((waiting, message)) => {
                    self.state = State::Final(Box::new(waiting));
                    Some(message)
                }
                Err(unfinished) => {
                    self.state = State::Deriving(unfinished);
                    None
                }
            },
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Takes the text of `<success/>`, as on the wire; `None` if it has none.
    pub(crate) fn success(self, text: Option<&str>) -> Result<Authenticated, AuthFailure> {
        // RFC 6120, section 6.4.6: additional data of no length is `=`.
        let text = text.filter(|text| !matches!(*text, "" | "="));
        match (self.state, text) {
            (State::Plain, None) => Ok(Authenticated { keys: None }),
            (State::Proven(keys), None) => Ok(Authenticated { keys: Some(keys) }),
            (State::Final(waiting), Some(text)) => {
                let keys = waiting.server_final(&decode(text)?)?;
                Ok(Authenticated { keys: Some(keys) })
            }
            (State::First(_) | State::Deriving(_) | State::Final(_), _) => {
                Err(AuthFailure::ServerNotAuthenticated)
            }
            (State::Plain | State::Proven(_), Some(_)) => Err(AuthFailure::BadMessage(
                "data with <success/> that nothing asked for",
            )),
            (State::Failed, _) => Err(AuthFailure::BadMessage("<success/> after a failure")),
        }
    }
}

impl From<State> for Exchange {
    fn from(state: State) -> Self {
        Self { state }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            State::Plain => "Exchange(Plain)",
            State::First(_) => "Exchange(First)",
            State::Deriving(_) => "Exchange(Deriving)",
            State::Final(_) => "Exchange(Final)",
            State::Proven(_) => "Exchange(Proven)",
            State::Failed => "Exchange(Failed)",
        })
    }
}

/// The proof that a login took place. Made nowhere but in this module.
///
/// After SCRAM both sides know of each other that they know the password. After
/// PLAIN it says only that the server was content, which is all that PLAIN can give.
#[derive(Debug)]
pub(crate) struct Authenticated {
    keys: Option<ScramKeys>,
}

impl Authenticated {
    /// The derived keys, to be kept in memory for the next login.
    pub(crate) const fn take_keys(&mut self) -> Option<ScramKeys> {
        self.keys.take()
    }
}

/// What is sent, as text for the wire; nothing is an empty text.
///
/// The `=` of RFC 6120, section 6.4.2, which tells an initial response of no
/// length from none, is never needed: ours have some.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The server's `<failure/>`: the name of its condition, and its words.
pub(crate) fn failure(condition: &str, text: Option<&str>) -> AuthFailure {
    AuthFailure::Rejected {
        condition: SaslCondition::from_wire(condition),
        text: text.map(cut),
    }
}

/// A message of the server out of its text on the wire.
fn decode(text: &str) -> Result<String, AuthFailure> {
    if text.len() > MESSAGE_CHARS {
        return Err(AuthFailure::BadMessage("too long"));
    }
    let bytes = if text == "=" {
        Vec::new()
    } else {
        decode_bytes(text)?
    };
    String::from_utf8(bytes).map_err(|_| AuthFailure::BadMessage("not UTF-8"))
}

/// Strict base64 (RFC 4648, section 4): padded, no bits left over, nothing between.
fn decode_bytes(text: &str) -> Result<Vec<u8>, AuthFailure> {
    (STANDARD.decode(text)).map_err(|_| AuthFailure::BadMessage("not canonical base64"))
}

/// As much of a server's words as is kept.
fn cut(text: &str) -> String {
    (text.char_indices())
        .take_while(|(at, c)| at.saturating_add(c.len_utf8()) <= TEXT_BYTES)
        .map(|(_, c)| c)
        .collect()
}
