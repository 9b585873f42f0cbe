//! What a SCRAM server keeps of a password (RFC 5802, section 3), for SHA-1 and
//! SHA-256 (RFC 7677). Written from the formulas; shares no code with the client.
//!
//! The salt of an account is always the same, so that keys can be kept on both
//! sides from world to world. A real server draws it at random.

use alloc::vec::Vec;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// A hash function of SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Hash {
    Sha1,
    Sha256,
}

impl Hash {
    pub(super) fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(data).to_vec(),
            Self::Sha256 => Sha256::digest(data).to_vec(),
        }
    }

    /// HMAC; keys may have any length, so it never fails.
    pub(super) fn hmac(self, key: &[u8], data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Hmac::<Sha1>::new_from_slice(key)
                .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
            Self::Sha256 => Hmac::<Sha256>::new_from_slice(key)
                .map(|mac| mac.chain_update(data).finalize().into_bytes().to_vec()),
        }
        .unwrap_or_default()
    }
}

/// `StoredKey` and `ServerKey` of an account.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    pub(super) salt: Vec<u8>,
    pub(super) stored: Vec<u8>,
    pub(super) server: Vec<u8>,
}

impl Keys {
    pub(super) fn derive(hash: Hash, name: &str, password: &str, rounds: u32) -> Self {
        let mut salt = Hash::Sha256.hmac(b"salt", name.as_bytes());
        salt.truncate(16);
        // Hi(), which is PBKDF2 with one block.
        let password = password.as_bytes();
        let mut first = salt.clone();
        first.extend_from_slice(&[0, 0, 0, 1]);
        let mut block = hash.hmac(password, &first);
        let mut salted = block.clone();
        for _ in 1..rounds {
            block = hash.hmac(password, &block);
            for (sum, byte) in salted.iter_mut().zip(&block) {
                *sum ^= byte;
            }
        }
        Self {
            salt,
            stored: hash.digest(&hash.hmac(&salted, b"Client Key")),
            server: hash.hmac(&salted, b"Server Key"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_one_salt_and_each_hash_its_keys() {
        let keys = |hash, password| Keys::derive(hash, "alice", password, 2);
        let one = keys(Hash::Sha1, "secret");
        assert_eq!(one.salt, keys(Hash::Sha256, "other").salt);
        assert_eq!(one.stored, keys(Hash::Sha1, "secret").stored);
        assert_ne!(one.stored, keys(Hash::Sha1, "other").stored);
        assert_eq!(keys(Hash::Sha256, "secret").server.len(), 32);
    }
}
