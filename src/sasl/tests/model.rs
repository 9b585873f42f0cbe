//! Any login, with a model server that shares no code with the client.

use super::*;
use alloc::string::ToString as _;
use proptest::prelude::*;

/// The other side, by the formulas of RFC 5802, section 3, and nothing else.
#[derive(Debug)]
struct Server {
    hash: Hash,
    gs2: String,
    binding: Vec<u8>,
    password: String,
    salt: Vec<u8>,
    iterations: u32,
    extension: String,
}

impl Server {
    fn hmac(&self, key: &[u8], data: &[u8]) -> Vec<u8> {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        macro_rules! with {
            ($D:ty) => {{
                let mut mac = Hmac::<$D>::new_from_slice(key).unwrap();
                mac.update(data);
                mac.finalize().into_bytes().to_vec()
            }};
        }
        match self.hash {
            Hash::Sha1 => with!(sha1::Sha1),
            Hash::Sha256 => with!(sha2::Sha256),
            Hash::Sha512 => with!(sha2::Sha512),
        }
    }

    fn digest(&self, data: &[u8]) -> Vec<u8> {
        use sha2::Digest as _;
        match self.hash {
            Hash::Sha1 => sha1::Sha1::digest(data).to_vec(),
            Hash::Sha256 => sha2::Sha256::digest(data).to_vec(),
            Hash::Sha512 => sha2::Sha512::digest(data).to_vec(),
        }
    }

    fn salted(&self) -> Vec<u8> {
        let key = self.password.as_bytes();
        let mut last = self.hmac(key, &[&*self.salt, &[0, 0, 0, 1]].concat());
        let mut sum = last.clone();
        for _ in 1..self.iterations {
            last = self.hmac(key, &last);
            sum.iter_mut()
                .zip(&last)
                .for_each(|(sum, byte)| *sum ^= byte);
        }
        sum
    }

    fn first(&self, client_first: &str) -> String {
        let nonce = client_first.rsplit_once("r=").unwrap().1;
        let salt = STANDARD.encode(&self.salt);
        format!(
            "r={nonce}theirs,s={salt},i={}{}",
            self.iterations, self.extension
        )
    }

    /// The server-final-message, if the client's proof and binding hold.
    fn last(&self, client_first: &str, first: &str, client_final: &str) -> String {
        let bare = client_first.strip_prefix(&*self.gs2).unwrap();
        let (without_proof, proof) = client_final.rsplit_once(",p=").unwrap();
        let (bound, nonce) = without_proof
            .strip_prefix("c=")
            .unwrap()
            .split_once(",r=")
            .unwrap();
        assert_eq!(
            STANDARD.decode(bound).unwrap(),
            [self.gs2.as_bytes(), &self.binding].concat()
        );
        assert!(first.starts_with(&format!("r={nonce},")));
        let auth = format!("{bare},{first},{without_proof}");
        let salted = self.salted();
        let stored = self.digest(&self.hmac(&salted, b"Client Key"));
        let mut key = STANDARD.decode(proof).unwrap();
        let signature = self.hmac(&stored, auth.as_bytes());
        key.iter_mut()
            .zip(&signature)
            .for_each(|(key, byte)| *key ^= byte);
        assert_eq!(self.digest(&key), stored, "the client's proof");
        let key = self.hmac(&salted, b"Server Key");
        format!("v={}", STANDARD.encode(self.hmac(&key, auth.as_bytes())))
    }
}

fn servers() -> impl Strategy<Value = (Server, Binding)> {
    (
        proptest::sample::select(vec![Hash::Sha1, Hash::Sha256, Hash::Sha512]),
        prop_oneof![
            Just(Binding::Unsupported),
            Just(Binding::Unoffered),
            any::<[u8; 32]>().prop_map(|data| Binding::Exporter(data.to_vec())),
            any::<[u8; 48]>().prop_map(|data| Binding::ServerEndPoint(data.to_vec())),
        ],
        "[ -~]{1,150}",
        proptest::collection::vec(any::<u8>(), 1..64),
        1..40_u32,
        "(,x=[!-+--~]{1,9})?",
    )
        .prop_map(|(hash, binding, password, salt, iterations, extension)| {
            let gs2 = match &binding {
                Binding::Unsupported => "n,,".to_string(),
                Binding::Unoffered => "y,,".to_string(),
                Binding::Exporter(_) => "p=tls-exporter,,".to_string(),
                Binding::ServerEndPoint(_) => "p=tls-server-end-point,,".to_string(),
            };
            let server = Server {
                hash,
                gs2,
                binding: binding.data().to_vec(),
                password,
                salt,
                iterations,
                extension,
            };
            (server, binding)
        })
}

/// The same text with one character replaced.
fn mutate(text: &str, at: proptest::sample::Index, by: u8) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at.index(bytes.len());
    bytes[at] = by;
    String::from_utf8(bytes).unwrap()
}

proptest! {
    #[test]
    fn a_login_succeeds(
        (server, binding) in servers(),
        user in "[ -~]{1,20}",
        slice in 1..50_u32,
        in_challenge in any::<bool>(),
    ) {
        let credentials = Credentials::new(&user, &server.password).unwrap();
        let choice = scram(server.hash, binding);
        let (mut exchange, one) =
            Exchange::start(choice.clone(), &credentials, "ours".into(), (1, 50), None);
        let one = String::from_utf8(one).unwrap();
        let first = server.first(&one);
        let two = finish(&mut exchange, &first, slice);
        let last = encode(server.last(&one, &first, &two).as_bytes());
        let done = if in_challenge {
            exchange.challenge(&last).unwrap();
            exchange.success(None)
        } else {
            exchange.success(Some(&last))
        };
        // And again with the keys, which give the same.
        let keys = done.unwrap().take_keys();
        let (mut exchange, _) =
            Exchange::start(choice, &credentials, "ours".into(), (1, 50), keys.as_ref());
        prop_assert!(
            matches!(exchange.challenge(&encode(first.as_bytes())), Ok(Step::Respond(message)) if message == two.as_bytes())
        );
    }

    #[test]
    fn no_tampering_goes_unnoticed(
        (server, binding) in servers(),
        at in any::<proptest::sample::Index>(),
        by in 0..128_u8,
        on_the_wire in any::<bool>(),
        the_last in any::<bool>(),
    ) {
        let credentials = Credentials::new("user", &server.password).unwrap();
        let begin = || {
            let choice = scram(server.hash, binding.clone());
            Exchange::start(choice, &credentials, "ours".into(), (1, 400), None)
        };
        let (mut honest, one) = begin();
        let one = String::from_utf8(one).unwrap();
        let first = server.first(&one);
        let two = finish(&mut honest, &first, u32::MAX);
        let last = server.last(&one, &first, &two);

        // The same conversation, one character of what the server said replaced.
        let original = [encode(first.as_bytes()), encode(last.as_bytes())];
        let mut sent = original.clone();
        let (clear, wire) = if the_last { (&last, &mut sent[1]) } else { (&first, &mut sent[0]) };
        *wire = if on_the_wire {
            mutate(wire, at, by)
        } else {
            encode(mutate(clear, at, by).as_bytes())
        };
        let (mut exchange, _) = begin();
        let result = exchange.challenge(&sent[0]).and_then(|_| {
            exchange.work(u32::MAX);
            exchange.success(Some(&sent[1]))
        });
        prop_assert_eq!(result.is_ok(), sent == original);
    }
}
