//! A reader who stops while a room is flooded: what the client keeps stays flat, bounded by
//! [`Limits`](parley_xmpp::Limits), and afterwards everything is caught up with, each message
//! once and in the archive's order.
//!
//! Bytes are counted where they are allocated ([`cap`]), not guessed from the process. The engine
//! is alone with a scripted room here ([`engine`]); the tokio driver runs in a process of its own,
//! apart from the server and those who post ([`driver`]). `PARLEY_FLOOD_POSTS` says how many
//! messages flood the driver: 100,000 in a release build, 3,000 in a debug build unless it is set.
//! The engine always gets 100,000, within a virtual minute.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

mod peer;
mod flood {
    #[cfg(feature = "embedded")]
    mod driver;
    mod engine;
    #[cfg(feature = "embedded")]
    mod watch;
}

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Who counts is alone in the process.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
