//! A simulated world: engines, a server, a network and a clock, from one seed.

mod random;
pub mod server;

pub use random::Random;
