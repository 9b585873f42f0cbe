//! A file is for one process at a time.
//!
//! What is locked is a file beside it, `.NAME.lock`, because the file itself is replaced by
//! another when it is written. The lock is the operating system's, which ends it with the
//! process, however that ends; the empty file stays, because to remove it would let two
//! processes lock two of that name.

use core::time::Duration;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// How often, and in which distance, is looked whether one that just ends, or was just killed,
/// has let go of it: for a second.
const TRIES: u32 = 51;
const PAUSE: Duration = Duration::from_millis(20);

/// As long as it is there, no other process has one for the same file.
#[derive(Debug)]
pub(crate) struct Lock {
    /// Held for its end. `None` where the file system knows no locks.
    _file: Option<File>,
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum Unlocked {
    /// Another process has it.
    InUse,
    Failed(std::io::Error),
}

impl Lock {
    /// Takes the lock for the file at `path`, which need not be there.
    #[allow(
        clippy::disallowed_methods,
        reason = "a program at its very beginning, which has nothing else to do"
    )]
    pub(crate) fn take(path: &Path) -> Result<Self, Unlocked> {
        let beside = beside(path).map_err(Unlocked::Failed)?;
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(beside)
            .map_err(Unlocked::Failed)?;
        for tried in 1..=TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: Some(file) }),
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    tracing::warn!(path = ?path, "no locks here: see to it that one process at a time uses it");
                    return Ok(Self { _file: None });
                }
                Err(TryLockError::Error(error)) => return Err(Unlocked::Failed(error)),
                Err(TryLockError::WouldBlock) if tried < TRIES => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        Err(Unlocked::InUse)
    }
}

/// The file that is locked for the one at `path`.
fn beside(path: &Path) -> std::io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidFilename)?;
    let mut locked = OsString::from(".");
    locked.push(name);
    locked.push(".lock");
    Ok(path.with_file_name(locked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_for_one_and_ends_with_it() {
        let name = format!("parley-xmpp-lock-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let one = Lock::take(&path).unwrap();
        assert!(matches!(Lock::take(&path), Err(Unlocked::InUse)));
        // One that ends meanwhile is waited for.
        let ending = std::thread::spawn(move || drop(one));
        let two = Lock::take(&path);
        ending.join().unwrap();
        assert!(two.is_ok());
        std::fs::remove_file(beside(&path).unwrap()).unwrap();
        assert!(matches!(
            Lock::take(Path::new("/no/such/place/at/all")),
            Err(Unlocked::Failed(_))
        ));
    }
}
