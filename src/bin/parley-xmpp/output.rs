//! What goes to standard output: messages as text and as JSON.

use core::fmt::Write as _;
use std::io;
use std::time::SystemTime;

use parley_xmpp::tokio::{ConnectError, RoomError, State};
use parley_xmpp::{
    Cursor, GapReason, JoinFailure, LeaveCause, Message, Privacy, Resolution, Retry, RoomEvent,
    Source, Via, topic,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::escape::{Body, Line, is_dangerous};

/// One line of JSON without a character that a terminal would act on.
pub(crate) fn to_json(value: &impl Serialize) -> String {
    let mut line = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut line, Careful);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8(line).unwrap_or_default(),
        // Only maps with keys other than strings cannot be written; there are none.
        Err(_) => String::from("null"),
    }
}

/// Compact JSON that escapes what [`is_dangerous`] too, which JSON allows raw.
struct Careful;

impl serde_json::ser::Formatter for Careful {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        mut text: &str,
    ) -> io::Result<()> {
        while let Some((before, c, after)) = split_dangerous(text) {
            writer.write_all(before.as_bytes())?;
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            text = after;
        }
        writer.write_all(text.as_bytes())
    }
}

fn split_dangerous(text: &str) -> Option<(&str, char, &str)> {
    let (before, rest) = text.split_at(text.find(is_dangerous)?);
    let mut rest = rest.chars();
    let c = rest.next()?;
    Some((before, c, rest.as_str()))
}

/// A message as the bridge and `--json` show it. The same message has the same
/// fields however it came, but for `timestamp` and `source`.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MessageObject<'a> {
    topic: &'a str,
    sender_handle: &'a str,
    content: &'a str,
    /// When the archive says it was said, or now; informational.
    timestamp: String,
    /// Null if the room archives nothing.
    backend_msg_id: Option<&'a str>,
    cursor: Option<&'a str>,
    mentions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<&'a str>,
    own: bool,
    source: &'static str,
    /// It lies before what was shown already.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    late: bool,
}

impl<'a> MessageObject<'a> {
    pub(crate) fn new(name: &'a str, message: &'a Message) -> Self {
        let id = message.id.as_ref().map(parley_xmpp::ArchiveId::as_str);
        Self {
            topic: name,
            sender_handle: &message.nick,
            content: &message.body,
            timestamp: timestamp(message),
            backend_msg_id: id,
            cursor: id,
            mentions: topic::mentions(unquoted(message)),
            in_reply_to: message.reply_to.as_deref(),
            own: message.own,
            source: match message.source {
                Source::Archive => "archive",
                _ => "live",
            },
            late: false,
        }
    }

    /// The same, of [`Entry::Late`](parley_xmpp::Entry::Late) or not.
    pub(crate) const fn late(mut self, late: bool) -> Self {
        self.late = late;
        self
    }
}

/// What a message says itself: of a reply without the quote that it begins with.
///
/// Which characters those are its sender may say (XEP-0428); here it is the lines after
/// `> `, as clients write them for readers that know nothing of replies.
pub(crate) fn unquoted(message: &Message) -> &str {
    let body = message.body.as_str();
    if message.reply_to.is_none() {
        return body;
    }
    let mut rest = body;
    loop {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        if !line.starts_with("> ") && line != ">" {
            return rest;
        }
        rest = after;
    }
}

/// The message as text, `TIME NICK: BODY  [ID]`, with its line break.
pub(crate) fn to_text(topic: Option<&str>, message: &Message) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{} ", Line(&timestamp(message)));
    if let Some(topic) = topic {
        let _ = write!(text, "#{} ", Line(topic));
    }
    let _ = write!(text, "{}: {}", Line(&message.nick), Body(&message.body));
    let _ = match &message.id {
        Some(id) => writeln!(text, "  [{}]", Line(id.as_str())),
        None => writeln!(text, "  [not archived]"),
    };
    text
}

fn timestamp(message: &Message) -> String {
    message.stamp.clone().unwrap_or_else(|| {
        #[allow(clippy::disallowed_methods, reason = "a program may look at the clock")]
        rfc3339(SystemTime::now())
    })
}

/// What was found out about a post in doubt.
pub(crate) fn resolution(resolution: &Resolution) -> Value {
    match resolution {
        Resolution::Found(id) => {
            json!({ "outcome": "found", "backendMsgId": id.as_str(), "cursor": id.as_str() })
        }
        Resolution::AbsentSoFar => json!({ "outcome": "absent-so-far" }),
        Resolution::CannotTell(why) => {
            json!({ "outcome": "cannot-tell", "reason": why.to_string() })
        }
        _ => json!({ "outcome": "cannot-tell" }),
    }
}

/// How the fate of a post became known, in a word.
pub(crate) const fn via(via: Via) -> &'static str {
    match via {
        Via::Archive => "archive",
        _ => "reflection",
    }
}

/// Why messages may be missing, in words.
pub(crate) fn gap_reason(reason: &GapReason) -> String {
    match reason {
        GapReason::CursorExpired => "the archive no longer knows that message".into(),
        GapReason::NoArchive => "the room has no archive that we may read".into(),
        GapReason::NeverAnchored => "the connection broke before we knew where we stood".into(),
        GapReason::Overflow => "more was said at once than could be held back".into(),
        GapReason::Recreated => "the room was lost and made anew".into(),
        GapReason::ArchiveFailed(error) => format!("the archive could not be read: {error}"),
        GapReason::Unsettled => "the archive did not show in time what the room said".into(),
        _ => "for an unknown reason".into(),
    }
}

/// `{topic, after, reason, text}`; `after` is null where it is not known.
pub(crate) fn gap(topic: &str, after: Option<&Cursor>, reason: &GapReason) -> Value {
    let word = match reason {
        GapReason::CursorExpired => "cursor-expired",
        GapReason::NoArchive => "no-archive",
        GapReason::NeverAnchored => "never-anchored",
        GapReason::Overflow => "overflow",
        GapReason::Recreated => "recreated",
        GapReason::Unsettled => "unsettled",
        _ => "archive-failed",
    };
    let after = after.map(Cursor::as_str);
    json!({ "topic": topic, "after": after, "reason": word, "text": gap_reason(reason) })
}

/// `{state, jid?, cause?, retryInMs?}`.
pub(crate) fn state(state: &State) -> Value {
    match state {
        State::Online { jid, .. } => json!({ "state": "online", "jid": jid.as_str() }),
        State::Offline { cause, retry_in } => {
            let cause = ConnectError::from(cause.clone()).to_string();
            match retry_in.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)) {
                Some(wait) => json!({ "state": "offline", "cause": cause, "retryInMs": wait }),
                None => json!({ "state": "offline", "cause": cause }),
            }
        }
        _ => json!({ "state": "closed" }),
    }
}

/// Why somebody is no longer in a room, in words.
pub(crate) fn leave_cause(cause: &LeaveCause) -> String {
    let because = |what: &str, reason: &Option<String>| match reason {
        Some(reason) => format!("{what}: {reason}"),
        None => what.to_owned(),
    };
    match cause {
        LeaveCause::Asked => "left".into(),
        LeaveCause::Kicked { reason } => because("kicked", reason),
        LeaveCause::Banned { reason } => because("banned", reason),
        LeaveCause::NotMember => "the room is for members".into(),
        LeaveCause::ServiceShutdown => "the service shuts down".into(),
        LeaveCause::TechnicalProblem => "a technical problem of the room".into(),
        LeaveCause::Destroyed {
            alternative: Some(room),
            reason,
        } => because(
            &format!("the room was destroyed in favour of {room}"),
            reason,
        ),
        LeaveCause::Destroyed {
            alternative: None,
            reason,
        } => because("the room was destroyed", reason),
        LeaveCause::Offline => "the connection ended".into(),
        LeaveCause::Unexplained => "removed without a word".into(),
        LeaveCause::Dropped => "the room had lost us without a word".into(),
        _ => "for an unknown reason".into(),
    }
}

/// Why a room was not joined, in words.
pub(crate) fn join_failure(error: &JoinFailure) -> String {
    RoomError::Refused(error.clone()).to_string()
}

/// What a person is to know before they say something there (XEP-0045 v1.35.5, sections
/// 14.3 and 14.5); empty if the room lets nothing special be known.
pub(crate) fn privacy(privacy: Privacy) -> &'static str {
    match (privacy.occupants_see_jids, privacy.logged) {
        (true, true) => "everybody in it sees your address, and what is said is logged publicly",
        (true, false) => "everybody in it sees your address",
        (false, true) => "what is said is logged publicly",
        (false, false) => "",
    }
}

/// `{topic, event, …}`.
pub(crate) fn room_event(topic: &str, event: &RoomEvent) -> Value {
    let again = |retry: &Retry| matches!(retry, Retry::At(_));
    match event {
        RoomEvent::Joined(joined) => json!({
            "topic": topic, "event": "joined", "nick": joined.nick, "created": joined.created,
            "occupantsSeeJids": joined.privacy.occupants_see_jids, "logged": joined.privacy.logged,
        }),
        RoomEvent::PrivacyChanged(privacy) => json!({
            "topic": topic, "event": "privacy-changed",
            "occupantsSeeJids": privacy.occupants_see_jids, "logged": privacy.logged,
        }),
        RoomEvent::ConfigChanged => json!({ "topic": topic, "event": "config-changed" }),
        RoomEvent::Described(info) => json!({
            "topic": topic, "event": "described", "archive": info.archive,
        }),
        RoomEvent::JoinFailed { error, retry } => json!({
            "topic": topic, "event": "join-failed", "cause": join_failure(error), "retry": again(retry),
        }),
        RoomEvent::OccupantJoined { nick } => {
            json!({ "topic": topic, "event": "occupant-joined", "nick": nick })
        }
        RoomEvent::OccupantLeft { nick, cause } => json!({
            "topic": topic, "event": "occupant-left", "nick": nick, "cause": leave_cause(cause),
        }),
        RoomEvent::NickChanged { from, to } => {
            json!({ "topic": topic, "event": "nick-changed", "from": from, "to": to })
        }
        RoomEvent::Subject { text, by } => {
            json!({ "topic": topic, "event": "subject", "text": text, "by": by })
        }
        RoomEvent::Left { cause, retry } => json!({
            "topic": topic, "event": "left", "cause": leave_cause(cause), "retry": again(retry),
        }),
        RoomEvent::Recreated => json!({ "topic": topic, "event": "recreated" }),
        _ => json!({ "topic": topic, "event": "other" }),
    }
}

/// `2026-01-31T23:59:59.123Z`.
fn rfc3339(time: SystemTime) -> String {
    let since = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let (days, secs) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Civil from days, by H. Hinnant's algorithm for dates after 1970.
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        secs / 3600,
        secs / 60 % 60,
        secs % 60,
        since.subsec_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn json_is_one_harmless_line_and_the_same_value(text in any::<String>()) {
            let json = to_json(&text);
            prop_assert!(!json.chars().any(is_dangerous));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    #[test]
    fn json_escapes_beyond_the_basic_plane() {
        assert_eq!(
            to_json(&"a\u{9b}\u{e0041}\u{202e}"),
            r#""a\u009b\udb40\udc41\u202e""#
        );
    }

    #[test]
    fn dates_are_right() {
        let at = |secs| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(secs));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(at(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(at(1_798_761_599_001), "2026-12-31T23:59:59.001Z");
    }
}
