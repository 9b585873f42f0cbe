//! A world: hosts, links, a server and a clock that jumps to what is due next.

mod hands;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::sim::bot::Bot;
use crate::sim::happening::{HostId, Watch};
use crate::sim::plan::{Fault, Order, Weather};
use crate::sim::server::{Server, ServerSetup};
use crate::{Config, Instant};

pub use hands::Hands;

/// How hosts pull what their engines have. None of it may make a difference to
/// what happens: that is the engine's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulling {
    /// Whether events are pulled after each call, or once all calls of an instant were made.
    pub eager: bool,
    /// The most bytes an engine is given at once.
    pub piece: usize,
}

impl Default for Pulling {
    fn default() -> Self {
        Self {
            eager: true,
            piece: usize::MAX,
        }
    }
}

/// A simulated world.
pub struct World {
    _private: (),
}

#[expect(
    unused_variables,
    missing_docs,
    clippy::needless_pass_by_value,
    reason = "a sketch of the surface"
)]
impl World {
    /// A world with a server and no hosts, at [`Instant::ZERO`].
    #[must_use]
    pub fn new(seed: u64, weather: Weather, server: ServerSetup) -> Self {
        Self { _private: () }
    }
    /// A host of an account, whose process starts now. `bot` makes the program, at
    /// each start of the process.
    pub fn add_host(&mut self, config: Config, bot: Box<dyn FnMut() -> Box<dyn Bot>>) -> HostId {
        HostId(0)
    }
    /// Shows all that happens to somebody.
    pub fn watch(&mut self, watcher: Box<dyn Watch>) {}
    pub fn pulling(&mut self, pulling: Pulling) {}
    pub fn now(&self) -> Instant {
        Instant::ZERO
    }
    /// Lets time pass until `end`, doing all that is due.
    pub fn run_until(&mut self, end: Instant) {}
    /// Tells a bot to do something, now.
    pub fn order(&mut self, host: HostId, order: &Order) {}
    /// Lets something go wrong, now (or when its trigger comes).
    pub fn fault(&mut self, fault: &Fault) {}
    /// Ends all faults: armed cuts are disarmed, stalls and refusals end, the server starts.
    pub fn heal(&mut self) {}
    pub fn server(&self) -> &Server {
        unimplemented_server()
    }
    /// What a host's bot keeps.
    pub fn kept(&self, host: HostId, name: &str) -> Option<&str> {
        None
    }
    /// A hash over all that happened: every byte, event, request and note with its time.
    pub fn hash(&self) -> u64 {
        0
    }
}

#[expect(clippy::empty_loop, reason = "a sketch")]
fn unimplemented_server() -> &'static Server {
    loop {}
}
