//! What the program takes from the process it runs in: its environment, and a
//! little randomness for names.

use std::hash::{BuildHasher as _, RandomState};

/// A variable of the environment; one that is no text counts as not set.
pub(crate) fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// How the program was called, for commands that a user can copy: `parley-xmpp`, or
/// the path of one that is not in the search path.
pub(crate) fn invocation() -> String {
    let called = std::env::args().next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if called.contains('/') && called.len() <= 40 && called.chars().all(plain) {
        called
    } else {
        "parley-xmpp".into()
    }
}

/// A few random letters and digits, to keep names apart; not a secret.
pub(crate) fn random_suffix(len: usize) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnopqrstuvwxyz2345678";
    // Keyed at random by the standard library, for each of its tables.
    let mut bits = RandomState::new().hash_one(std::process::id());
    (0..len.min(12))
        .map(|_| {
            let letter = ALPHABET.get((bits & 31) as usize).copied().unwrap_or(b'x');
            bits >>= 5;
            char::from(letter)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_differ() {
        let (one, two) = (random_suffix(10), random_suffix(10));
        assert_eq!(one.len(), 10);
        assert_ne!(one, two);
    }
}
