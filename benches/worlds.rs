//! How many worlds a minute this machine runs, on as many threads as it has cores: three
//! clients, 200 posts, 30 faults each, ten minutes of trouble and seven of recovery, watched
//! by the oracle. Exit code 1 if a world broke a rule.
//!
//! It holds no floor: a machine's worlds a minute depend on what else it does. It prints
//! them, to be compared with the figure that was stated for that machine.
//!
//! `cargo bench --all-features --bench worlds`

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a benchmark measures time and prints"
)]

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use parley_xmpp::sim::plan::{Plan, Profile};
use parley_xmpp::sim::{Pulling, run};

fn main() -> ExitCode {
    // `cargo test --benches` only looks whether it runs.
    let measured = std::env::args().any(|argument| argument == "--bench");
    let worlds: u64 = if measured { 2000 } else { 2 };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let profile = Profile::standard();
    let (next, virtual_seconds) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        let mut broken = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= worlds {
                return broken;
            }
            let plan = Plan::draw(seed, &profile);
            virtual_seconds.fetch_add(plan.end_at.as_micros() / 1_000_000, Ordering::Relaxed);
            let report = run(&plan, Pulling::default(), Vec::new());
            if let Some((_, violation)) = report.violations.into_iter().next() {
                broken.push((seed, violation));
            }
        }
    };
    let start = Instant::now();
    let mut broken: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let found = threads.into_iter().filter_map(|thread| thread.join().ok());
        found.flatten().collect()
    });
    let took = start.elapsed().as_secs_f64();
    println!("{worlds} worlds in {took:.1} s on {cores} cores");
    println!("{:.0} worlds a minute", worlds as f64 / took * 60.0);
    let seconds = virtual_seconds.into_inner() as f64;
    println!("{:.0} virtual seconds in one", seconds / took);
    broken.sort_by_key(|(seed, _)| *seed);
    for (seed, violation) in &broken {
        println!("seed {seed} broke {}: {}", violation.rule, violation.detail);
    }
    ExitCode::from(u8::from(!broken.is_empty()))
}
