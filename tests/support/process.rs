//! A child process that cannot outlive the test process.
//!
//! Two children serve each server. The **server** itself leads a process group of its own, so that
//! its helpers die with it. The **guard** is a small shell that knows the server's process id and
//! reads from a pipe which only the test process holds open. However the test process ends (return,
//! panic, abort, SIGKILL, Ctrl-C), the kernel closes that pipe, and the guard kills the server's
//! group and removes the directory. That also covers servers in a `static`, which Rust never drops.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long to sleep between two looks at a condition.
pub(super) const STEP: Duration = Duration::from_millis(20);

/// Reads process ids, one a line (empty: none), and acts on the last of them when its input ends.
const GUARD: &str = r#"
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then kill -KILL "-$pid" 2>/dev/null; fi
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf "$1" 2>/dev/null && [ ! -e "$1" ] && exit 0
    sleep 0.05
done
"#;

/// Waits for the word to go, so that the guard knows the process id before the server runs at all.
const LAUNCH: &str = r#"read -r go && exec "$@" </dev/null"#;

/// What to run: a program, its arguments, and what to add to the environment.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(&'static str, String)>,
}

/// A server process, its guard and its directory.
#[derive(Debug)]
pub(super) struct Supervised {
    directory: PathBuf,
    guard: Child,
    server: Option<Child>,
}

impl Supervised {
    /// Takes over `directory`, which the guard removes in the end; starts no server yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&directory)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Of its own group, or else Ctrl-C in a terminal would stop the guard as well.
            .process_group(0)
            .spawn()
            .expect("a guard process");
        Self {
            directory,
            guard,
            server: None,
        }
    }

    /// Runs the server with its output appended to [`Self::output`].
    pub(super) fn start(&mut self, launch: &Launch) {
        assert!(self.server.is_none(), "the server already runs");
        let output = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.output())
            .expect("a file for the server's output");
        let errors = output.try_clone().expect("a second handle");
        let mut server = Command::new("sh")
            .args(["-c", LAUNCH, "launch"])
            .arg(&launch.program)
            .args(&launch.arguments)
            .envs(launch.environment.iter().map(|(key, value)| (key, value)))
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .expect("a server process");
        self.tell_guard(Some(server.id()));
        let mut go = server.stdin.take().expect("a pipe to the server");
        // A failure means that it is gone already, which `exited` reports.
        let _ = go.write_all(b"go\n");
        self.server = Some(server);
    }

    /// The file with everything that the server printed, over all its starts.
    pub(super) fn output(&self) -> PathBuf {
        self.directory.join("output.log")
    }

    /// The directory that the server lives in.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server's process id, while it runs.
    pub(super) fn id(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// The exit status, if the server ended by itself.
    pub(super) fn exited(&mut self) -> Option<ExitStatus> {
        let server = self.server.as_mut()?;
        server.try_wait().expect("the state of the server process")
    }

    /// Kills the server and its helpers with SIGKILL, and waits for its end.
    pub(super) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            signal("KILL", &format!("-{}", server.id()));
            server.wait().expect("the end of the server process");
            // The id may be given to somebody else from now on: the guard must forget it.
            self.tell_guard(None);
        }
    }

    /// Asks the server to shut down with SIGTERM, and kills it if it has not after `patience`.
    pub(super) fn stop(&mut self, patience: Duration) {
        if let Some(id) = self.id() {
            signal("TERM", &id.to_string());
            let deadline = Instant::now() + patience;
            while self.exited().is_none() && Instant::now() < deadline {
                thread::sleep(STEP);
            }
            // Helpers may be left of a group whose leader is gone.
            self.kill();
        }
    }

    fn tell_guard(&mut self, id: Option<u32>) {
        let line = id.map_or_else(|| "\n".to_owned(), |id| format!("{id}\n"));
        if let Some(pipe) = self.guard.stdin.as_mut() {
            let _ = pipe.write_all(line.as_bytes());
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        self.kill();
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// Sends a signal through the shell's own `kill`: the standard library has no safe call for it.
fn signal(name: &str, target: &str) {
    let _ = Command::new("sh")
        .args(["-c", r#"kill "-$1" "$2""#, "signal", name, target])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Finds a program on the path, or where systems keep those for their administrators.
pub(super) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| File::open(candidate).is_ok())
}
