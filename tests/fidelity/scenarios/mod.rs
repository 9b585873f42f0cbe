//! What is played on every server: each scenario has a room of its name, and clients of its own.

mod archive;
mod archive_refusals;
mod entering;
mod login;
mod management;
mod removal;
mod services;
mod streams;
mod talking;

use crate::stage::Stage;

/// The name of a scenario, and what happens in it.
pub(crate) type Scenario = (&'static str, fn(&mut Stage<'_>));

pub(crate) fn all() -> Vec<Scenario> {
    [
        login::ALL,
        services::ALL,
        entering::ALL,
        talking::ALL,
        removal::ALL,
        archive::ALL,
        archive_refusals::ALL,
        management::ALL,
        streams::ALL,
    ]
    .concat()
}

const OWNER: &str = "http://jabber.org/protocol/muc#owner";
const ADMIN: &str = "http://jabber.org/protocol/muc#admin";

/// Enters the room without its history.
fn join(nick: &str) -> String {
    join_with(nick, "<history maxstanzas='0'/>")
}

/// Enters the room.
fn join_with(nick: &str, wishes: &str) -> String {
    format!(
        "<presence to='{{room}}/{nick}' id='join-{nick}'>\
         <x xmlns='http://jabber.org/protocol/muc'>{wishes}</x></presence>"
    )
}

fn leave(nick: &str) -> String {
    format!("<presence type='unavailable' to='{{room}}/{nick}'/>")
}

/// Says something to the room.
fn post(id: &str, text: &str) -> String {
    format!("<message type='groupchat' id='{id}' to='{{room}}'><body>{text}</body></message>")
}

/// Takes the room as it is: it is locked until then.
fn unlock() -> String {
    configure("")
}

fn configure(fields: &str) -> String {
    let form = if fields.is_empty() {
        String::new()
    } else {
        format!(
            "<field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value>\
             </field>{fields}"
        )
    };
    format!(
        "<iq type='set' id='configure' to='{{room}}'><query xmlns='{OWNER}'>\
         <x xmlns='jabber:x:data' type='submit'>{form}</x></query></iq>"
    )
}

fn get(id: &str, to: &str, payload: &str) -> String {
    format!("<iq type='get' id='{id}' to='{to}'>{payload}</iq>")
}

fn administer(id: &str, item: &str) -> String {
    format!("<iq type='set' id='{id}' to='{{room}}'><query xmlns='{ADMIN}'>{item}</query></iq>")
}

/// These enter the room, the first as its owner; nothing of that is written down.
fn in_room(stage: &mut Stage<'_>, names: &[&str]) {
    for (n, name) in names.iter().enumerate() {
        stage.enter(name);
        stage.step("in", &[(name, &join(name))]);
        if n == 0 {
            stage.step("unlocked", &[(name, &unlock())]);
        }
    }
    stage.steps.clear();
}
