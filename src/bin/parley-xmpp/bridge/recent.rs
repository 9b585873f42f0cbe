//! Messages that the host was told of late, so that the reply to one of them names its author
//! and quotes it (XEP-0461), although the host gives its id alone.

use std::collections::VecDeque;
use std::sync::Mutex;

use parley_xmpp::jid::BareJid;
use parley_xmpp::{Message, Post};

use super::lock;
use super::params::PostParams;
use crate::output;

/// Messages of a room. At it the oldest is forgotten.
const MESSAGES: usize = 256;
/// Rooms. At it the one of which nothing was told for longest is forgotten.
const ROOMS: usize = 64;
/// Of a message that much is quoted, in bytes.
const QUOTE: usize = 1024;
/// Content beyond that gets no quote that was not asked for: it might be what makes it too
/// large for the server.
const QUOTED_CONTENT: usize = 32 * 1024;

/// Messages told of late, by room; those of which something was told last come last.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(BareJid, VecDeque<Said>)>>);

/// A message that may be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    id: String,
    nick: String,
    quote: String,
}

impl Recent {
    /// The host is told a message of the room.
    pub(super) fn told(&self, room: &BareJid, message: &Message) {
        if let Some(id) = &message.id {
            let own = output::unquoted(message);
            // There is nothing but a quote: then that is what it says.
            let own = if own.trim().is_empty() {
                &message.body
            } else {
                own
            };
            self.said(room, id.as_str(), &message.nick, own);
        }
    }

    /// Somebody said something in the room, which the archive knows by that id.
    pub(super) fn said(&self, room: &BareJid, id: &str, nick: &str, content: &str) {
        let mut rooms = lock(&self.0);
        let known = rooms.iter().rposition(|(known, _)| known == room);
        let known = known.and_then(|at| rooms.remove(at));
        let (room, mut messages) = known.unwrap_or_else(|| (room.clone(), VecDeque::new()));
        if !messages.iter().rev().any(|said| said.id == id) {
            if messages.len() >= MESSAGES {
                messages.pop_front();
            }
            messages.push_back(Said {
                id: id.to_owned(),
                nick: nick.to_owned(),
                quote: shortened(content),
            });
        }
        if rooms.len() >= ROOMS {
            rooms.pop_front();
        }
        rooms.push_back((room, messages));
    }

    /// Who said the message with that id, and what.
    pub(super) fn find(&self, room: &BareJid, id: &str) -> Option<Said> {
        let rooms = lock(&self.0);
        let (_, messages) = rooms.iter().rev().find(|(known, _)| known == room)?;
        messages.iter().rev().find(|said| said.id == id).cloned()
    }
}

/// The beginning of a text, for a quote.
fn shortened(text: &str) -> String {
    let text = text.trim_end();
    if text.len() <= QUOTE {
        return text.to_owned();
    }
    let mut end = QUOTE;
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    let (start, _) = text.split_at_checked(end).unwrap_or_default();
    format!("{start}…")
}

/// The post with what it answers: what the host says of that, and where it says nothing,
/// what is known of it.
pub(super) fn answering(mut post: Post, params: &PostParams, known: Option<Said>) -> Post {
    let Some(id) = &params.in_reply_to else {
        return post;
    };
    post.reply_to = Some(id.clone());
    let (nick, quote) = known.map(|said| (said.nick, said.quote)).unzip();
    let quote = quote.filter(|_| params.content.len() <= QUOTED_CONTENT);
    // Empty: there is to be none.
    post.reply_author = params.reply_author.clone().or(nick);
    post.reply_author.take_if(|nick| nick.is_empty());
    post.quote = params.quote.clone().or(quote);
    post.quote.take_if(|quote| quote.is_empty());
    post
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> BareJid {
        BareJid::new(Some(name), "muc.parley.local").unwrap()
    }

    fn params(text: &str) -> PostParams {
        serde_json::from_str(text).unwrap()
    }

    fn reply(text: &str, known: Option<Said>) -> [Option<String>; 3] {
        let params = params(text);
        let post = answering(Post::new(&params.content), &params, known);
        [post.reply_to, post.reply_author, post.quote]
    }

    fn some(text: &str) -> Option<String> {
        Some(text.into())
    }

    #[test]
    fn a_reply_names_the_author_and_quotes_unless_the_host_says_otherwise() {
        let recent = Recent::default();
        recent.said(&room("t"), "id-1", "ana", "red\nagain\n");
        let known = || recent.find(&room("t"), "id-1");
        assert_eq!(recent.find(&room("u"), "id-1"), None);
        assert_eq!(recent.find(&room("t"), "id-2"), None);

        let alone = r#"{"topic":"t","content":"x","inReplyTo":"id-1"}"#;
        let whole = [some("id-1"), some("ana"), some("red\nagain")];
        assert_eq!(reply(alone, known()), whole);
        assert_eq!(reply(alone, None), [some("id-1"), None, None]);
        let own =
            r#"{"topic":"t","content":"x","inReplyTo":"id-1","replyAuthor":"bob","quote":"red"}"#;
        let asked = [some("id-1"), some("bob"), some("red")];
        assert_eq!(reply(own, known()), asked);
        assert_eq!(reply(own, None), asked);
        let bare = r#"{"topic":"t","content":"x","inReplyTo":"id-1","quote":""}"#;
        assert_eq!(reply(bare, known()), [some("id-1"), some("ana"), None]);
        let none = r#"{"topic":"t","content":"x"}"#;
        assert_eq!(reply(none, known()), [None, None, None]);
        let long = "x".repeat(QUOTED_CONTENT + 1);
        let long = format!(r#"{{"topic":"t","content":"{long}","inReplyTo":"id-1"}}"#);
        assert_eq!(reply(&long, known()), [some("id-1"), some("ana"), None]);
    }

    #[test]
    fn what_is_remembered_for_replies_is_bounded() {
        let recent = Recent::default();
        let long = "ü".repeat(QUOTE);
        for n in 0..=MESSAGES {
            // Twice is once.
            for _ in 0..2 {
                recent.said(&room("a"), &n.to_string(), "ana", &long);
            }
        }
        assert_eq!(recent.find(&room("a"), "0"), None);
        let quote = recent.find(&room("a"), "1").unwrap().quote;
        assert_eq!(quote, format!("{}…", "ü".repeat(QUOTE / 2)));
        for n in 1..ROOMS {
            recent.said(&room(&format!("r{n}")), "0", "ana", "x");
        }
        // Of `a` something is told again, so that another is the oldest.
        recent.said(&room("a"), "new", "ana", "x");
        recent.said(&room("b"), "0", "ana", "x");
        assert!(recent.find(&room("a"), "new").is_some());
        assert!(recent.find(&room("b"), "0").is_some());
        assert_eq!(recent.find(&room("r1"), "0"), None);
        assert!(recent.find(&room("r2"), "0").is_some());
    }
}
