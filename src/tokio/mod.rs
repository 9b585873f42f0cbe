//! The driver: the engine over tokio and rustls, and an asynchronous API to it.
//!
//! [`Client::connect`] spawns one task that owns an [`Engine`](crate::Engine),
//! opens its transports (TCP, STARTTLS, direct TLS, with the feature `srv` SRV
//! records) and keeps the time for it. The handles, [`Client`], [`Room`] and
//! [`Subscription`], talk to the task over channels. There is no global state,
//! and no process-wide crypto provider is installed.
//!
//! ```no_run
//! use parley_xmpp::tokio::{Client, Settings};
//! use parley_xmpp::{Entry, Start};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::new("xmpp://127.0.0.1:5222", "parley.local", "ana", "secret")?;
//! let client = Client::connect(settings).await?;
//! let room = client.room("deploys").await?;
//! let mut messages = room.subscribe(Start::Now).await?;
//! room.post("v1.2 is out").await?;
//! while let Some(entry) = messages.next().await {
//!     if let Entry::Message(message) = entry {
//!         println!("{}: {}", message.nick.escape_debug(), message.body.escape_debug());
//!     }
//! }
//! client.close().await;
//! # Ok(()) }
//! ```
//!
//! What it does not do: proxies, WebSockets (RFC 7395), redirections
//! (`see-other-host`), client certificates other than through
//! [`Settings::tls_config`], 0-RTT.

mod client;
mod connect;
mod error;
mod link;
mod queue;
mod room;
mod route;
mod service;
mod settings;
mod srv;
mod subscription;
mod task;
mod tls;

pub use tokio_rustls::rustls;

pub use self::client::{Client, State, States, TlsInfo};
pub use self::error::{CertificateProblem, ConnectError};
pub use self::room::{
    FetchFailure, Lagged, Page, PostFailure, Posted, Room, RoomError, RoomEvents,
};
pub use self::service::{Service, ServiceError};
pub use self::settings::{Settings, SettingsError, TlsMode};
pub use self::subscription::Subscription;
