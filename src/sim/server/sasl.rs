//! Logins from the server's side: PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677),
//! with and without `tls-exporter` (RFC 9266).
//!
//! No authorization identity but the account's own is taken, no extension is
//! known, nothing is normalised: names and passwords are compared byte by byte.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::keys::{Hash, Keys};
use crate::SaslCondition;

/// A mechanism that the model knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    Plain,
    Scram { hash: Hash, plus: bool },
}

impl Mechanism {
    pub(super) const ALL: [Self; 5] = [
        Self::scram(Hash::Sha256, true),
        Self::scram(Hash::Sha1, true),
        Self::scram(Hash::Sha256, false),
        Self::scram(Hash::Sha1, false),
        Self::Plain,
    ];

    const fn scram(hash: Hash, plus: bool) -> Self {
        Self::Scram { hash, plus }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram {
                hash: Hash::Sha1,
                plus: false,
            } => "SCRAM-SHA-1",
            Self::Scram {
                hash: Hash::Sha1,
                plus: true,
            } => "SCRAM-SHA-1-PLUS",
            Self::Scram {
                hash: Hash::Sha256,
                plus: false,
            } => "SCRAM-SHA-256",
            Self::Scram {
                hash: Hash::Sha256,
                plus: true,
            } => "SCRAM-SHA-256-PLUS",
        }
    }
}

pub(super) fn encode(message: &[u8]) -> String {
    STANDARD.encode(message)
}

/// Decodes the text of a SASL element; `=` is nothing (RFC 6120, section 6.4.2).
pub(super) fn decode(text: &str) -> Result<String, SaslCondition> {
    if text == "=" {
        return Ok(String::new());
    }
    let bytes = STANDARD.decode(text);
    let bytes = bytes.map_err(|_| SaslCondition::IncorrectEncoding)?;
    String::from_utf8(bytes).map_err(|_| SaslCondition::MalformedRequest)
}

/// Takes PLAIN's message apart: name and password. RFC 4616, section 2.
pub(super) fn plain(message: &str) -> Result<(&str, &str), SaslCondition> {
    let mut parts = message.split('\0');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(authzid), Some(name), Some(password), None) if !name.is_empty() => {
            if authzid.is_empty() || authzid.split('@').next() == Some(name) {
                Ok((name, password))
            } else {
                Err(SaslCondition::InvalidAuthzid)
            }
        }
        _ => Err(SaslCondition::MalformedRequest),
    }
}

/// The client's first message, read.
#[derive(Debug)]
pub(super) struct ClientFirst<'a> {
    /// With its last comma.
    gs2: &'a str,
    bare: &'a str,
    nonce: &'a str,
    /// Escapes resolved.
    pub(super) name: String,
}

impl<'a> ClientFirst<'a> {
    /// `plus`: the mechanism binds; `offered`: one that binds was offered.
    pub(super) fn read(message: &'a str, plus: bool, offered: bool) -> Result<Self, SaslCondition> {
        let malformed = SaslCondition::MalformedRequest;
        let (flag, rest) = message.split_once(',').ok_or(malformed)?;
        let (authzid, bare) = rest.split_once(',').ok_or(malformed)?;
        match flag {
            "n" if !plus => {}
            // RFC 5802 section 6: "If the flag is set to "y" and the server
            // supports channel binding, the server MUST fail authentication."
            "y" if !plus && !offered => {}
            "y" if !plus => return Err(SaslCondition::NotAuthorized),
            "p=tls-exporter" if plus => {}
            _ => return Err(malformed),
        }
        if !authzid.is_empty() {
            return Err(SaslCondition::InvalidAuthzid);
        }
        let mut attributes = bare.split(',');
        let name = attributes.next().and_then(|name| name.strip_prefix("n="));
        let nonce = attributes.next().and_then(|nonce| nonce.strip_prefix("r="));
        let (Some(name), Some(nonce)) = (name, nonce.filter(|nonce| !nonce.is_empty())) else {
            return Err(malformed);
        };
        let at = message.len().saturating_sub(bare.len());
        Ok(Self {
            gs2: message.get(..at).unwrap_or_default(),
            bare,
            nonce,
            name: name.replace("=2C", ",").replace("=3D", "="),
        })
    }
}

/// A SCRAM exchange that waits for the client's last message.
#[derive(Debug)]
pub(super) struct Scram {
    hash: Hash,
    keys: Keys,
    pub(super) account: String,
    /// client-first-message-bare "," server-first-message ","
    transcript: String,
    /// What the last message has to be, without the proof.
    expected: String,
}

impl Scram {
    /// Begins; gives the server-first-message too.
    pub(super) fn start(
        hash: Hash,
        first: &ClientFirst<'_>,
        keys: Keys,
        rounds: u32,
        nonce: &str,
        channel: &[u8],
    ) -> (Self, String) {
        let nonce = format!("{}{nonce}", first.nonce);
        let message = format!("r={nonce},s={},i={rounds}", encode(&keys.salt));
        let bound = [first.gs2.as_bytes(), channel].concat();
        let scram = Self {
            hash,
            keys,
            account: first.name.clone(),
            transcript: format!("{},{message},", first.bare),
            expected: format!("c={},r={nonce}", encode(&bound)),
        };
        (scram, message)
    }

    /// Takes the client-final-message; gives the server-final-message.
    pub(super) fn finish(&self, message: &str) -> Result<String, SaslCondition> {
        let (without_proof, proof) = message
            .rsplit_once(",p=")
            .ok_or(SaslCondition::MalformedRequest)?;
        let proof = STANDARD
            .decode(proof)
            .map_err(|_| SaslCondition::MalformedRequest)?;
        let auth = format!("{}{without_proof}", self.transcript);
        let signature = self.hash.hmac(&self.keys.stored, auth.as_bytes());
        let client: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let right = without_proof == self.expected
            && proof.len() == signature.len()
            && self.hash.digest(&client) == self.keys.stored;
        if !right {
            return Err(SaslCondition::NotAuthorized);
        }
        let signature = self.hash.hmac(&self.keys.server, auth.as_bytes());
        Ok(format!("v={}", encode(&signature)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_is_three_parts() {
        assert_eq!(plain("\0alice\0secret"), Ok(("alice", "secret")));
        assert_eq!(plain("alice@x\0alice\0s"), Ok(("alice", "s")));
        assert_eq!(plain("bob\0alice\0s"), Err(SaslCondition::InvalidAuthzid));
        assert_eq!(plain("\0alice"), Err(SaslCondition::MalformedRequest));
        assert_eq!(plain("\0\0s"), Err(SaslCondition::MalformedRequest));
    }

    #[test]
    fn who_heard_of_no_binding_that_was_offered_was_lied_to() {
        let read = |message, plus, offered| ClientFirst::read(message, plus, offered).map(|_| ());
        assert_eq!(
            read("y,,n=a,r=x", false, true),
            Err(SaslCondition::NotAuthorized)
        );
        assert_eq!(read("y,,n=a,r=x", false, false), Ok(()));
        assert_eq!(read("p=tls-exporter,,n=a,r=x", true, true), Ok(()));
        assert_eq!(
            read("n,,n=a,r=x", true, true),
            Err(SaslCondition::MalformedRequest)
        );
        assert_eq!(
            read("n,,n=a,r=", false, false),
            Err(SaslCondition::MalformedRequest)
        );
    }

    #[test]
    fn names_are_unescaped_once() {
        let first = ClientFirst::read("n,,n=a=2Cb=3D2C,r=x", false, false);
        assert_eq!(first.map(|first| first.name), Ok(String::from("a,b=2C")));
    }
}
