//! Room messages: reading what counts, writing posts.
//!
//! XEP-0045 v1.35.5 section 7.4, XEP-0359 v0.7.0, XEP-0421 v1.0.1, XEP-0461
//! v0.2.1, XEP-0428 v0.2.1. Bodies only: formatting, attachments and encryption are
//! not read, and a body is given whole, with what is in it for older readers.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};

use crate::command::Post;
use crate::event::{Message, Source};
use crate::ids::ArchiveId;
use crate::ns;
use crate::xml::{Element, Writer};

/// A copy of what a room message says, except for its archive id.
///
/// `None` without a `<body/>`: a subject change, a chat state, an invitation. Nor with one that
/// has elements in it: RFC 6121 section 5.2.3 has it that it "MUST NOT contain mixed content", and
/// what of it is the text, clients do not agree on: one would be told another thing than the next.
pub(crate) fn read(message: Element<'_>, nick: &str, source: Source) -> Option<Box<Message>> {
    let body = message.child("body", ns::CLIENT)?;
    if body.children().next().is_some() {
        return None;
    }
    Some(Box::new(Message {
        id: None,
        nick: nick.into(),
        occupant_id: occupant_id(message).map(Into::into),
        body: body.text().into(),
        origin_id: origin_id(message).map(Into::into),
        reply_to: message
            .child("reply", ns::REPLY)
            .and_then(|reply| reply.attr("id"))
            .filter(|id| !id.is_empty() && id.len() <= ArchiveId::MAX_BYTES)
            .map(Into::into),
        stamp: None,
        own: false,
        source,
    }))
}

/// The id that the sender says it gave (XEP-0359, section 2.2).
pub(crate) fn origin_id<'a>(message: Element<'a>) -> Option<&'a str> {
    message
        .child("origin-id", ns::SID)
        .and_then(|origin| origin.attr("id"))
        .filter(|id| !id.is_empty() && id.len() <= ArchiveId::MAX_BYTES)
}

/// The lasting id of an occupant (XEP-0421, section 3), in a message or presence.
pub(crate) fn occupant_id<'a>(stanza: Element<'a>) -> Option<&'a str> {
    stanza
        .child("occupant-id", ns::OCCUPANT_ID)
        .and_then(|occupant| occupant.attr("id"))
        .filter(|id| !id.is_empty() && id.len() <= ArchiveId::MAX_BYTES)
}

/// The archive id that `by` gave the message.
///
/// XEP-0359 v0.7.0 section 3: "The value of the 'by' attribute MUST be the XMPP
/// address of the entity assigning the unique and stable stanza ID." Two of the
/// same `by` mean that somebody lies, so neither counts. Whether `by` removes
/// forged ones is for the caller to know.
pub(crate) fn stanza_id(message: Element<'_>, is_by: impl Fn(&str) -> bool) -> Option<ArchiveId> {
    let mut ids = message
        .children()
        .filter(|child| child.is("stanza-id", ns::SID))
        .filter(|child| child.attr("by").is_some_and(&is_by));
    let id = ids.next()?;
    if ids.next().is_some() {
        return None;
    }
    ArchiveId::new(id.attr("id")?)
}

/// What a post says, as it is written each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Draft {
    body: String,
    reply: Option<Reply>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Reply {
    id: String,
    /// The address of who said what is answered.
    to: Option<String>,
    /// How many characters of the body are for who does not see what is answered.
    fallback: usize,
}

impl Draft {
    /// What `post` says in `room`.
    pub(crate) fn new(post: Post, room: &str) -> Self {
        let Some(id) = post.reply_to else {
            return Self {
                body: post.body,
                reply: None,
            };
        };
        let mut body = String::new();
        if let Some(quote) = &post.quote {
            if let Some(author) = &post.reply_author {
                body.extend(["> ", author, " wrote:\n"]);
            }
            for line in quote.lines() {
                body.extend(["> ", line, "\n"]);
            }
        }
        // XEP-0426: positions count Unicode code points.
        let fallback = body.chars().count();
        body.push_str(&post.body);
        let to = post
            .reply_author
            .map(|nick| alloc::format!("{room}/{nick}"));
        Self {
            body,
            reply: Some(Reply { id, to, fallback }),
        }
    }
}

/// Writes a post: the same bytes whenever it is written again.
pub(crate) fn write_post(w: &mut Writer<'_>, room: &str, id: &str, draft: &Draft) {
    w.start("message")
        .attr("to", room)
        .attr("type", "groupchat")
        .attr("id", id);
    w.start("body").text(&draft.body).end();
    if let Some(reply) = &draft.reply {
        // XEP-0461 section 3: "SHOULD have a 'to' attribute containing the full jid of
        // the author of the referenced message and MUST have an 'id' attribute".
        w.start("reply").attr("xmlns", ns::REPLY);
        if let Some(to) = &reply.to {
            w.attr("to", to);
        }
        w.attr("id", &reply.id).end();
        if reply.fallback > 0 {
            w.start("fallback")
                .attr("xmlns", ns::FALLBACK)
                .attr("for", ns::REPLY);
            w.start("body")
                .attr("start", "0")
                .attr("end", &reply.fallback.to_string())
                .end();
            w.end();
        }
    }
    w.start("origin-id")
        .attr("xmlns", ns::SID)
        .attr("id", id)
        .end();
    w.end();
}
