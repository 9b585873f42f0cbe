//! A simulated world: engines, a server, a network and a clock, from one seed.

mod bot;
mod chart;
mod happening;
pub mod plan;
mod random;
mod run;
pub mod server;
mod world;

pub use bot::Bot;
pub use chart::{Chart, ChartLimits};
pub use happening::{Ending, Happening, HostId, LinkId, Request, Side, Violation, Watch};
pub use random::Random;
pub use run::{Report, run};
pub use world::{Hands, Pulling, World};
