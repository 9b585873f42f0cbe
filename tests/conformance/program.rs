//! The program as a child process, to which lines are written and from which lines are read.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};

/// The program with these arguments, and nothing of this process's settings.
pub(crate) fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_parley-xmpp"));
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in ["SERVICE", "DOMAIN", "MUC", "USER", "PASS"] {
        command.env_remove(format!("PARLEY_XMPP_{name}"));
    }
    command
}

/// Runs it to its end, while others go on.
pub(crate) async fn run(mut command: Command) -> Output {
    command.stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    crate::soon("the program", output)
        .await
        .expect("no panic")
        .expect("the program runs")
}

/// A program that runs. It ends with the value.
pub(crate) struct Running {
    child: Mutex<Child>,
    input: Mutex<Option<ChildStdin>>,
}

impl Running {
    /// Starts it; `each` gets every line that it writes to its standard output.
    pub(crate) fn start(mut command: Command, mut each: impl FnMut(&str) + Send + 'static) -> Self {
        let mut child = command
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                each(&line);
            }
        });
        let input = child.stdin.take().into();
        Self {
            child: child.into(),
            input,
        }
    }

    pub(crate) fn write(&self, line: &str) {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let pipe = input.as_mut().expect("an open pipe");
        writeln!(pipe, "{line}").expect("to write a request");
    }

    /// Closes its standard input and waits for its end, which must be a good one.
    pub(crate) async fn finish(self) {
        drop(
            self.input
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
        let end = async {
            loop {
                let status = self
                    .child
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .try_wait();
                if let Some(status) = status.expect("the state of the program") {
                    break status;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let status = crate::soon("the program's end", end).await;
        assert!(status.success(), "{status}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}
