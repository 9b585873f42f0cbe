//! What an engine is told at birth.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use crate::jid::{BareJid, JidError, same_address};
use crate::limits::{Limits, Timing};
use crate::prep::prepare;

/// The account to log in with. `Debug` shows no password; memory is wiped on drop.
///
/// Both texts are kept as SASLprep (RFC 4013) makes them.
#[derive(Clone)]
pub struct Credentials {
    username: String,
    password: Zeroizing<String>,
}

impl Credentials {
    /// Prepares the localpart of the account's address, and its password.
    ///
    /// # Errors
    /// [`ConfigError::NoPassword`] and [`ConfigError::Unprepared`].
    pub fn new(username: &str, password: &str) -> Result<Self, ConfigError> {
        if password.is_empty() {
            return Err(ConfigError::NoPassword);
        }
        let username = prepare(username).ok_or(ConfigError::Unprepared)?;
        let password = prepare(password).ok_or(ConfigError::Unprepared)?;
        Ok(Self {
            username: username.into_owned(),
            password: Zeroizing::new(password.into_owned()),
        })
    }

    /// The localpart of the account's address, prepared.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    pub(crate) fn password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Whether anything may be said without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Plaintext {
    /// Never: a stream without TLS ends before the login.
    #[default]
    Never,
    /// Over a loopback address, if the server does not require TLS. Passwords
    /// still do not travel: PLAIN is never used in clear, SCRAM is.
    OnLoopback,
}

/// How a freshly opened transport is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Security {
    /// Not at all yet.
    Clear {
        /// The other end is a loopback address of this machine, and was meant to be: it was
        /// not the DNS that said so, which anybody may have answered.
        loopback: bool,
    },
    /// TLS stands and its certificate was verified for the account's domain
    /// (direct TLS, XEP-0368).
    Tls(ChannelBinding),
}

/// What binds a login to the TLS channel under it.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ChannelBinding {
    /// `tls-exporter`: 32 bytes exported under the label `EXPORTER-Channel-Binding`
    /// (RFC 9266, section 4). Only with TLS 1.3, or TLS 1.2 with extended master secret.
    pub exporter: Option<Vec<u8>>,
    /// `tls-server-end-point`: the hash of the server's certificate (RFC 5929, section 4).
    pub server_end_point: Option<Vec<u8>>,
}

/// An engine's configuration, checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    pub(crate) account: BareJid,
    pub(crate) credentials: Credentials,
    pub(crate) resource: Option<String>,
    /// Default: [`Plaintext::Never`].
    pub plaintext: Plaintext,
    /// Whether PLAIN may be used, over TLS, where the server offers no SCRAM. Default: no.
    pub allow_plain: bool,
    /// Whether streams are managed where the server offers it (XEP-0198): stanzas
    /// acknowledged, and a broken stream resumed. Default: yes.
    pub stream_management: bool,
    /// Whether the engine connects again by itself where that may help. Default: yes.
    /// Otherwise the end of each stream says [`Retry::Never`](crate::Retry::Never), and
    /// all that lived on it ends.
    pub reconnect: bool,
    /// The room services of our own server, as domains. `None`, the default: the
    /// account's domain and all below it.
    ///
    /// Between such a service and us there is no queue in which a post of a broken
    /// stream could survive unseen, so that one which the archive does not have can
    /// be sent again. Of a room elsewhere that can never be known. List nothing
    /// (`Some(vec![])`) to have no post sent again by that rule.
    pub own_services: Option<Vec<String>>,
    /// Whether a room's archive is asked for its end with the first join. What is posted before
    /// anything was heard there waits for the answer, which mostly comes with that to the join,
    /// and after that for [`Timing::settle`](crate::Timing::settle) at most; so it can be found
    /// later, however much is said meanwhile. Default: yes; a program that only reads can do
    /// without.
    pub anchor_at_join: bool,
    /// Whether subscriptions leave out what was said before by the same occupant
    /// under the same id (XEP-0359): a post that its sender had to send again.
    /// Default: yes.
    ///
    /// Of such copies a subscription delivers the first that it comes upon, live, from a
    /// page or late; [`Limits::remembered_ids`] of them are remembered. An occupant is
    /// known by its lasting id (XEP-0421), else by its nick. It does not hold from one
    /// subscription to the next, as after a new start of the program: a
    /// [`Bookmark`](crate::Bookmark) keeps places and no ids of senders. Nor for fetches,
    /// which show what the archive has.
    pub drop_repeats: bool,
    /// Every bound.
    pub limits: Limits,
    /// Every waiting time.
    pub timing: Timing,
}

impl Config {
    /// The configuration for the account `username@domain`, the rest at its default.
    ///
    /// # Errors
    /// [`ConfigError`] if the name or domain cannot be one, or if name or
    /// password cannot be used in a login.
    pub fn new(domain: &str, username: &str, password: &str) -> Result<Self, ConfigError> {
        let account = BareJid::new(Some(username), domain).map_err(ConfigError::Account)?;
        Ok(Self {
            account,
            credentials: Credentials::new(username, password)?,
            resource: None,
            plaintext: Plaintext::default(),
            allow_plain: false,
            stream_management: true,
            reconnect: true,
            own_services: None,
            anchor_at_join: true,
            drop_repeats: true,
            limits: Limits::default(),
            timing: Timing::default(),
        })
    }

    /// The same with a resource to ask for. Default: random, but the same for the
    /// life of the engine, so that a new stream of it makes the server close the
    /// old one; another is drawn after the server said `<conflict/>`, another stream
    /// having our place. One that is given here is asked for always.
    ///
    /// # Errors
    /// [`ConfigError::Resource`].
    pub fn resource(mut self, resource: &str) -> Result<Self, ConfigError> {
        let address = self.account.with_resource(resource);
        let address = address.map_err(ConfigError::Resource)?;
        self.resource = address.resource().map(Into::into);
        Ok(self)
    }

    /// Whether the room service at `domain` counts as one of our own server, by
    /// [`own_services`](Self::own_services).
    ///
    /// Of a post to a room elsewhere nobody can tell that it does not come any more: our own
    /// server may have taken it, and keep it in a queue for the other.
    #[must_use]
    pub fn is_own_service(&self, domain: &str) -> bool {
        if let Some(services) = &self.own_services {
            return services.iter().any(|service| same_address(domain, service));
        }
        domain
            .strip_suffix(self.account.domain())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    /// The account's address.
    #[must_use]
    pub const fn account(&self) -> &BareJid {
        &self.account
    }
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The account's name or domain is not part of an address.
    Account(JidError),
    /// The resource cannot be one.
    Resource(JidError),
    /// The password is empty.
    NoPassword,
    /// The name or password holds characters that need normalisation (RFC 4013),
    /// and the crate was built without the feature `saslprep`; or holds
    /// characters that no login may contain.
    Unprepared,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(why) => write!(f, "the account's address is wrong: {why}"),
            Self::Resource(why) => write!(f, "the resource is wrong: {why}"),
            Self::NoPassword => f.write_str("the password is empty"),
            Self::Unprepared => f.write_str(
                "the user name or password holds characters that a login cannot carry, \
                 or that need the feature `saslprep`",
            ),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_at_or_below_our_domain_are_our_own_unless_told() {
        let mut config = Config::new("parley.local", "ana", "secret").unwrap();
        for (domain, own) in [
            ("parley.local", true),
            ("muc.parley.local", true),
            ("a.muc.parley.local", true),
            ("evilparley.local", false),
            ("muc.example.org", false),
            ("local", false),
        ] {
            assert_eq!(config.is_own_service(domain), own, "{domain}");
        }
        config.own_services = Some(alloc::vec!["Rooms.example.org.".into()]);
        assert!(config.is_own_service("rooms.example.org"));
        assert!(!config.is_own_service("muc.parley.local"));
    }

    #[test]
    fn a_configuration_that_cannot_log_in_is_none() {
        let new = |user, password| Config::new("parley.local", user, password).map(|_| ());
        assert_eq!(new("ana", "secret, =1"), Ok(()));
        assert_eq!(new("ana", ""), Err(ConfigError::NoPassword));
        assert_eq!(new("ana", "a\u{7}b"), Err(ConfigError::Unprepared));
        assert!(matches!(
            new("ana@parley.local", "x"),
            Err(ConfigError::Account(_))
        ));
        assert!(matches!(new("", "x"), Err(ConfigError::Account(_))));
        let beyond_ascii = new("ana", "p\u{e4}ss");
        assert_eq!(beyond_ascii.is_ok(), cfg!(feature = "saslprep"));
    }
}
