//! What the specifications demand of a client, row by row, and what shows that it is so.
//!
//! `tests/compliance/README.md` says what is in the tables and how to print them:
//!
//! ```text
//! cargo test --test compliance -- --ignored --nocapture print_the_table
//! ```

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

mod compliance {
    mod examples;
    mod rooms;
    mod stage;
    mod stanzas;
    mod stream;
    mod table;
}

#[path = "peer/scram.rs"]
mod scram;
