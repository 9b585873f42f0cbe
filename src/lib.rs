//! placeholder
#![no_std]
extern crate alloc;
#[cfg(any(test, feature = "tokio"))]
extern crate std;

mod config;
mod engine;
mod error;
mod event;
mod ids;
mod limits;
mod ns;
mod sasl;
mod time;
pub mod jid;
pub mod topic;
pub mod xml;

pub use config::{ChannelBinding, Config, ConfigError, Credentials, Plaintext, Security};
pub use engine::*;
pub use error::*;
pub use event::*;
pub use ids::{ArchiveId, Cursor, PostId, QueryId, RoomId, Seed, SubscriptionId};
pub use limits::{Limits, Timing, XmlLimits};
pub use time::{Deadline, Instant, Timer};

#[cfg(feature = "tokio")]
pub mod tokio;
