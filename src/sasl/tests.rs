//! Conversations: vectors, each thing that a server can do wrong, and a model
//! server that shares no code with the client.

mod challenge;
mod downgrade;
mod model;
mod outcome;
mod vectors;

use super::choice::Binding;
use super::hash::Hash;
use super::*;
use crate::config::ChannelBinding;
use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::vec;

const LIMITS: (u32, u32) = (4096, 1_000_000);
const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";
/// The server-first-message of RFC 5802, section 5, to [`NONCE`].
const FIRST: &str = "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096";
/// The server-final-message that belongs to it.
const FINAL: &str = "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=";

fn scram(hash: Hash, binding: Binding) -> Choice {
    Choice {
        kind: Kind::Scram(choice::ScramChoice {
            hash,
            binding,
            offer: "SCRAM-SHA-1".into(),
            vouch: false,
        }),
    }
}

fn sha1() -> Choice {
    scram(Hash::Sha1, Binding::Unsupported)
}

fn pencil() -> Credentials {
    Credentials::new("user", "pencil").unwrap()
}

fn start(choice: Choice, nonce: &str) -> (Exchange, String) {
    let (exchange, first) = Exchange::start(choice, &pencil(), nonce.into(), LIMITS, None);
    (exchange, String::from_utf8(first).unwrap())
}

/// After the client-first-message of RFC 5802.
fn begun() -> Exchange {
    start(sha1(), NONCE).0
}

/// What comes of a server-first-message in place of [`FIRST`].
fn first(message: &str) -> Result<Step, AuthFailure> {
    begun().challenge(&encode(message.as_bytes()))
}

/// After the client-final-message of RFC 5802.
fn proved() -> Exchange {
    let mut exchange = begun();
    finish(&mut exchange, FIRST, 4096);
    exchange
}

fn finish(exchange: &mut Exchange, message: &str, slice: u32) -> String {
    let step = exchange.challenge(&encode(message.as_bytes())).unwrap();
    let last = match step {
        Step::Respond(message) => message,
        Step::Work => loop {
            assert!(exchange.is_working());
            if let Some(message) = exchange.work(slice) {
                break message;
            }
        },
    };
    assert!(!exchange.is_working());
    String::from_utf8(last).unwrap()
}

fn bad(result: Result<Step, AuthFailure>) -> bool {
    matches!(result, Err(AuthFailure::BadMessage(_)))
}

#[test]
fn a18_nothing_secret_shows() {
    let mut exchange = begun();
    let mut shown = format!("{exchange:?}");
    exchange.challenge(&encode(FIRST.as_bytes())).unwrap();
    shown.push_str(&format!("{exchange:?}"));
    let done = proved().success(Some(&encode(FINAL.as_bytes()))).unwrap();
    shown.push_str(&format!("{done:?} {:?}", pencil()));
    let keys = proved()
        .success(Some(&encode(FINAL.as_bytes())))
        .unwrap()
        .take_keys();
    shown.push_str(&format!("{keys:?}"));
    // What is shown is where it stands.
    for state in ["First", "Deriving", "ScramKeys", "4096"] {
        assert!(shown.contains(state), "{shown}");
    }
    for secret in ["pencil", "salt", "client", "server", "["] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
