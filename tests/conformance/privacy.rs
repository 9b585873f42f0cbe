//! What a room lets be known of those who are in it (XEP-0045 v1.35.5, sections 7.2.3,
//! 7.2.12 and 10.2.1), as real servers say it when its owner changes that.

use std::time::Duration;

use parley_xmpp::{Privacy, RoomEvent};

use crate::common;
use crate::evictions::Host;
use crate::support::Kind;

/// Whether everybody sees our address, and whether what is said is logged.
fn known(privacy: Privacy) -> (bool, bool) {
    (privacy.occupants_see_jids, privacy.logged)
}

/// Sets a field of the room's configuration as its owner, and waits for what we are told.
fn set(host: &mut Host, field: &str, value: &str) -> (bool, bool) {
    host.configure(field, value);
    let told = host.until_room(|event| matches!(event, RoomEvent::PrivacyChanged(_)));
    match told.last() {
        Some(RoomEvent::PrivacyChanged(privacy)) => known(*privacy),
        other => panic!("{other:?}"),
    }
}

const WHOIS: &str = "muc#roomconfig_whois";

fn a_room_that_shows_addresses_says_so(kind: Kind) {
    let Some(server) = common(kind) else { return };
    let silence = Duration::from_secs(3);
    let (mut host, _) = Host::in_room(server, "shows-addresses", silence);
    host.configure("muc#roomconfig_persistentroom", "1");
    assert_eq!(set(&mut host, WHOIS, "anyone"), (true, false));
    assert_eq!(set(&mut host, WHOIS, "moderators"), (false, false));
}

#[test]
fn prosody_says_that_addresses_are_shown() {
    a_room_that_shows_addresses_says_so(Kind::Prosody);
}

#[test]
fn ejabberd_says_that_addresses_are_shown() {
    a_room_that_shows_addresses_says_so(Kind::Ejabberd);
}
