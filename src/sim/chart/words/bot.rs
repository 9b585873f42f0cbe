//! What bots ask, what engines tell and what the server notes, in a few words.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::brief;
use super::super::item::Handles;
use super::{address, quoted};
use crate::sim::happening::Request;
use crate::sim::server::Note;
use crate::{
    Cursor, Entry, Event, FetchEvent, LeaveCause, OfflineCause, PostOutcome, Retry, RoomEvent,
    Start,
};

/// A request's label and details. Its handle is given a name.
pub(in crate::sim::chart) fn request(
    handles: Option<&mut Handles>,
    request: &Request<'_>,
) -> (String, String) {
    let mut none = Handles::default();
    let handles = handles.unwrap_or(&mut none);
    let room_name = |handles: &Handles, id| handles.rooms.get(id).cloned().unwrap_or_default();
    let label = match request {
        Request::Join(join, id) => {
            let name = address(join.room.as_ref());
            let label = format!("join {name}");
            handles.rooms.insert(*id, name);
            label
        }
        Request::Leave(id) => format!("leave {}", room_name(handles, id)),
        Request::Post(room, post, id) => {
            let text = quoted(&post.body);
            handles.posts.insert(*id, text.clone());
            format!("post {text} to {}", room_name(handles, room))
        }
        Request::Fetch(room, fetch, id) => {
            let name = room_name(handles, room);
            let label = match &fetch.since {
                Some(since) => format!("fetch {} of {name} since {}", fetch.limit, place(since)),
                None => format!("fetch newest {} of {name}", fetch.limit),
            };
            handles.queries.insert(*id, name);
            label
        }
        Request::Subscribe(room, start, id) => {
            let name = room_name(handles, room);
            let label = match start {
                Start::Now => format!("follow {name} from now"),
                Start::Cursor(cursor) => format!("follow {name} from {}", place(cursor)),
                Start::Bookmark(bookmark) => format!(
                    "follow {name} from {} and {} more",
                    bookmark.cursor().map_or_else(|| "now".into(), place),
                    bookmark.beyond().count()
                ),
            };
            handles.subscriptions.insert(*id, name);
            label
        }
        Request::Grant(id, credit) => {
            let name = handles.subscriptions.get(id).map_or("", String::as_str);
            format!("ready for {credit} more of {name}")
        }
        Request::Unsubscribe(id) => {
            let name = handles.subscriptions.get(id).map_or("", String::as_str);
            format!("unfollow {name}")
        }
        Request::Reconnect => "reconnect".into(),
        Request::Close => "close".into(),
        #[allow(unreachable_patterns, reason = "what is to come is shown as it is")]
        other => brief(&format!("{other:?}"), 80),
    };
    (label, format!("{request:#?}"))
}

/// An event's label and details.
pub(in crate::sim::chart) fn event(
    handles: Option<&mut Handles>,
    event: &Event,
) -> (String, String) {
    let none = Handles::default();
    let handles = handles.map_or(&none, |handles| &*handles);
    let label = match event {
        Event::Online { jid, .. } => format!("online as {}", address(jid.as_ref())),
        Event::Offline { cause, retry } => format!("offline: {}{}", offline(cause), again(*retry)),
        Event::Room { room, event } => {
            let name = handles.rooms.get(room).map_or("room", String::as_str);
            format!("{name}: {}", room_event(event))
        }
        Event::Entry {
            subscription,
            entry,
        } => {
            let name = handles
                .subscriptions
                .get(subscription)
                .map_or("room", String::as_str);
            format!("{name}: {}", self::entry(entry))
        }
        Event::Post { id, outcome } => {
            let text = handles.posts.get(id).map_or("post", String::as_str);
            format!("{text} {}", self::outcome(outcome))
        }
        Event::Fetch { id, event } => {
            let name = handles.queries.get(id).map_or("room", String::as_str);
            match event {
                FetchEvent::Page(page) => format!("fetch of {name}: {} messages", page.len()),
                FetchEvent::Done { complete, .. } => match complete {
                    true => format!("fetch of {name} done, nothing newer"),
                    false => format!("fetch of {name} done, there is more"),
                },
                FetchEvent::Failed(error) => format!("fetch of {name} failed: {error}"),
            }
        }
        Event::Disco { result, .. } => match result {
            Ok(info) => format!("discovered {} features", info.features.len()),
            Err(error) => format!("discovery failed: {error}"),
        },
        Event::Closed => "closed".into(),
        #[allow(unreachable_patterns, reason = "what is to come is shown as it is")]
        other => brief(&format!("{other:?}"), 80),
    };
    (label, format!("{event:#?}"))
}

fn offline(cause: &OfflineCause) -> String {
    match cause {
        OfflineCause::Transport(failure) => {
            let kind = format!("{:?}", failure.kind).to_ascii_lowercase();
            format!("{kind} failed, {}", brief(&failure.detail, 40))
        }
        OfflineCause::TimedOut(timer) => format!("timed out ({timer:?})"),
        OfflineCause::PeerClosed => "closed by the server".into(),
        OfflineCause::Truncated => "cut short".into(),
        OfflineCause::StreamError { condition, .. } => format!("stream error {condition}"),
        OfflineCause::Auth(failure) => format!("not authenticated, {failure}"),
        OfflineCause::Closed => "as asked".into(),
        other => brief(&format!("{other:?}"), 60),
    }
}

fn again(retry: Retry) -> String {
    match retry {
        Retry::At(at) => format!("; again at {}", super::time(at.as_micros())),
        Retry::Never => "; for good".into(),
    }
}

fn room_event(event: &RoomEvent) -> String {
    match event {
        RoomEvent::Joined(joined) => match joined.created {
            true => format!("joined as {}, created", brief(&joined.nick, 24)),
            false => format!("joined as {}", brief(&joined.nick, 24)),
        },
        RoomEvent::JoinFailed { error, retry } => {
            format!(
                "join failed: {}{}",
                brief(&format!("{error:?}"), 48),
                again(*retry)
            )
        }
        RoomEvent::OccupantJoined { nick } => format!("{} came", brief(nick, 24)),
        RoomEvent::OccupantLeft { nick, .. } => format!("{} went", brief(nick, 24)),
        RoomEvent::Subject { text, .. } => format!("subject {}", quoted(text)),
        RoomEvent::Left { cause, retry } => format!("out, {}{}", out(cause), again(*retry)),
        other => brief(&format!("{other:?}"), 60),
    }
}

fn out(cause: &LeaveCause) -> String {
    match cause {
        LeaveCause::Asked => "as asked".into(),
        LeaveCause::Kicked { .. } => "kicked".into(),
        LeaveCause::Banned { .. } => "banned".into(),
        LeaveCause::Destroyed { .. } => "the room is destroyed".into(),
        LeaveCause::Offline => "offline".into(),
        other => brief(&format!("{other:?}"), 40),
    }
}

fn entry(entry: &Entry) -> String {
    match entry {
        Entry::Message(message) => {
            let id = message.id.as_ref().map(|id| short(id.as_str()));
            let source = format!("{:?}", message.source).to_ascii_lowercase();
            let id = id.map_or_else(String::new, |id| format!(" {id}"));
            format!("got {}{id} ({source})", quoted(&message.body))
        }
        Entry::CaughtUp { at } => match at {
            Some(at) => format!("caught up at {}", place(at)),
            None => "caught up".into(),
        },
        Entry::Confirmed { at } => format!("sure up to {}", place(at)),
        Entry::Gap { after, reason } => {
            let after = after
                .as_ref()
                .map(|after| format!(" after {}", place(after)));
            let reason = brief(&format!("{reason:?}"), 40);
            format!("GAP{}: {reason}", after.unwrap_or_default())
        }
        Entry::Ended => "the subscription ends".into(),
        #[allow(unreachable_patterns, reason = "what is to come is shown as it is")]
        other => brief(&format!("{other:?}"), 60),
    }
}

fn outcome(outcome: &PostOutcome) -> String {
    match outcome {
        PostOutcome::Committed { id, via } => {
            let at = id.as_ref().map(|id| format!(" at {}", short(id.as_str())));
            let via = format!("{via:?}").to_ascii_lowercase();
            format!("committed{} ({via})", at.unwrap_or_default())
        }
        PostOutcome::Rejected(error) => format!("rejected: {}", brief(&error.to_string(), 40)),
        PostOutcome::NotSent(why) => format!("not sent: {why:?}"),
        PostOutcome::Unknown { .. } => "UNKNOWN".into(),
        #[allow(unreachable_patterns, reason = "what is to come is shown as it is")]
        other => brief(&format!("{other:?}"), 60),
    }
}

/// The label and details of what a bot keeps. Names of things kept often hold an
/// address, and values are ids.
pub(in crate::sim::chart) fn kept(name: &str, value: &str) -> (String, String) {
    let name_in_short: Vec<String> = name.split(' ').map(address).collect();
    let value_in_short = match value.contains('@') {
        true => address(value),
        false => short(value),
    };
    let label = format!("keeps {} = {value_in_short}", name_in_short.join(" "));
    (label, format!("{name} = {value}"))
}

/// A note's label and details.
pub(in crate::sim::chart) fn note(note: &Note) -> (String, String) {
    let label = match note {
        Note::Session { jid, resumed, .. } => match resumed {
            true => format!("session of {} resumed", address(jid)),
            false => format!("session of {}", address(jid)),
        },
        Note::SessionEnded { jid } => format!("session of {} ended", address(jid)),
        Note::StreamError { condition, .. } => format!("stream error {condition}"),
        Note::RoomCreated { room } => format!("room {} created", address(room)),
        Note::RoomGone { room } => format!("room {} is gone", address(room)),
        Note::Entered { room, nick, .. } => format!("{} enters {}", brief(nick, 24), address(room)),
        Note::Left {
            room, nick, told, ..
        } => {
            let silent = if *told { "" } else { " untold" };
            format!("{} leaves {}{silent}", brief(nick, 24), address(room))
        }
        Note::Accepted {
            archive_id, body, ..
        } => {
            let id = archive_id.as_ref().map(|id| format!(" as {}", short(id)));
            format!("accepted {}{}", quoted(body), id.unwrap_or_default())
        }
        Note::Overtaken { jid, .. } => format!("late for {}", address(jid)),
        Note::Refused { jid, .. } => format!("refused a message of {}", address(jid)),
        Note::Archived { archive_id, .. } => format!("archived {}", short(archive_id)),
        Note::Unarchived { archive_id, .. } => format!("unarchived {}", short(archive_id)),
        #[allow(unreachable_patterns, reason = "what is to come is shown as it is")]
        other => brief(&format!("{other:?}"), 80),
    };
    (label, format!("{note:#?}"))
}

fn place(cursor: &Cursor) -> String {
    match cursor.as_str() {
        "" => "the beginning".into(),
        id => short(id),
    }
}

/// The end of an id: archives' ids often begin alike.
fn short(id: &str) -> String {
    let count = id.chars().count();
    match count > 10 {
        true => format!(
            "…{}",
            brief(
                &id.chars().skip(count.saturating_sub(8)).collect::<String>(),
                8
            )
        ),
        false => brief(id, 10),
    }
}
