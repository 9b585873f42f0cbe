//! How many worlds a minute one core runs: three clients, 200 posts, 30 faults each,
//! ten minutes of trouble and five of recovery, watched by the oracle.
//!
//! `cargo bench --features sim --bench worlds`

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark measures time and prints"
)]

use std::time::Instant;

use parley_xmpp::sim::plan::{Plan, Profile};
use parley_xmpp::sim::{Pulling, run};

fn main() {
    // `cargo test --benches` only looks whether it runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let worlds: u64 = if measured { 1000 } else { 2 };
    let profile = Profile::standard();
    let (mut broken, mut virtual_seconds) = (0, 0);
    let start = Instant::now();
    for seed in 0..worlds {
        let plan = Plan::draw(seed, &profile);
        virtual_seconds += plan.end_at.as_micros() / 1_000_000;
        let report = run(&plan, Pulling::default(), Vec::new());
        broken += u64::from(!report.violations.is_empty());
    }
    let took = start.elapsed().as_secs_f64();
    println!("{worlds} worlds, {broken} of them with a rule broken, in {took:.1} s on one core");
    println!("{:.0} worlds a minute", worlds as f64 / took * 60.0);
    println!(
        "{:.0} virtual seconds in one",
        virtual_seconds as f64 / took
    );
}
