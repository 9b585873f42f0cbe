//! A simulated world: engines, a server, a network and a clock, from one seed.

mod bot;
mod happening;
mod member;
mod oracle;
pub mod plan;
mod random;
mod run;
pub mod server;
mod shrink;
mod timeline;
mod world;

pub use bot::Bot;
pub use happening::{Ending, Happening, HostId, LinkId, Request, Side, Violation, Watch};
pub use member::Member;
pub use oracle::{ATTEMPTS, CLOSING, DELIVERY, Oracle, RECOVERY, STANZAS};
pub use random::Random;
pub use run::{Report, run};
pub use shrink::{Progress, shrink, shrink_with};
pub use timeline::Timeline;
pub use world::{Hands, Pulling, World};
