//! The file that remembers where a `tail` stopped.
//!
//! It is replaced as a whole: written beside its place, brought to the disk, and
//! renamed, so that a reader and a crash see the old one or the new one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use parley_xmpp::Cursor;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};

/// Far more than a thousand topics need.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// The places reached, topic by topic.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    content: Content,
    changed: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    topics: BTreeMap<String, String>,
}

impl StateFile {
    /// Reads the file; one that is not there yet holds nothing.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        // Behind a symbolic link, the file itself is to be replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let unusable = |why: &dyn core::fmt::Display| {
            Failure::usage(
                format!("the state file {} cannot be used: {why}", path.display()),
                "correct it, or name one that does not exist to begin with what is said from now on",
            )
        };
        let content = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(unusable(&error)),
            Ok(file) => {
                let mut text = String::new();
                file.take(MAX_FILE)
                    .read_to_string(&mut text)
                    .map_err(|error| unusable(&error))?;
                serde_json::from_str(&text).map_err(|error| unusable(&error))?
            }
        };
        let mut state = Self {
            path: path.clone(),
            content,
            changed: true,
        };
        // Whether it can be written is better known now than after an hour.
        state.save().map_err(|failure| unusable(&failure.error))?;
        Ok(state)
    }

    /// Where to go on in a topic.
    pub(crate) fn cursor(&self, topic: &str) -> Option<Cursor> {
        self.content
            .topics
            .get(topic)
            .and_then(|cursor| Cursor::parse(cursor))
    }

    /// Everything up to there has been written out.
    pub(crate) fn reached(&mut self, topic: &str, cursor: &Cursor) {
        match self.content.topics.get_mut(topic) {
            Some(old) if old == cursor.as_str() => return,
            Some(old) => cursor.as_str().clone_into(old),
            None => {
                self.content
                    .topics
                    .insert(topic.to_owned(), cursor.as_str().to_owned());
            }
        }
        self.changed = true;
    }

    pub(crate) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// Replaces the file, if there is anything new.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        if !self.changed {
            return Ok(());
        }
        self.replace().map_err(|error| {
            Failure::new(
                Exit::Machine,
                format!(
                    "cannot write the state file {}: {error}",
                    self.path.display()
                ),
                "look at the permissions of its directory and the space on the disk",
            )
        })?;
        self.changed = false;
        Ok(())
    }

    fn replace(&self) -> std::io::Result<()> {
        let mut text = serde_json::to_string_pretty(&self.content)?;
        text.push('\n');
        let name = self.path.file_name().ok_or(ErrorKind::InvalidFilename)?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.tmp", std::process::id()));
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let temporary = directory.join(temporary);
        let result = (|| {
            let mut file = File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &self.path)
        })();
        if result.is_err() {
            let _ = fs::remove_file(&temporary);
        } else if let Ok(directory) = File::open(directory) {
            // The name too has to reach the disk; where a directory cannot be opened, it does so later.
            let _ = directory.sync_all();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("parley-xmpp-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_was_reached_is_found_again() {
        let directory = Directory::new("state-again");
        let path = directory.0.join("s.json");
        let mut state = StateFile::load(&path).unwrap();
        assert_eq!(state.cursor("a"), None);
        state.reached("a", &Cursor::Beginning);
        state.reached("b ü\n", &Cursor::parse("id-1").unwrap());
        state.save().unwrap();
        assert!(!state.is_changed());
        state.reached("a", &Cursor::Beginning);
        assert!(!state.is_changed());
        let again = StateFile::load(&path).unwrap();
        assert_eq!(again.cursor("a"), Some(Cursor::Beginning));
        assert_eq!(again.cursor("b ü\n"), Cursor::parse("id-1"));
        // Nothing is left beside it.
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_used_is_left_as_it_is() {
        let directory = Directory::new("state-bad");
        let path = directory.0.join("s.json");
        fs::write(&path, "not json").unwrap();
        assert_eq!(StateFile::load(&path).unwrap_err().exit, Exit::Usage);
        assert_eq!(fs::read_to_string(&path).unwrap(), "not json");
        assert_eq!(
            StateFile::load(&directory.0.join("no/such/s.json"))
                .unwrap_err()
                .exit,
            Exit::Usage
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_stays_one() {
        let directory = Directory::new("state-link");
        let (file, link) = (directory.0.join("file"), directory.0.join("link"));
        fs::write(&file, r#"{"topics":{}}"#).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut state = StateFile::load(&link).unwrap();
        state.reached("a", &Cursor::Beginning);
        state.save().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&file).unwrap().contains("\"a\""));
    }
}
