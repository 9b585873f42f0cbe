//! How a server is set up, and what is derived from its passwords ahead of time.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::keys::{Hash, Keys};
use crate::XmlLimits;

/// Whose habits the model has, where servers differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Personality {
    /// Prosody 0.12.
    Prosody,
    /// ejabberd 23.01.
    Ejabberd,
}

/// How a server is set up. Cloning it shares the keys derived ahead of time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerSetup {
    /// Whose habits it has.
    pub personality: Personality,
    /// The domain it serves, in lower case; rooms are at `muc.` before it.
    pub domain: String,
    /// Names and passwords. Default: none.
    pub accounts: Vec<(String, String)>,
    /// The seed of its ids and nonces. Default: zero.
    pub seed: u64,
    /// What its wall clock shows at [`Instant::ZERO`](crate::Instant::ZERO), in
    /// microseconds since 1970. Default: 21 November 2026, noon.
    pub wall_clock: u64,
    /// Whether STARTTLS is offered and required. Default: yes.
    pub tls: bool,
    /// Whether logins may be bound to a channel with an exporter (RFC 9266).
    /// Default: no.
    pub channel_binding: bool,
    /// Whether PLAIN is offered, over TLS. Default: yes.
    pub plain: bool,
    /// Whether stream management (XEP-0198) is offered, and how long a broken
    /// stream can be resumed; `None` is not at all. Default: five minutes.
    pub resumption: Option<Duration>,
    /// The most messages in a page of the archive. Default: 50 on Prosody, 250
    /// on ejabberd.
    pub page_cap: u32,
    /// PBKDF2 rounds. Default: 4096.
    pub rounds: u32,
    /// Whether rooms stay when nobody is in them. Default: yes.
    pub persistent_rooms: bool,
    /// How long nobody may enter a new room that its creator does not configure.
    /// Default: five minutes on Prosody; not at all on ejabberd, which was measured
    /// not to lock.
    pub room_lock: Option<Duration>,
    /// Whether rooms let members in only. Default: no.
    pub members_only: bool,
    /// Whether rooms archive what is said. Default: yes.
    pub archive: bool,
    /// The most messages of a room that are kept; older ones expire. Default: 100 000.
    pub archive_limit: usize,
    /// The most rooms. Default: 10 000.
    pub rooms: usize,
    /// The most connections. Default: 10 000.
    pub connections: usize,
    /// What a client may send. Default: as a client's own.
    pub xml: XmlLimits,
    /// Keys by account, password, rounds and hash.
    keys: Arc<BTreeMap<(String, String, u32, Hash), Keys>>,
}

impl ServerSetup {
    /// A server of this personality for a domain, the rest at its default.
    #[must_use]
    pub fn new(personality: Personality, domain: &str) -> Self {
        Self {
            personality,
            domain: domain.into(),
            accounts: Vec::new(),
            seed: 0,
            wall_clock: 1_795_262_400_000_000,
            tls: true,
            channel_binding: false,
            plain: true,
            resumption: Some(Duration::from_secs(300)),
            page_cap: match personality {
                Personality::Prosody => 50,
                Personality::Ejabberd => 250,
            },
            rounds: 4096,
            persistent_rooms: true,
            room_lock: match personality {
                Personality::Prosody => Some(Duration::from_secs(300)),
                Personality::Ejabberd => None,
            },
            members_only: false,
            archive: true,
            archive_limit: 100_000,
            rooms: 10_000,
            connections: 10_000,
            xml: XmlLimits::default(),
            keys: Arc::default(),
        }
    }

    /// The same with an account more.
    #[must_use]
    pub fn account(mut self, name: &str, password: &str) -> Self {
        self.accounts.push((name.into(), password.into()));
        self
    }

    /// Derives the keys of all accounts now, once for all copies, so that no
    /// login of any server with this setup costs a key derivation.
    ///
    /// Optional: what is missing is derived at the first login.
    pub fn derive_keys(&mut self) {
        let mut keys = BTreeMap::new();
        for (name, password) in &self.accounts {
            for hash in [Hash::Sha1, Hash::Sha256] {
                keys.insert(
                    (name.clone(), password.clone(), self.rounds, hash),
                    Keys::derive(hash, name, password, self.rounds),
                );
            }
        }
        self.keys = Arc::new(keys);
    }

    /// Keys that were derived ahead of time.
    pub(super) fn keys(&self, name: &str, password: &str, hash: Hash) -> Option<&Keys> {
        let key = (name.into(), password.into(), self.rounds, hash);
        self.keys.get(&key)
    }
}
