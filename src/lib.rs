//! placeholder
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod config;
mod error;
mod event;
mod ids;
mod limits;
mod ns;
mod prep;
mod sasl;
mod time;
pub mod jid;
pub mod topic;
pub mod xml;

pub use config::{ChannelBinding, Config, ConfigError, Credentials, Plaintext, Security};
pub use error::*;
pub use event::*;
pub use ids::{ArchiveId, Cursor, PostId, QueryId, RoomId, Seed};
pub use limits::{Limits, Timing, XmlLimits};
pub use time::{Deadline, Instant, Timer};
