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
    file: Option<File>,
}

/// Why there is no lock.
#[derive(Debug)]
pub(crate) enum Unlocked {
    /// Another process has it.
    InUse,
    Failed {
        /// What was to be locked; `None` where the path names no file.
        file: Option<PathBuf>,
        error: std::io::Error,
    },
}

impl Lock {
    /// Takes the lock for the file at `path`, which need not be there.
    pub(crate) fn take(path: &Path) -> Result<Self, Unlocked> {
        Self::take_by(path, File::try_lock)
    }

    /// Whether it keeps others off, which it does not where there are no locks.
    pub(crate) const fn is_held(&self) -> bool {
        self.file.is_some()
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "a program at its very beginning, which has nothing else to do"
    )]
    fn take_by(
        path: &Path,
        try_lock: impl Fn(&File) -> Result<(), TryLockError>,
    ) -> Result<Self, Unlocked> {
        let beside = beside(path).map_err(|error| Unlocked::Failed { file: None, error })?;
        let failed = |error| Unlocked::Failed {
            file: Some(beside.clone()),
            error,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&beside)
            .map_err(failed)?;
        for tried in 1..=TRIES {
            match try_lock(&file) {
                Ok(()) => return Ok(Self { file: Some(file) }),
                Err(TryLockError::Error(error)) if are_none(&error) => {
                    tracing::warn!(path = ?path, %error, "no locks here: see to it that one process at a time uses it");
                    return Ok(Self { file: None });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) if tried < TRIES => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        Err(Unlocked::InUse)
    }
}

/// Whether it says that there are no locks on this file system. POSIX, `fcntl`: `ENOLCK`,
/// which is what Linux says for NFS where nobody serves locks, is no kind of its own in Rust.
fn are_none(error: &std::io::Error) -> bool {
    let no_locks = if cfg!(any(target_os = "linux", target_os = "android")) {
        Some(37)
    } else if cfg!(unix) {
        // macOS and the BSDs.
        Some(77)
    } else {
        None
    };
    let told = error.raw_os_error();
    error.kind() == ErrorKind::Unsupported || (told.is_some() && told == no_locks)
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
            Err(Unlocked::Failed { file: Some(_), .. })
        ));
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[test]
    fn where_there_are_no_locks_it_goes_on_without() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.json");
        let take = |number| {
            Lock::take_by(&path, |_| {
                let error = std::io::Error::from_raw_os_error(number);
                Err(TryLockError::Error(error))
            })
        };
        // ENOLCK of NFS without a lock service, EOPNOTSUPP.
        for number in [37, 95] {
            assert!(take(number).is_ok_and(|lock| !lock.is_held()), "{number}");
        }
        // EIO.
        assert!(matches!(take(5), Err(Unlocked::Failed { .. })));
    }
}
