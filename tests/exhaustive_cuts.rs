//! One session, disturbed at every place there is: login, stream management, join, posts,
//! live messages, catch-up, leave; on the models of both servers, with resumption and
//! without. Afterwards all is well again, and every rule has to hold.

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
