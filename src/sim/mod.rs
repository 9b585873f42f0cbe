//! A simulated world: engines, a server, a network and a clock, from one seed.
//!
//! The same engine that runs over sockets runs here over links that cut, stall and
//! delay at any byte, against a model of a server that crashes, forgets and lies
//! behind, with a clock that jumps to what is due next. A day passes in
//! milliseconds, and the same seed gives the same day, bit by bit.
//!
//! Write what your program does as a [`Bot`], put as many as you like into a
//! [`World`], and let time pass:
//!
//! ```
//! use core::time::Duration;
//!
//! use parley_xmpp::jid::BareJid;
//! use parley_xmpp::sim::plan::{Fault, Weather};
//! use parley_xmpp::sim::server::{Personality, ServerSetup};
//! use parley_xmpp::sim::{Bot, Ending, Hands, HostId, Side, World};
//! use parley_xmpp::{Config, Event, Instant, JoinRoom, Nick, Post, RoomEvent};
//!
//! /// Greets a room each time it comes in.
//! struct Greeter;
//!
//! impl Bot for Greeter {
//!     fn started(&mut self, hands: &mut Hands<'_>) {
//!         let room = BareJid::parse("ops@muc.example.org").expect("an address");
//!         hands.join(&JoinRoom::new(room, Nick::Random)).expect("a first room");
//!     }
//!
//!     fn told(&mut self, hands: &mut Hands<'_>, event: Event) {
//!         if let Event::Room { room, event: RoomEvent::Joined(_) } = event {
//!             hands.post(room, &Post::new("good day")).expect("a post");
//!         }
//!     }
//! }
//!
//! let server = ServerSetup::new(Personality::Prosody, "example.org").account("ada", "secret");
//! let mut world = World::new(7, Weather::calm(), server);
//! let account = Config::new("example.org", "ada", "secret")?;
//! let ada = world.add_host(account, Box::new(|| Box::new(Greeter)));
//!
//! world.run_until(Instant::from_millis(5_000));
//! world.fault(&Fault::Cut {
//!     host: ada,
//!     from: Side::Server,
//!     after_bytes: 0,
//!     how: Ending::Silence,
//!     linger: None,
//! });
//! world.run_until(Instant::from_millis(300_000));
//! // The link broke and the stream was resumed: it never was out of the room.
//! assert_eq!(world.server().archive("ops@muc.example.org").count(), 1);
//! # let _: HostId = ada;
//! # Ok::<(), parley_xmpp::ConfigError>(())
//! ```
//!
//! # The rooms
//!
//! - [`World`], [`Bot`], [`Hands`]: hosts, links and a server in one time.
//! - [`server`]: the model server, which can be driven without a world too.
//! - [`plan`]: a whole run decided in advance, with a text form to keep.
//! - [`Watch`], [`Happening`]: everything that happens, for whoever wants to look.
//!
//! # What it does not do
//!
//! TLS is modelled by its shape: flights of bytes that can be cut and delayed, and a
//! channel binding that both ends share; nothing is encrypted. There is one server,
//! without links to others: what only happens between servers does not happen here.
//! Bots run one after the other; threads are not simulated.

mod bot;
mod chart;
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
pub use chart::{Chart, ChartLimits};
pub use happening::{Ending, Happening, HostId, LinkId, Request, Side, Violation, Watch};
pub use member::Member;
pub use oracle::{ATTEMPTS, CLOSING, DELIVERY, Oracle, RECOVERY, STANZAS};
pub use random::Random;
pub use run::{Report, run};
pub use shrink::{Progress, shrink, shrink_with};
pub use timeline::Timeline;
pub use world::{Hands, Pulling, World};
