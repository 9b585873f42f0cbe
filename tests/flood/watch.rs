//! Whoever waits for something that does not come says what it waits for, and ends the process.

use std::fmt::Write as _;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// So often it is looked whether it goes on.
const LOOK: Duration = Duration::from_secs(5);
/// After so many looks without a step nothing is waited for any more: far beyond what a link that
/// breaks costs.
const LOOKS: u32 = 30;

/// Steps of one kind of work, watched by a thread of its own: it also sees when a runtime stands
/// still. Without a step for two and a half minutes the process ends with an account.
pub(super) struct Watch {
    steps: AtomicU64,
    over: AtomicBool,
    /// What is under way.
    what: Mutex<String>,
}

impl Watch {
    /// Begins to watch; `account` tells what is known when it stands still.
    pub(super) fn start(account: impl Fn() -> String + Send + 'static) -> Arc<Self> {
        let watch = Arc::new(Self {
            steps: AtomicU64::new(0),
            over: AtomicBool::new(false),
            what: Mutex::new(String::new()),
        });
        let watched = Arc::clone(&watch);
        thread::spawn(move || watched.look(&account));
        watch
    }

    /// Something was done.
    pub(super) fn step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    /// Something else begins.
    pub(super) fn now(&self, what: &str) {
        *self.what.lock().unwrap_or_else(PoisonError::into_inner) = what.into();
        self.step();
    }

    /// Nothing is watched any more.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a thread that has nothing else to do"
    )]
    fn look(&self, account: &impl Fn() -> String) {
        let (mut steps, mut looks) = (0, 0);
        while !self.over.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
            let now = self.steps.load(Ordering::Relaxed);
            looks = if now == steps { looks + 1 } else { 0 };
            steps = now;
            if looks < LOOKS || self.over.load(Ordering::Relaxed) {
                continue;
            }
            let what = self.what.lock().unwrap_or_else(PoisonError::into_inner);
            eprintln!("it stands still: {what}, after {steps} steps");
            eprint!("{}", threads());
            // Last: it may need what somebody holds.
            eprintln!("{}", account());
            std::process::abort();
        }
    }
}

/// Where the kernel sees the threads of this process waiting; nothing where it does not say.
fn threads() -> String {
    let mut text = String::new();
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return text;
    };
    for task in tasks.flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let (name, call, place) = (read("comm"), read("syscall"), read("wchan"));
        let call = call.split(' ').next().unwrap_or_default();
        let _ = writeln!(text, "  {}: system call {call} in {place}", name.trim());
    }
    text
}
