//! placeholder
#![no_std]
extern crate alloc;
#[cfg(any(test, feature = "tokio"))]
extern crate std;

mod config;
mod cx;
mod engine;
mod error;
mod event;
mod ids;
pub mod jid;
mod limits;
mod mam;
mod muc;
mod ns;
mod prep;
mod room;
mod rsm;
mod sasl;
mod stanza;
mod stream;
mod time;
pub mod topic;
pub mod xml;

#[cfg(feature = "tokio")]
pub mod tokio;

pub use config::{ChannelBinding, Config, ConfigError, Credentials, Plaintext, Security};
pub use engine::*;
pub use error::*;
pub use event::*;
pub use ids::{ArchiveId, Cursor, PostId, QueryId, RoomId, Seed, SubscriptionId};
pub use limits::{Limits, Timing, XmlLimits};
pub use time::{Deadline, Instant, Timer};
