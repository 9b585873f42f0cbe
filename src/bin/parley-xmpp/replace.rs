//! A file is replaced as a whole: written beside its place, brought to the disk, and renamed, so
//! that a reader and a crash see the old one or the new one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Path, PathBuf};

/// Puts `text` in the place of the file at `path`. `alone`: no other process does so at the
/// same time.
pub(crate) fn replace(path: &Path, text: &[u8], alone: bool) -> Result<()> {
    let temporary = beside(path, alone)?;
    let written = (|| {
        let mut file = create(&temporary)?;
        file.write_all(text)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)
    })();
    if let Err(error) = written {
        // Where it could not be created there may be something else, which stays.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if let Ok(directory) = File::open(directory) {
        // The name too has to reach the disk; where a directory cannot be opened, it does so later.
        let _ = directory.sync_all();
    }
    Ok(())
}

/// Where it is written first. Who is alone takes one name always, so that one who is killed
/// leaves at most one file, and the next takes its place.
fn beside(path: &Path, alone: bool) -> Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidFilename)?;
    let mut temporary = OsString::from(".");
    temporary.push(name);
    if !alone {
        temporary.push(format!(".{}", std::process::id()));
    }
    temporary.push(".tmp");
    Ok(path.with_file_name(temporary))
}

/// A new file, whatever there is: what a process left that was killed, or a symbolic link that
/// somebody laid, is removed and not written through.
fn create(path: &Path) -> Result<File> {
    let created = match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => File::create_new(path),
    };
    created.map_err(|error| Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap();
        let name = |entry: Result<fs::DirEntry>| entry.unwrap().file_name();
        let mut names: Vec<_> = names
            .map(|entry| name(entry).into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_killed_process_left_half_written_is_taken_away_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.json");
        replace(&path, b"old", true).unwrap();
        // As one leaves it that was killed as it wrote.
        fs::write(directory.path().join(".s.json.tmp"), "ha").unwrap();
        replace(&path, b"new", true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(directory.path()), ["s.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn what_lies_in_the_way_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s.json");
        let foreign = directory.path().join("foreign");
        fs::write(&foreign, "mine").unwrap();
        let temporary = directory.path().join(".s.json.tmp");
        std::os::unix::fs::symlink(&foreign, &temporary).unwrap();
        replace(&path, b"one", true).unwrap();
        fs::hard_link(&foreign, &temporary).unwrap();
        replace(&path, b"two", true).unwrap();
        assert_eq!(fs::read(&foreign).unwrap(), b"mine");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(fs::read(&path).unwrap(), b"two");
        // What cannot be removed is named, and stays.
        fs::create_dir(&temporary).unwrap();
        let error = replace(&path, b"three", true).unwrap_err();
        assert!(error.to_string().contains(".s.json.tmp"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert!(temporary.is_dir());
    }

    #[test]
    fn who_may_not_be_alone_has_a_name_of_its_own() {
        let path = Path::new("/a/s.json");
        let own = format!("/a/.s.json.{}.tmp", std::process::id());
        assert_eq!(beside(path, false).unwrap(), Path::new(&own));
        assert_eq!(beside(path, true).unwrap(), Path::new("/a/.s.json.tmp"));
        assert_eq!(beside(Path::new("s"), true).unwrap(), Path::new(".s.tmp"));
    }
}
