//! SCRAM (RFC 5802) with SHA-1, SHA-256 (RFC 7677) and SHA-512, with and without
//! channel binding, and the downgrade protection of XEP-0474 v0.5.0.
//!
//! One struct for each thing that is waited for; a step consumes it. The
//! grammar is that of RFC 5802, section 7, to the letter, with these bounds: a
//! server's nonce is longer than ours and at most 1 KiB, its salt 1 byte to
//! 1 KiB, the rounds within the limits; an attribute occurs once.
//!
//! No authorization identity is sent, and no extension of ours.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::choice::{Binding, ScramChoice};
use super::hash::{Derivation, Hash, Secret};
use super::{cut, decode_bytes, encode};
use crate::config::Credentials;
use crate::error::{AuthFailure, SaslCondition};
use crate::planted::{Bug, planted};

const SALT_BYTES: usize = 1024;
const NONCE_BYTES: usize = 1024;

/// What a login derived from the password: good for the next one with the same
/// password, if the server names the same salt and rounds (RFC 5802, section
/// 5.1, under `i`). As secret as the password, and wiped when dropped.
#[derive(Clone)]
pub(crate) struct ScramKeys {
    hash: Hash,
    salt: Vec<u8>,
    iterations: u32,
    client: Secret,
    server: Secret,
}

impl ScramKeys {
    fn fit(&self, hash: Hash, salt: &[u8], iterations: u32) -> bool {
        self.hash == hash && self.salt == salt && self.iterations == iterations
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("hash", &self.hash)
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// The client-first-message is out; the server-first-message is waited for.
pub(super) struct First {
    choice: ScramChoice,
    password: Zeroizing<String>,
    nonce: String,
    /// The client-first-message-bare.
    bare: String,
    iterations: (u32, u32),
    cached: Option<ScramKeys>,
}

impl First {
    /// The client-first-message. RFC 5802, sections 5 and 7.
    pub(super) fn start(
        choice: ScramChoice,
        credentials: &Credentials,
        nonce: String,
        iterations: (u32, u32),
        cached: Option<&ScramKeys>,
    ) -> (Self, Vec<u8>) {
        let bare = format!("n={},r={nonce}", escape(credentials.username()));
        let message = format!("{}{bare}", gs2_header(&choice.binding));
        let first = Self {
            password: Zeroizing::new(credentials.password().into()),
            cached: cached.cloned(),
            choice,
            nonce,
            bare,
            iterations,
        };
        (first, message.into_bytes())
    }

    /// Takes the server-first-message; the keys have then to be derived, or are at hand.
    pub(super) fn server_first(self, message: &str) -> Result<Next, AuthFailure> {
        let hash = self.choice.hash;
        let said = ServerFirst::parse(message, self.choice.binding == Binding::Unoffered)?;

        let extended = said.nonce.strip_prefix(&*self.nonce);
        if extended.is_none_or(str::is_empty) {
            return Err(AuthFailure::BadMessage("the nonce does not extend ours"));
        }
        let (min, max) = self.iterations;
        let iterations = u32::try_from(said.iterations)
            .ok()
            .filter(|count| (min..=max).contains(count))
            .ok_or(AuthFailure::Iterations(said.iterations))?;
        match said.offer_hash {
            Some(claimed) if *claimed != *self.choice.offer => {
                return Err(AuthFailure::Downgraded);
            }
            None if self.choice.vouch => return Err(AuthFailure::Downgraded),
            _ => {}
        }

        let mut bound = gs2_header(&self.choice.binding).into_bytes();
        bound.extend_from_slice(self.choice.binding.data());
        let without_proof = format!("c={},r={}", encode(&bound), said.nonce);
        let transcript = Transcript {
            hash,
            unoffered: self.choice.binding == Binding::Unoffered,
            auth: format!("{},{message},{without_proof}", self.bare),
            without_proof,
        };
        if let Some(keys) = self
            .cached
            .filter(|keys| keys.fit(hash, &said.salt, iterations))
        {
            return Ok(Next::Respond(transcript.prove(keys)));
        }
        Ok(Next::Derive(Box::new(Deriving {
            derivation: Derivation::start(hash, &self.password, &said.salt, iterations),
            salt: said.salt,
            iterations,
            transcript,
        })))
    }
}

/// What follows on the server-first-message.
pub(super) enum Next {
    Derive(Box<Deriving>),
    Respond((Final, Vec<u8>)),
}

/// Keys are being derived; nothing is waited for.
pub(super) struct Deriving {
    derivation: Derivation,
    salt: Vec<u8>,
    iterations: u32,
    transcript: Transcript,
}

impl Deriving {
    /// Does at most `rounds` rounds, and gives the client-final-message after the last.
    pub(super) fn work(mut self: Box<Self>, rounds: u32) -> Result<(Final, Vec<u8>), Box<Self>> {
        let Some(salted) = self.derivation.advance(rounds) else {
            return Err(self);
        };
        let hash = self.transcript.hash;
        Ok(self.transcript.prove(ScramKeys {
            hash,
            client: hash.hmac(&salted, b"Client Key"),
            server: hash.hmac(&salted, b"Server Key"),
            salt: self.salt,
            iterations: self.iterations,
        }))
    }
}

/// What both sides have said so far.
struct Transcript {
    hash: Hash,
    /// We said `y`.
    unoffered: bool,
    /// AuthMessage of RFC 5802, section 3.
    auth: String,
    without_proof: String,
}

impl Transcript {
    /// The client-final-message. RFC 5802, section 3.
    fn prove(self, keys: ScramKeys) -> (Final, Vec<u8>) {
        let stored = self.hash.digest(&keys.client);
        let signature = self.hash.hmac(&stored, self.auth.as_bytes());
        let proof: Vec<u8> = (keys.client.iter().zip(signature.iter()))
            .map(|(key, signature)| key ^ signature)
            .collect();
        let message = format!("{},p={}", self.without_proof, encode(&proof));
        let waiting = Final {
            keys,
            auth: self.auth,
            unoffered: self.unoffered,
        };
        (waiting, message.into_bytes())
    }
}

/// The client-final-message is out; the server's proof is waited for.
pub(super) struct Final {
    keys: ScramKeys,
    auth: String,
    unoffered: bool,
}

impl Final {
    /// Takes the server-final-message, and gives the keys if it proves that the
    /// server knows the password too.
    pub(super) fn server_final(self, message: &str) -> Result<ScramKeys, AuthFailure> {
        let mut attributes = parse(message)?.into_iter();
        let signature = match attributes.next() {
            Some(('v', signature)) => decode_bytes(signature)?,
            Some(('e', error)) => return Err(server_error(error, self.unoffered)),
            _ => return Err(AuthFailure::ServerNotAuthenticated),
        };
        let ScramKeys { hash, server, .. } = &self.keys;
        let verified = hash.verifies(server, self.auth.as_bytes(), &signature);
        if verified || planted(Bug::SignatureUnverified) {
            Ok(self.keys)
        } else {
            Err(AuthFailure::ServerNotAuthenticated)
        }
    }
}

/// A server-first-message by its parts.
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: u64,
    /// `h` of XEP-0474.
    offer_hash: Option<&'a str>,
}

impl<'a> ServerFirst<'a> {
    fn parse(message: &'a str, unoffered: bool) -> Result<Self, AuthFailure> {
        let attributes = parse(message)?;
        let mut rest = attributes.into_iter();
        let nonce = match rest.next() {
            Some(('r', nonce)) => nonce,
            Some(('e', error)) => return Err(server_error(error, unoffered)),
            _ => return Err(AuthFailure::BadMessage("no nonce where it belongs")),
        };
        if nonce.len() > NONCE_BYTES || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AuthFailure::BadMessage(
                "the nonce is too long or not printable",
            ));
        }
        let Some(('s', salt)) = rest.next() else {
            return Err(AuthFailure::BadMessage("no salt where it belongs"));
        };
        let salt = decode_bytes(salt)?;
        if salt.is_empty() || salt.len() > SALT_BYTES {
            return Err(AuthFailure::BadMessage("the salt is empty or too long"));
        }
        let Some(('i', iterations)) = rest.next() else {
            return Err(AuthFailure::BadMessage(
                "no iteration count where it belongs",
            ));
        };
        Ok(Self {
            nonce,
            salt,
            iterations: positive(iterations)?,
            offer_hash: rest.find(|(name, _)| *name == 'h').map(|(_, hash)| hash),
        })
    }
}

/// The attributes of a message, in order. RFC 5802, sections 5.1 and 7.
fn parse(message: &str) -> Result<Vec<(char, &str)>, AuthFailure> {
    let mut attributes: Vec<(char, &str)> = Vec::new();
    for attribute in message.split(',') {
        let (name, value) = (attribute.split_once('='))
            .ok_or(AuthFailure::BadMessage("an attribute without a value"))?;
        let mut letters = name.chars();
        let (Some(name), None) = (letters.next(), letters.next()) else {
            return Err(AuthFailure::BadMessage(
                "an attribute's name is not one letter",
            ));
        };
        if !name.is_ascii_alphabetic() || value.is_empty() || value.contains('\0') {
            return Err(AuthFailure::BadMessage("a malformed attribute"));
        }
        if name == 'm' {
            return Err(AuthFailure::BadMessage(
                "a mandatory extension, which none is known of",
            ));
        }
        // There are 52 letters, so this is no long search.
        if attributes.iter().any(|(other, _)| *other == name) {
            return Err(AuthFailure::BadMessage("an attribute occurs twice"));
        }
        attributes.push((name, value));
    }
    Ok(attributes)
}

/// A posit-number; what does not fit is as large as can be.
fn positive(digits: &str) -> Result<u64, AuthFailure> {
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AuthFailure::BadMessage(
            "the iteration count is not a positive number",
        ));
    }
    Ok(digits.parse().unwrap_or(u64::MAX))
}

/// What a server-error-value means. RFC 5802, section 7.
fn server_error(value: &str, unoffered: bool) -> AuthFailure {
    let condition = match value {
        // The server offers channel binding, and its offer did not reach us.
        "server-does-support-channel-binding" if unoffered => return AuthFailure::Downgraded,
        "invalid-proof" | "unknown-user" | "channel-bindings-dont-match" => {
            SaslCondition::NotAuthorized
        }
        "invalid-encoding" | "invalid-username-encoding" => SaslCondition::IncorrectEncoding,
        "extensions-not-supported" => SaslCondition::MalformedRequest,
        "channel-binding-not-supported" | "unsupported-channel-binding-type" => {
            SaslCondition::InvalidMechanism
        }
        "no-resources" => SaslCondition::TemporaryAuthFailure,
        _ => SaslCondition::Undefined,
    };
    AuthFailure::Rejected {
        condition,
        text: Some(cut(value)),
    }
}

/// The GS2 header, without an authorization identity. RFC 5802, section 7.
fn gs2_header(binding: &Binding) -> String {
    match binding.kind() {
        Some(kind) => format!("p={kind},,"),
        None if *binding == Binding::Unoffered => "y,,".to_string(),
        None => "n,,".to_string(),
    }
}

/// A saslname. RFC 5802, section 5.1, under `n`.
fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}
