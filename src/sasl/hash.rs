//! The hash functions of SCRAM, their HMAC (RFC 2104), and the key derivation
//! Hi() (RFC 5802, section 2.2: PBKDF2 of RFC 2898 with one block), in slices.
//!
//! Everything that depends on the password is wiped when dropped, the inner
//! states of the hash functions included.

use alloc::boxed::Box;
use alloc::vec::Vec;

use hmac::digest::{Digest, Output, common::Key};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use zeroize::{Zeroize as _, Zeroizing};

/// A hash function that a SCRAM mechanism is named after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hash {
    /// RFC 5802.
    Sha1,
    /// RFC 7677.
    Sha256,
    /// Registered after the pattern of RFC 5802, section 4.
    Sha512,
}

/// Bytes that are wiped when dropped.
pub(super) type Secret = Zeroizing<Vec<u8>>;

/// Evaluates the body with `$D` naming the hash function that `$hash` stands for.
macro_rules! with_hash {
    ($hash:expr, $D:ident => $body:expr) => {
        match $hash {
            Hash::Sha1 => {
                type $D = Sha1;
                $body
            }
            Hash::Sha256 => {
                type $D = Sha256;
                $body
            }
            Hash::Sha512 => {
                type $D = Sha512;
                $body
            }
        }
    };
}

impl Hash {
    /// H(data).
    pub(super) fn digest(self, data: &[u8]) -> Secret {
        with_hash!(self, D => secret::<D>(D::digest(data)))
    }

    /// HMAC(key, data).
    pub(super) fn hmac(self, key: &[u8], data: &[u8]) -> Secret {
        with_hash!(self, D => {
            secret::<D>(keyed::<D>(key).chain_update(data).finalize().into_bytes())
        })
    }

    /// Whether `tag` is HMAC(key, data), whole; takes the same time for any tag of its length.
    pub(super) fn verifies(self, key: &[u8], data: &[u8], tag: &[u8]) -> bool {
        with_hash!(self, D => keyed::<D>(key).chain_update(data).verify_slice(tag).is_ok())
    }
}

/// Hi(password, salt, iterations), as far as it has got.
pub(super) enum Derivation {
    Sha1(Rounds<Sha1>),
    Sha256(Rounds<Sha256>),
    Sha512(Box<Rounds<Sha512>>),
}

impl Derivation {
    /// Does the first of `iterations` rounds.
    pub(super) fn start(hash: Hash, password: &str, salt: &[u8], iterations: u32) -> Self {
        match hash {
            Hash::Sha1 => Self::Sha1(Rounds::start(password, salt, iterations)),
            Hash::Sha256 => Self::Sha256(Rounds::start(password, salt, iterations)),
            Hash::Sha512 => Self::Sha512(Box::new(Rounds::start(password, salt, iterations))),
        }
    }

    /// Does at most `rounds` more; gives the salted password when none is left.
    pub(super) fn advance(&mut self, rounds: u32) -> Option<Secret> {
        match self {
            Self::Sha1(state) => state.advance(rounds),
            Self::Sha256(state) => state.advance(rounds),
            Self::Sha512(state) => state.advance(rounds),
        }
    }
}

/// The state of one derivation. The keyed HMAC is computed once and copied for
/// each round, which saves half of the compressions.
pub(super) struct Rounds<D: Function> {
    keyed: D::Mac,
    last: Output<D>,
    sum: Output<D>,
    left: u32,
}

impl<D: Function> Rounds<D> {
    fn start(password: &str, salt: &[u8], iterations: u32) -> Self {
        let keyed = D::keyed(password.as_bytes());
        let first = D::tag(&keyed, &[salt, &1_u32.to_be_bytes()]);
        Self {
            keyed,
            last: first.clone(),
            sum: first,
            left: iterations.saturating_sub(1),
        }
    }

    fn advance(&mut self, rounds: u32) -> Option<Secret> {
        let rounds = rounds.min(self.left);
        for _ in 0..rounds {
            self.last = D::tag(&self.keyed, &[&self.last]);
            for (sum, byte) in self.sum.iter_mut().zip(&self.last) {
                *sum ^= byte;
            }
        }
        self.left = self.left.saturating_sub(rounds);
        (self.left == 0).then(|| Zeroizing::new(self.sum.to_vec()))
    }
}

impl<D: Function> Drop for Rounds<D> {
    fn drop(&mut self) {
        self.last.as_mut_slice().zeroize();
        self.sum.as_mut_slice().zeroize();
    }
}

/// What [`Rounds`] needs of a hash function.
pub(super) trait Function: Digest {
    type Mac;
    fn keyed(key: &[u8]) -> Self::Mac;
    fn tag(keyed: &Self::Mac, data: &[&[u8]]) -> Output<Self>;
}

macro_rules! functions {
    ($($D:ident),*) => {$(
        impl Function for $D {
            type Mac = Hmac<Self>;

            fn keyed(key: &[u8]) -> Self::Mac {
                let mut block = Key::<Self::Mac>::default();
                if key.len() > block.len() {
                    // RFC 2104, section 2: a key longer than a block is hashed first.
                    fill(&mut block, &secret::<Self>(Self::digest(key)));
                } else {
                    fill(&mut block, key);
                }
                let keyed = Hmac::new(&block);
                block.as_mut_slice().zeroize();
                keyed
            }

            fn tag(keyed: &Self::Mac, data: &[&[u8]]) -> Output<Self> {
                let mut mac = keyed.clone();
                for part in data {
                    mac.update(part);
                }
                mac.finalize().into_bytes()
            }
        }
    )*};
}

functions!(Sha1, Sha256, Sha512);

fn keyed<D: Function>(key: &[u8]) -> D::Mac {
    D::keyed(key)
}

fn fill(block: &mut [u8], key: &[u8]) {
    for (slot, byte) in block.iter_mut().zip(key) {
        *slot = *byte;
    }
}

fn secret<D: Digest>(mut output: Output<D>) -> Secret {
    let copy = Zeroizing::new(output.to_vec());
    output.as_mut_slice().zeroize();
    copy
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    const ALL: [Hash; 3] = [Hash::Sha1, Hash::Sha256, Hash::Sha512];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn derive(hash: Hash, password: &str, salt: &[u8], iterations: u32, slice: u32) -> String {
        let mut derivation = Derivation::start(hash, password, salt, iterations);
        loop {
            if let Some(salted) = derivation.advance(slice) {
                return hex(&salted);
            }
        }
    }

    #[test]
    fn derivation_agrees_with_another_implementation() {
        // python3: hashlib.pbkdf2_hmac(NAME, PASSWORD, SALT, ROUNDS).hex(). The last
        // password is longer than a block of SHA-1 and SHA-256, the one before
        // exactly as long.
        let cases: &[(Hash, &str, &[u8], u32, &str)] = &[
            (
                Hash::Sha1,
                "pencil",
                b"salt",
                1,
                "d27d9bf6fc05e05e8513a5cfa79aeb021e713c45",
            ),
            (
                Hash::Sha1,
                "pencil",
                b"salt",
                4096,
                "3d7e09882145ad17808119807c66cadbbdcc0461",
            ),
            (
                Hash::Sha1,
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                b"NaCl",
                20,
                "b3736e921da4cff89fe9728a088ee046bff55a9a",
            ),
            (
                Hash::Sha1,
                "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
                b"NaCl",
                20,
                "31daeda80d8fcfbfc0ba16859551d1084cc8cc57",
            ),
            (
                Hash::Sha256,
                "pencil",
                b"salt",
                1,
                "8daa4b2090c9247ba2cd2059d2a98e1261a3b092938991a5cb7f7df0909b3cec",
            ),
            (
                Hash::Sha256,
                "pencil",
                b"salt",
                4096,
                "0997564f292923271312698037b6b0a06a8be7fbd912480847c5a1ace4b8d1c7",
            ),
            (
                Hash::Sha256,
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                b"NaCl",
                20,
                "edcffd9147b4ca8264cfc3c486693c38e7e7b6a18ff17acb4a06600da5b63a73",
            ),
            (
                Hash::Sha256,
                "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
                b"NaCl",
                20,
                "eb45e42c608505b66503a96d75b02c2c6b1b7ea545ba40d85330cb3a88429f01",
            ),
            (
                Hash::Sha512,
                "pencil",
                b"salt",
                1,
                "e6b56345efa66fcec7ffa2f911f793fba21eeb14fe99e57120ffac062f2e814071baf11bf3324c21739c8b6c86739c153b7ebde13adf8deb70c2850152285ab9",
            ),
            (
                Hash::Sha512,
                "pencil",
                b"salt",
                4096,
                "2cfe3a1c151662b1ea49d13f595674a1c666add70df15d3d02254e9905993878261da7407fd11c2fee4b0a30df5154b1a752f86a13380ddd4bdd9a7c958ec769",
            ),
            (
                Hash::Sha512,
                "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                b"NaCl",
                20,
                "f982fc0a80d77d09733df9903e390d1c9c08e8cafec7c84187efd2a1dadb39245f4b700f2c1458128e30e51cfbc4bca086f30b3dd091e1520413ae49e05f36c9",
            ),
            (
                Hash::Sha512,
                "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy",
                b"NaCl",
                20,
                "6e198a1df225cce3bad461193f7b2db31829e8b0393ea4c683471b37a93ae407cd64e6081f75497abe63a83581944a7cd2dc90cf0d0aa888c01d92e5b699b60b",
            ),
        ];
        for (hash, password, salt, iterations, expected) in cases {
            for slice in [1, 7, 4096, u32::MAX] {
                assert_eq!(derive(*hash, password, salt, *iterations, slice), *expected);
            }
        }
    }

    #[test]
    fn a_slice_does_no_more_than_it_may() {
        let mut derivation = Derivation::start(Hash::Sha256, "p", b"s", 10);
        assert!(derivation.advance(0).is_none());
        assert!(derivation.advance(8).is_none());
        assert!(derivation.advance(1).is_some());
    }

    #[test]
    fn inner_states_are_wiped() {
        // Holds as long as the features `zeroize` of these crates are switched on.
        // An Hmac is made of two of their states and a buffer.
        fn wiped<T: zeroize::ZeroizeOnDrop>() {}
        wiped::<Sha1>();
        wiped::<Sha256>();
        wiped::<Sha512>();
    }

    #[test]
    fn a_tag_counts_only_whole() {
        for hash in ALL {
            let tag = hash.hmac(b"key", b"data");
            assert!(hash.verifies(b"key", b"data", &tag));
            assert!(!hash.verifies(b"key", b"data", &tag[..tag.len() - 1]));
            assert!(!hash.verifies(b"key", b"data", &[]));
            assert!(!hash.verifies(b"kez", b"data", &tag));
        }
    }
}
