//! A SCRAM-SHA-1 client (RFC 5802, section 3), so that the login of a raw client
//! shares no code with the engine's.

use std::cell::RefCell;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};

const NONCE: &str = "a+nonce+of+the+client";

/// By password, salt and rounds.
type Salted = BTreeMap<(String, Vec<u8>, u32), Vec<u8>>;

thread_local! {
    /// Salted passwords: servers ask for ten thousand rounds at each login.
    static SALTED: RefCell<Salted> = const { RefCell::new(BTreeMap::new()) };
}

/// The text of `<auth mechanism='SCRAM-SHA-1'/>`.
pub(crate) fn first(name: &str) -> String {
    STANDARD.encode(format!("n,,{}", bare(name)))
}

/// The text of `<response/>`, and what the server must say in the end.
pub(crate) fn answer(name: &str, password: &str, challenge: &str) -> (String, String) {
    let challenge = STANDARD.decode(challenge).expect("base64");
    let challenge = String::from_utf8(challenge).expect("text");
    let field = |key: &str| {
        let mut fields = challenge.split(',');
        fields
            .find_map(|field| field.strip_prefix(key)?.strip_prefix('='))
            .expect("a field of the challenge")
    };
    assert!(field("r").starts_with(NONCE), "{challenge}");
    let salt = STANDARD.decode(field("s")).expect("a salt");
    let rounds = field("i").parse().expect("a number of rounds");
    let salted = salted(password, salt, rounds);

    let without_proof = format!("c={},r={}", STANDARD.encode("n,,"), field("r"));
    let auth = format!("{},{challenge},{without_proof}", bare(name));
    let key = mac(&salted, b"Client Key");
    let signature = mac(&Sha1::digest(&key), auth.as_bytes());
    let proof: Vec<u8> = key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let server = mac(&mac(&salted, b"Server Key"), auth.as_bytes());
    (
        STANDARD.encode(format!("{without_proof},p={}", STANDARD.encode(proof))),
        STANDARD.encode(format!("v={}", STANDARD.encode(server))),
    )
}

fn bare(name: &str) -> String {
    format!("n={name},r={NONCE}")
}

/// SaltedPassword: PBKDF2 with one block.
fn salted(password: &str, salt: Vec<u8>, rounds: u32) -> Vec<u8> {
    let key = (password.to_owned(), salt, rounds);
    if let Some(known) = SALTED.with_borrow(|all| all.get(&key).cloned()) {
        return known;
    }
    let mut block = mac(password.as_bytes(), &[&key.1[..], &[0, 0, 0, 1]].concat());
    let mut sum = block.clone();
    for _ in 1..rounds {
        block = mac(password.as_bytes(), &block);
        sum.iter_mut().zip(&block).for_each(|(sum, b)| *sum ^= b);
    }
    SALTED.with_borrow_mut(|all| all.insert(key, sum.clone()));
    sum
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mac = Hmac::<Sha1>::new_from_slice(key).expect("a key");
    mac.chain_update(data).finalize().into_bytes().to_vec()
}
