//! A SCRAM server (RFC 5802) for SHA-1 and SHA-256, written from the formulas of
//! its section 3. It shares no code with the client.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, and uses its own part of this module"
)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};
use sha2::Sha256;

/// One login, from the server's side.
pub struct Scram {
    sha256: bool,
    password: String,
    /// What of the nonce is the server's.
    pub nonce: String,
    pub salt: Vec<u8>,
    pub rounds: u32,
    gs2: String,
    bare: String,
    first: String,
}

impl Scram {
    pub fn new(mechanism: &str, password: &str) -> Self {
        Self {
            sha256: mechanism.starts_with("SCRAM-SHA-256"),
            password: password.into(),
            nonce: "server+nonce".into(),
            salt: b"a salt".to_vec(),
            rounds: 4096,
            gs2: String::new(),
            bare: String::new(),
            first: String::new(),
        }
    }

    /// Takes the text of `<auth/>`, gives the server-first-message.
    pub fn first(&mut self, auth: &str) -> String {
        let message = unbase64(auth);
        let at = message.match_indices(',').nth(1).expect("a GS2 header").0 + 1;
        let (gs2, bare) = message.split_at(at);
        let nonce = bare.split_once(",r=").expect("a nonce").1;
        self.first = format!(
            "r={nonce}{},s={},i={}",
            self.nonce,
            STANDARD.encode(&self.salt),
            self.rounds
        );
        (self.gs2, self.bare) = (gs2.into(), bare.into());
        self.first.clone()
    }

    /// Says something else first than [`Self::first`] made.
    pub fn replace_first(&mut self, message: &str) {
        self.first = message.into();
    }

    /// What the client called itself, escaped as it was sent.
    pub fn username(&self) -> &str {
        let name = self.bare.strip_prefix("n=").expect("a name");
        name.split_once(',').expect("its end").0
    }

    /// Takes the text of `<response/>`, gives the server-final-message if the
    /// client knows the password and bound to this channel.
    pub fn last(&self, response: &str, channel: &[u8]) -> Option<String> {
        let message = unbase64(response);
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let auth = format!("{},{},{without_proof}", self.bare, self.first);
        let salted = self.derive();
        let client = self.hmac(&salted, b"Client Key");
        let signature = self.hmac(&self.digest(&client), auth.as_bytes());
        let due: Vec<u8> = client.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        let bound = [self.gs2.as_bytes(), channel].concat();
        let nonce = self.first.strip_prefix("r=")?.split(',').next()?;
        (proof == STANDARD.encode(due)
            && without_proof == format!("c={},r={nonce}", STANDARD.encode(bound)))
        .then(|| {
            let server = self.hmac(&salted, b"Server Key");
            format!("v={}", STANDARD.encode(self.hmac(&server, auth.as_bytes())))
        })
    }

    /// SaltedPassword: PBKDF2 with one block.
    fn derive(&self) -> Vec<u8> {
        let password = self.password.as_bytes();
        let mut block = self.hmac(password, &[&self.salt[..], &[0, 0, 0, 1]].concat());
        let mut sum = block.clone();
        for _ in 1..self.rounds {
            block = self.hmac(password, &block);
            sum.iter_mut().zip(&block).for_each(|(sum, b)| *sum ^= b);
        }
        sum
    }

    fn hmac(&self, key: &[u8], data: &[u8]) -> Vec<u8> {
        if self.sha256 {
            let mac = Hmac::<Sha256>::new_from_slice(key).expect("a key");
            mac.chain_update(data).finalize().into_bytes().to_vec()
        } else {
            let mac = Hmac::<Sha1>::new_from_slice(key).expect("a key");
            mac.chain_update(data).finalize().into_bytes().to_vec()
        }
    }

    fn digest(&self, data: &[u8]) -> Vec<u8> {
        if self.sha256 {
            Sha256::digest(data).to_vec()
        } else {
            Sha1::digest(data).to_vec()
        }
    }
}

pub fn base64(message: &str) -> String {
    STANDARD.encode(message)
}

pub fn unbase64(text: &str) -> String {
    let bytes = STANDARD.decode(text).expect("base64");
    String::from_utf8(bytes).expect("text")
}
