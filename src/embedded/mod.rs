//! A server in the process of its clients: the model server over tokio sockets.
//!
//! For integration tests of programs that use this crate, for trying things out,
//! and for `parley-xmpp serve` and `demo`. It keeps everything in memory, and it can
//! be made to fail as servers do: [`EmbeddedServer::operate`] crashes, stops and
//! starts it, kicks occupants, loses archives; [`EmbeddedServer::cut_links`] breaks
//! every connection. What it did in truth it says in [`EmbeddedServer::notes`], what it
//! holds in [`EmbeddedServer::archive`].
//!
//! TLS comes from a certificate made on the spot, in clear and by STARTTLS as
//! [`ServerSetup`](crate::sim::server::ServerSetup) says, and always from the first
//! byte too, on the same port.
//!
//! ```
//! use parley_xmpp::embedded::{EmbeddedServer, EmbeddedSetup};
//! use parley_xmpp::sim::server::{Personality, ServerSetup};
//! use parley_xmpp::tokio::Client;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let setup = ServerSetup::new(Personality::Prosody, "parley.local").account("ana", "secret");
//! let server = EmbeddedServer::start(EmbeddedSetup::new(setup)).await?;
//! let settings = server.client_settings("ana").ok_or("no such account")?;
//! let room = Client::connect(settings).await?.room("deploys").await?;
//! assert!(room.post("v1.2 is out").await?.id.is_some());
//! server.close().await;
//! # Ok(()) }
//! ```
//!
//! It is no server for anything but development: passwords lie in memory in
//! clear, nothing outlives the process, and nobody has hardened it against
//! strangers. Unless told otherwise it listens on loopback only.

mod certificate;
mod driver;
mod hub;
mod line;
mod server;
mod wire;

pub use self::hub::Notes;
pub use self::server::{Archived, EmbeddedServer, EmbeddedSetup};
