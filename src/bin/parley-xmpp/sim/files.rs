//! The files that `sim` reads and writes.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use parley_xmpp::sim::plan::Plan;

use crate::exit::{Exit, Failure};

/// Far more than a plan of a hundred thousand decisions needs.
const MAX_FILE: u64 = 64 * 1024 * 1024;

pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = File::open(file).and_then(|open| open.take(MAX_FILE).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(
            format!("cannot read {}: {error}", file.display()),
            "name a file that --trace wrote, or that was written after a failure",
        )),
    }
}

/// Says before an hour of work, not after, that there is no place for its result.
pub(super) fn check(file: &Path) -> Result<(), Failure> {
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() || file.is_dir() {
        return Err(Failure::usage(
            format!("{} cannot be a file", file.display()),
            "name a file in a directory that exists",
        ));
    }
    Ok(())
}

/// Writes a file that was named for it: what was there before is replaced.
pub(super) fn write(file: &Path, text: &str) -> Result<(), Failure> {
    fs::write(file, text).map_err(|error| unwritten(file, &error))
}

/// A file of our own naming for this plan, reserved: nothing is ever overwritten. One
/// that holds the same plan already will do.
pub(super) fn unused(plan: &Plan) -> Result<PathBuf, Failure> {
    let text = plan.to_string();
    for number in 1..1000 {
        let name = match number {
            1 => format!("sim-{}.trace", plan.seed),
            n => format!("sim-{}-{n}.trace", plan.seed),
        };
        let file = PathBuf::from(name);
        let created = OpenOptions::new().write(true).create_new(true).open(&file);
        match created {
            Ok(mut open) => {
                let written = open.write_all(text.as_bytes());
                return match written {
                    Ok(()) => Ok(file),
                    Err(error) => Err(unwritten(&file, &error)),
                };
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if fs::read(&file).is_ok_and(|there| there == text.as_bytes()) {
                    return Ok(file);
                }
            }
            Err(error) => return Err(unwritten(&file, &error)),
        }
    }
    Err(Failure::new(
        Exit::Machine,
        format!("there are too many files sim-{}-….trace here", plan.seed),
        "remove them, or name a file with --trace",
    ))
}

fn unwritten(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Machine,
        format!("cannot write {}: {error}", file.display()),
        "name another file: --trace for the plan, --html for the chart",
    )
}

/// A name as a shell takes it.
pub(super) fn quoted(file: &Path) -> String {
    let text = file.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_a_shell_would_part_them() {
        for (name, quoted_name) in [
            ("sim-7.trace", "sim-7.trace"),
            ("my runs/7", "'my runs/7'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(Path::new(name)), quoted_name);
        }
    }
}
