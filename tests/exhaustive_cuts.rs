//! One session, disturbed at every place there is: login, stream management, join, posts,
//! live messages, catch-up, leave; on the models of both servers, with resumption and
//! without. Afterwards all is well again, and every rule has to hold. Each pass has a
//! witness that the disturbance came to be, ends where the session has no such place any
//! more, and prints what it did.
//!
//! - [`cuts`]: cut at every byte, in both directions, by FIN, RST and silence (on the model
//!   with ejabberd's habits by one of them in turn; `PARLEY_CUTS=all` does all there too);
//! - [`stanzas`]: every stanza of the server doubled, dropped, and swapped with the next;
//! - [`effects`]: every connection refused and not answered, every TLS handshake failed,
//!   every write held up, taken byte by byte, and refused for good;
//! - [`timers`]: every timer of the client late, by a second and by a minute, and early.
//!
//! A release build tries every byte, write and timer, a debug build some of them;
//! `PARLEY_STRIDE=1` tries every one there too. Stanzas, connections and handshakes are all
//! tried in both.
//!
//! [`cuts`]: exhaustive_cuts::cuts
//! [`effects`]: exhaustive_cuts::effects
//! [`stanzas`]: exhaustive_cuts::stanzas
//! [`timers`]: exhaustive_cuts::timers

#![cfg(feature = "sim")]
#![allow(
    clippy::expect_used,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails by panicking"
)]

mod exhaustive_cuts {
    mod cuts;
    mod effects;
    mod session;
    mod stanzas;
    mod timers;
}
