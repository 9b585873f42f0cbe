//! What a client is told before it connects.

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use core::fmt;
use std::path::PathBuf;

use tokio_rustls::rustls;

use super::service::{Service, ServiceError};
use crate::jid::{BareJid, JidError};
use crate::{Config, ConfigError, Nick, SavedSession};

/// How to reach a server, and who to be there.
///
/// [`Settings::new`] suffices for most; each method changes one thing and says its default.
///
/// ```
/// use parley_xmpp::tokio::Settings;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut settings = Settings::new("xmpp://127.0.0.1:5222", "parley.local", "ana", "secret")?
///     .muc_service("rooms.parley.local")?
///     .keep_trying(true);
/// settings.config.timing.connect = std::time::Duration::from_secs(10);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The engine's own configuration: limits, timing, whether PLAIN may be used.
    /// Its `plaintext` is overwritten according to [`Settings::tls`].
    pub config: Config,
    pub(super) service: Service,
    pub(super) muc_service: String,
    pub(super) nick: Nick,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) tls_name: Option<String>,
    pub(super) tls_config: Option<Arc<rustls::ClientConfig>>,
    pub(super) tls: TlsMode,
    pub(super) keep_trying: bool,
    pub(super) resume: Option<SavedSession>,
}

/// Whether a connection may do without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsMode {
    /// Only where the service says itself that it is on this machine
    /// ([`Service::is_loopback`]), and only if the server does not require TLS, and only if
    /// nothing was set that shows that TLS is meant: no `ca_file`, no `tls_name`, no
    /// `tls_config`.
    #[default]
    Auto,
    /// Never.
    Required,
}

impl Settings {
    /// The settings for the account `username@domain` on the server at `service`.
    ///
    /// `service` is `xmpp://host[:port]`, `xmpps://host[:port]` or a bare domain;
    /// see [`Service`].
    ///
    /// # Errors
    /// If one of the four cannot be what it should be.
    pub fn new(
        service: &str,
        domain: &str,
        username: &str,
        password: &str,
    ) -> Result<Self, SettingsError> {
        let service = service.parse().map_err(SettingsError::Service)?;
        let config = Config::new(domain, username, password).map_err(SettingsError::Config)?;
        let muc_service = alloc::format!("muc.{}", config.account().domain());
        Ok(Self {
            config,
            service,
            muc_service,
            nick: Nick::Random,
            ca_file: None,
            tls_name: None,
            tls_config: None,
            tls: TlsMode::Auto,
            keep_trying: false,
            resume: None,
        })
    }

    /// The domain under which the rooms of topics are. Default: `muc.` and the account's domain.
    ///
    /// # Errors
    /// If it is not a domain.
    pub fn muc_service(mut self, service: &str) -> Result<Self, SettingsError> {
        let parsed = BareJid::parse(service).map_err(SettingsError::MucService)?;
        self.muc_service = parsed.to_string();
        Ok(self)
    }

    /// The nick in rooms that are named by topic. Default: [`Nick::Random`].
    #[must_use]
    pub fn nick(mut self, nick: Nick) -> Self {
        self.nick = nick;
        self
    }

    /// The resource to ask for. Default: a random one. A fixed one makes a second
    /// program with the same account and resource throw out the first.
    ///
    /// # Errors
    /// If it cannot be the resource of an address.
    pub fn resource(mut self, resource: &str) -> Result<Self, SettingsError> {
        self.config = self
            .config
            .resource(resource)
            .map_err(SettingsError::Config)?;
        Ok(self)
    }

    /// Trusts the certificates in this PEM file, and *only* these. Default: what the system trusts.
    ///
    /// A server of one's own is then not open to whomever any public authority
    /// has certified. The file is read when TLS is first needed.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// The name that the server's certificate must carry, instead of the account's domain.
    ///
    /// Only for servers whose certificate is made out to their host: it gives up
    /// the proof that the server speaks for the domain (RFC 6120 section 13.7.1.2).
    /// Internationalised names are given as A-labels (`xn--…`).
    #[must_use]
    pub fn tls_name(mut self, name: &str) -> Self {
        self.tls_name = Some(name.into());
        self
    }

    /// Uses this configuration of rustls as it is; `ca_file` then counts for
    /// nothing, and ALPN (`xmpp-client`) is the caller's to set.
    #[must_use]
    pub fn tls_config(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls_config = Some(config);
        self
    }

    /// Whether a connection may do without TLS. Default: [`TlsMode::Auto`].
    #[must_use]
    pub const fn tls(mut self, mode: TlsMode) -> Self {
        self.tls = mode;
        self
    }

    /// Whether [`Client::connect`](super::Client::connect) and the joining of rooms
    /// wait as long as the engine tries again by itself, instead of failing at
    /// the first refusal. Default: no. Once connected, interruptions are always mended.
    #[must_use]
    pub const fn keep_trying(mut self, yes: bool) -> Self {
        self.keep_trying = yes;
        self
    }

    /// Goes on with a session that was [suspended](super::Client::suspend), if it is of this
    /// account and the server still knows it; else begins another. Default: none.
    ///
    /// Rooms are to be joined again, under the same nicks. The server's preferred
    /// [`location`](SavedSession::location) is not followed: where the server is, these
    /// settings say, and what its certificate has to prove depends on them.
    #[must_use]
    pub fn resume(mut self, saved: SavedSession) -> Self {
        self.resume = Some(saved);
        self
    }

    /// Where the server is.
    #[must_use]
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// Whether clear text is ruled out.
    pub(super) const fn tls_only(&self) -> bool {
        matches!(self.tls, TlsMode::Required)
            || self.ca_file.is_some()
            || self.tls_name.is_some()
            || self.tls_config.is_some()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("service", &self.service)
            .field("account", self.config.account())
            .field("muc_service", &self.muc_service)
            .field("nick", &self.nick)
            .field("ca_file", &self.ca_file)
            .field("tls_name", &self.tls_name)
            .field("tls_config", &self.tls_config.is_some())
            .field("tls", &self.tls)
            .field("keep_trying", &self.keep_trying)
            .finish_non_exhaustive()
    }
}

/// Settings that cannot work.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsError {
    /// The service is not an address.
    Service(ServiceError),
    /// The domain, user name, password or resource cannot be one.
    Config(ConfigError),
    /// The service of the rooms is not a domain.
    MucService(JidError),
    /// The name that the certificate must carry is not a name.
    TlsName(String),
    /// The file of trusted certificates cannot be read, or holds none.
    CaFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(why) => why.fmt(f),
            Self::Config(why) => why.fmt(f),
            Self::MucService(why) => write!(f, "the service of the rooms is wrong: {why}"),
            Self::TlsName(name) => write!(f, "{name:?} is not a name that a certificate can carry"),
            Self::CaFile { path, detail } => {
                write!(f, "the file of trusted certificates {path:?}: {detail}")
            }
        }
    }
}

impl core::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("xmpp://127.0.0.1", "parley.local", "ana", "hunter2").unwrap()
    }

    #[test]
    fn rooms_are_under_the_domain_unless_said_otherwise() {
        assert_eq!(settings().muc_service, "muc.parley.local");
        assert_eq!(
            settings().muc_service("rooms.example").unwrap().muc_service,
            "rooms.example"
        );
    }

    #[test]
    fn whatever_shows_that_tls_is_meant_rules_out_clear_text() {
        assert!(!settings().tls_only());
        assert!(settings().tls(TlsMode::Required).tls_only());
        assert!(settings().ca_file("ca.pem").tls_only());
        assert!(settings().tls_name("host.example").tls_only());
    }

    #[test]
    fn the_password_is_not_shown() {
        assert!(!alloc::format!("{:?}", settings()).contains("hunter2"));
    }
}
