//! How the program ends: its exit codes, and the two lines that say why and what to do.

use std::process::ExitCode;

use parley_xmpp::PostToken;

use crate::escape::Line;

/// What `--help` says about it.
pub(crate) const HELP: &str = "\
Exit codes:
  0  done
  1  a failure of this machine: a file or pipe could not be written, a port is taken
  2  usage: the command line, a setting or a line of input is wrong
  3  cannot connect, or not sent: no address, no server, no TLS, a certificate not to be trusted
  4  not authenticated: the server or the account refused the login
  5  refused: the server or the room said no
  6  not decided: no answer in time; for a post it means that it may be there or not
  7  a promise was broken: in a simulated world (`sim`), with what is needed to see it
     again, or in the `demo`, whose account does not add up

A failure prints one line `error: …` and one line `remedy: …` on standard error;
with --json one object with the keys error, remedy and exit, and token where the
remedy is `post --resolve`.";

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Machine = 1,
    Usage = 2,
    CannotConnect = 3,
    NotAuthenticated = 4,
    Refused = 5,
    NotDecided = 6,
    PromiseBroken = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why the program ends without having done what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// May hold a peer's words: escaped when printed.
    pub(crate) error: String,
    pub(crate) remedy: String,
    /// Of a post that may be there or not: that by which it can be found out later.
    pub(crate) token: Option<Box<PostToken>>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            exit,
            error: error.into(),
            remedy: remedy.into(),
            token: None,
        }
    }

    pub(crate) fn usage(error: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Exit::Usage, error, remedy)
    }

    /// The lines for standard error, without the last line break.
    pub(crate) fn render(&self, json: bool) -> String {
        if json {
            let mut object = serde_json::json!({
                "error": self.error, "remedy": self.remedy, "exit": self.exit as u8,
            });
            if let (Some(token), Some(object)) = (&self.token, object.as_object_mut()) {
                object.insert("token".into(), token.to_string().into());
            }
            crate::output::to_json(&object)
        } else {
            format!(
                "error: {}\nremedy: {}",
                Line(&self.error),
                Line(&self.remedy)
            )
        }
    }
}

/// A reader that went away, `head` for instance, is no failure: it has what it wanted.
pub(crate) fn from_write(error: &std::io::Error) -> Option<Failure> {
    (error.kind() != std::io::ErrorKind::BrokenPipe).then(|| {
        Failure::new(
            Exit::Machine,
            format!("cannot write to standard output: {error}"),
            "look at where it goes to: is the disk full?",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_two_lines_whatever_the_peer_said() {
        let failure = Failure::new(Exit::Refused, "no: \u{1b}[2J\nerror: fake", "ask");
        assert_eq!(
            failure.render(false),
            "error: no: \\u{1b}[2J\\nerror: fake\nremedy: ask"
        );
        let json = failure.render(true);
        assert!(!json.contains('\n') && !json.contains('\u{1b}'), "{json}");
    }
}
