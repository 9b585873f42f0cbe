//! The convention by which programs meet: which room a topic is, and who is
//! addressed by a message.
//!
//! It is a convention of Parley clients, not of XMPP; every program that follows
//! it finds the same room under the same topic. Nothing here speaks to a server.

use alloc::borrow::ToOwned as _;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use sha1::{Digest as _, Sha1};

use crate::jid::{BareJid, JidError};

/// The room of a topic: [`room_local`] at a service.
///
/// ```
/// let room = parley_xmpp::topic::room("Ops / Deploy!", "muc.parley.local").unwrap();
/// assert_eq!(room.as_str(), "ops___deploy_-5bdb50bfe5@muc.parley.local");
/// ```
///
/// # Errors
/// If the topic is empty, or its room's name longer than 1023 bytes; or if the
/// service is not a domain.
pub fn room(topic: &str, service: &str) -> Result<BareJid, JidError> {
    BareJid::new(Some(&room_local(topic)), service)
}

/// The localpart of a topic's room.
///
/// The topic in lower case, with every UTF-16 code unit outside `[a-z0-9.\-_]`
/// replaced by `_`. If that is not the topic any more, `-` follows and the first
/// ten hexadecimal digits of the SHA-1 over the topic's UTF-8 bytes, so that
/// topics which look alike afterwards are still different rooms. Of an empty
/// topic comes an empty text, which is no localpart.
#[must_use]
pub fn room_local(topic: &str) -> String {
    let mut local = String::with_capacity(topic.len());
    // Lower-casing is Unicode's default one, in JavaScript as in Rust. It differs
    // between versions of Unicode for letters only that become `_` anyway.
    for c in topic.to_lowercase().chars() {
        if matches!(c, 'a'..='z' | '0'..='9' | '.' | '-' | '_') {
            local.push(c);
        } else {
            local.extend(core::iter::repeat_n('_', c.len_utf16()));
        }
    }
    if local != topic {
        local.push('-');
        for byte in Sha1::digest(topic).iter().take(5) {
            local.extend(
                [byte >> 4, byte & 15]
                    .iter()
                    .filter_map(|d| char::from_digit((*d).into(), 16)),
            );
        }
    }
    local
}

/// Who is addressed: every `@handle` of a text, without the `@`, once, in the
/// order of first appearance.
///
/// A handle starts and ends with `[A-Za-z0-9]`, has `[A-Za-z0-9._-]` inside, and
/// is as long as it can be. Its `@` stands at the start of the text or after a
/// character outside `[A-Za-z0-9_.@-]`: what looks like a mail address mentions
/// nobody. Upper and lower case are different handles.
///
/// ```
/// assert_eq!(
///     parley_xmpp::topic::mentions("@ana: ask @bob.b. or ana@work, @ana"),
///     ["ana", "bob.b"],
/// );
/// ```
#[must_use]
pub fn mentions(text: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for (at, _) in text.match_indices('@') {
        let Some((before, after)) = text.split_at_checked(at) else {
            continue;
        };
        if before
            .chars()
            .next_back()
            .is_some_and(|c| is_inner(c) || c == '@')
        {
            continue;
        }
        let Some(after) = after.strip_prefix('@') else {
            continue;
        };
        let run = after.split(|c| !is_inner(c)).next().unwrap_or_default();
        let handle = run.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        if handle.starts_with(|c: char| c.is_ascii_alphanumeric()) && seen.insert(handle) {
            found.push(handle.to_owned());
        }
    }
    found
}

const fn is_inner(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jid::JidPart;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn rooms_of_topics() {
        // The digits: printf '%s' TOPIC | sha1sum | cut -c1-10
        for (topic, local) in [
            ("ops", "ops"),
            ("a.b-c_9", "a.b-c_9"),
            ("Ops / Deploy!", "ops___deploy_-5bdb50bfe5"),
            ("🚀x", "__x-fa36b44c4f"),
            ("ÄÖ", "__-7acd2cec8b"),
            // U+0130 in lower case is i and a combining dot.
            ("\u{130}", "i_-9a0e5b9455"),
            // The Kelvin sign in lower case is k.
            ("\u{212a}", "k-be474d20cc"),
            ("Ops", "ops-907a54c2b2"),
            // Σ at the end of a word becomes another letter than inside: both are `_`.
            ("ΣΑΣ", "___-610f48d8d5"),
        ] {
            assert_eq!(room_local(topic), local, "{topic}");
        }
    }

    #[test]
    fn no_room_without_a_topic_or_a_service() {
        assert_eq!(
            room("", "muc.parley.local"),
            Err(JidError::Empty(JidPart::Local))
        );
        assert!(room("ops", "").is_err());
        assert!(room("ops", "a@muc").is_err());
        assert_eq!(
            room(&"x".repeat(1024), "muc.parley.local"),
            Err(JidError::TooLong(JidPart::Local))
        );
    }

    #[test]
    fn who_is_mentioned() {
        for (text, handles) in [
            ("", vec![]),
            ("@", vec![]),
            ("@a", vec!["a"]),
            ("@a @b @a", vec!["a", "b"]),
            ("hi @bob-2_x.y!", vec!["bob-2_x.y"]),
            ("@bob.", vec!["bob"]),
            ("@bob-_.-", vec!["bob"]),
            ("@_bob @.bob @-bob", vec![]),
            ("a@b .@b -@b _@b @@b", vec![]),
            ("(@b) é@c\n@d", vec!["b", "c", "d"]),
            ("@a@b", vec!["a"]),
            ("@Ana @ana", vec!["Ana", "ana"]),
            ("@anaé", vec!["ana"]),
        ] {
            assert_eq!(mentions(text), handles, "{text}");
        }
    }

    #[test]
    fn many_mentions_are_found_in_good_time() {
        let text: String = (0..40_000).map(|n| format!("@{n:x} ")).collect();
        assert_eq!(mentions(&text).len(), 40_000);
    }

    proptest! {
        #[test]
        fn a_room_is_an_address_as_it_stands(topic in "\\PC{1,80}") {
            let local = room_local(&topic);
            let room = room(&topic, "muc.parley.local").unwrap();
            prop_assert_eq!(room.local(), Some(&*local));
            // A name that needs no change is its own room and no other topic's.
            prop_assert_eq!(room_local(&local), local);
        }

        #[test]
        fn a_topic_keeps_the_length_it_has_in_utf16(topic in any::<String>()) {
            let units = topic.to_lowercase().encode_utf16().count();
            let local = room_local(&topic);
            prop_assert_eq!(local.len(), if local == topic { units } else { units + 11 });
        }

        #[test]
        fn mentions_obey_their_own_rule(text in "[@a.é _-]{0,24}") {
            let found = mentions(&text);
            for (n, handle) in found.iter().enumerate() {
                let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
                prop_assert!(ends(handle.chars().next()) && ends(handle.chars().next_back()));
                prop_assert!(handle.chars().all(is_inner));
                prop_assert!(!found[..n].contains(handle));
                prop_assert_eq!(&mentions(&format!("@{handle}")), core::slice::from_ref(handle));
            }
            prop_assert_eq!(&mentions(&format!(" {text}")), &found);
        }
    }
}
