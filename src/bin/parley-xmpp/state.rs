//! The file that remembers where `tail` and `bridge` stopped, and posts whose fate is not
//! known.
//!
//! It is for one process at a time, and locked as long as that one uses it ([`Lock`]). What is
//! written out is remembered only after it was written: a process that is killed between the two writes those lines again when it is
//! back, and leaves none out. A post is remembered before it leaves, and forgotten once
//! its fate is known.
//!
//! It also holds the resource under which all processes that use it connect, one after the
//! other: to bind it again makes the server end the connection of the one before, so that
//! nothing arrives on that any more, and each post with the address that sent it, so that
//! it is known whether that was done.
//!
//! It is [replaced](replace) as a whole: a reader and a crash see the old one or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use parley_xmpp::{Bookmark, Cursor, Entry, PostToken, Start};
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};
use crate::lock::{Lock, Unlocked};
use crate::replace::replace;
use crate::surroundings::random_suffix;

/// What a file holds at most: a thousand topics with the largest bookmark there can be, and
/// 24 MiB besides, for their names and for posts in doubt. That is the worst case of the types,
/// 512 ids of a KiB each; with ids as servers give them, of 10 to 40 bytes, a topic takes 10 to
/// 30 KiB. For the whole file and not for a line, because the whole is what is held in memory
/// and written again. No file is written that would not be read.
const MAX_FILE: u64 = 1024 * Bookmark::MAX_BYTES as u64;

/// The places reached, topic by topic, and the posts in doubt.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    bookmarks: BTreeMap<String, Bookmark>,
    posts: Vec<Doubt>,
    resource: String,
    changed: bool,
    /// How large the file may be.
    max: u64,
    lock: Lock,
}

/// A post in doubt.
#[derive(Debug)]
struct Doubt {
    token: PostToken,
    /// The full address that it left from. `None`: programs of before did not write it.
    sender: Option<String>,
}

/// The file as it is written. Programs of before wrote `topics` alone, the id of the last
/// message; now it is the place that the bookmark stands at.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    topics: BTreeMap<String, String>,
    #[serde(default)]
    bookmarks: BTreeMap<String, String>,
    #[serde(default)]
    posts: Vec<String>,
    /// By post: the address that sent it.
    #[serde(default)]
    senders: BTreeMap<String, String>,
    #[serde(default)]
    resource: Option<String>,
}

impl Content {
    /// The places. Whoever changed a place without its bookmark, a program of before or an
    /// editor, is right: it is the newer one.
    fn bookmarks(&self) -> Result<BTreeMap<String, Bookmark>, String> {
        let mut all = BTreeMap::new();
        for (topic, place) in &self.topics {
            let place = Cursor::parse(place).ok_or_else(|| format!("{place:?} is no place"))?;
            let bookmark = match self.bookmarks.get(topic) {
                Some(text) => Bookmark::parse(text).map_err(|error| error.to_string())?,
                None => Bookmark::default(),
            };
            let fits = bookmark.cursor() == Some(&place);
            let bookmark = if fits { bookmark } else { Bookmark::at(place) };
            all.insert(topic.clone(), bookmark);
        }
        Ok(all)
    }

    fn posts(&self) -> Result<Vec<Doubt>, String> {
        let post = |text: &String| {
            let token = PostToken::parse(text).map_err(|error| error.to_string())?;
            let sender = self.senders.get(text).cloned();
            Ok(Doubt { token, sender })
        };
        self.posts.iter().map(post).collect()
    }
}

impl Doubt {
    /// Whether it is that post, however often it was sent.
    fn is(&self, token: &PostToken) -> bool {
        self.token.room() == token.room() && self.token.origin_id() == token.origin_id()
    }
}

impl StateFile {
    /// Takes the file for this process, and reads it; one that is not there yet holds nothing.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        Self::load_within(path, MAX_FILE)
    }

    fn load_within(path: &Path, max: u64) -> Result<Self, Failure> {
        // Behind a symbolic link, the file itself is to be replaced.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let unusable = |why: &dyn core::fmt::Display| {
            Failure::usage(
                format!("the state file {} cannot be used: {why}", path.display()),
                "correct it, or name one that does not exist to begin with what is said from now on",
            )
        };
        // Before it is read: whoever has it may be about to replace it.
        let lock = Lock::take(&path).map_err(|why| match why {
            Unlocked::InUse => in_use(&path),
            Unlocked::Failed { file, error } => unlockable(&path, file.as_deref(), &error),
        })?;
        let content = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(unusable(&error)),
            Ok(file) => {
                let text = read(file, max).map_err(|error| match error.kind() {
                    ErrorKind::FileTooLarge => too_large(&path, max),
                    _ => unusable(&error),
                })?;
                serde_json::from_slice(&text).map_err(|error| unusable(&error))?
            }
        };
        let mut state = Self {
            path: path.clone(),
            bookmarks: content.bookmarks().map_err(|error| unusable(&error))?,
            posts: content.posts().map_err(|error| unusable(&error))?,
            resource: content
                .resource
                .unwrap_or_else(|| format!("parley-{}", random_suffix(12))),
            changed: true,
            max,
            lock,
        };
        // Whether it can be written is better known now than after an hour.
        state.save().map_err(|failure| unusable(&failure.error))?;
        Ok(state)
    }

    /// Where to go on in a topic.
    pub(crate) fn start(&self, topic: &str) -> Option<Start> {
        let bookmark = self.bookmarks.get(topic).cloned();
        bookmark.map(Start::Bookmark)
    }

    /// A topic is followed from here, whatever was remembered.
    pub(crate) fn begin(&mut self, topic: &str, start: &Start) {
        let bookmark = match start {
            Start::Cursor(cursor) => Bookmark::at(cursor.clone()),
            Start::Bookmark(bookmark) => bookmark.clone(),
            _ => Bookmark::default(),
        };
        if self.bookmarks.get(topic) != Some(&bookmark) {
            self.changed |= bookmark.cursor().is_some();
            self.bookmarks.insert(topic.to_owned(), bookmark);
        }
    }

    /// An entry of a topic has been written out.
    pub(crate) fn written(&mut self, topic: &str, entry: &Entry) {
        let bookmark = match self.bookmarks.get_mut(topic) {
            Some(bookmark) => bookmark,
            None => self.bookmarks.entry(topic.to_owned()).or_default(),
        };
        self.changed |= bookmark.take(entry);
    }

    /// The resource to connect under, unless the user chose one. It is the same for as long as
    /// there is this file.
    pub(crate) fn resource(&self) -> &str {
        &self.resource
    }

    /// The posts whose fate is not known.
    pub(crate) fn posts(&self) -> Vec<PostToken> {
        self.posts.iter().map(|post| post.token.clone()).collect()
    }

    /// The full address that sent a post in doubt, where that is known.
    pub(crate) fn sender(&self, token: &PostToken) -> Option<&str> {
        let post = self.posts.iter().find(|post| post.is(token))?;
        post.sender.as_deref()
    }

    /// A post is about to leave from that address.
    pub(crate) fn leaves(&mut self, token: &PostToken, sender: Option<String>) {
        self.settle(token);
        let token = token.clone();
        self.posts.push(Doubt { token, sender });
        self.changed = true;
    }

    /// The fate of a post that left could not be told.
    pub(crate) fn doubt(&mut self, token: &PostToken) {
        let sender = self.sender(token).map(str::to_owned);
        self.leaves(token, sender);
    }

    /// The fate of a post is known, or does not matter any more. Says whether it was not
    /// known.
    pub(crate) fn settle(&mut self, token: &PostToken) -> bool {
        let before = self.posts.len();
        self.posts.retain(|post| !post.is(token));
        let there = self.posts.len() < before;
        self.changed |= there;
        there
    }

    pub(crate) const fn is_changed(&self) -> bool {
        self.changed
    }

    /// Replaces the file, if there is anything new.
    pub(crate) fn save(&mut self) -> Result<(), Failure> {
        if !self.changed {
            return Ok(());
        }
        self.write().map_err(|error| {
            let remedy = match error.kind() {
                ErrorKind::FileTooLarge => {
                    "follow fewer topics with one file, and the others with a file of their own; \
                     what it held before is still there"
                }
                _ => "look at the permissions of its directory and the space on the disk",
            };
            let error = format!(
                "cannot write the state file {}: {error}",
                self.path.display()
            );
            Failure::new(Exit::Machine, error, remedy)
        })?;
        self.changed = false;
        Ok(())
    }

    fn write(&self) -> std::io::Result<()> {
        let mut content = Content::default();
        for (topic, bookmark) in &self.bookmarks {
            if let Some(cursor) = bookmark.cursor() {
                content.topics.insert(topic.clone(), cursor.to_string());
                content
                    .bookmarks
                    .insert(topic.clone(), bookmark.to_string());
            }
        }
        for post in &self.posts {
            let token = post.token.to_string();
            content.posts.push(token.clone());
            if let Some(sender) = &post.sender {
                content.senders.insert(token, sender.clone());
            }
        }
        content.resource = Some(self.resource.clone());
        let mut text = serde_json::to_string_pretty(&content)?;
        text.push('\n');
        // The next run could not read it, and the one that is there is good.
        if text.len() as u64 > self.max {
            let words = format!(
                "it would take {} bytes, and the next run reads at most {}",
                text.len(),
                self.max
            );
            return Err(std::io::Error::new(ErrorKind::FileTooLarge, words));
        }
        replace(&self.path, text.as_bytes(), self.lock.is_held())
    }
}

/// All of a file, if that is not more than `max` bytes.
fn read(file: File, max: u64) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    // A pipe or a device does not say how much is to come.
    let known = file.metadata()?.len();
    if known <= max {
        file.take(max.saturating_add(1)).read_to_end(&mut text)?;
    }
    if known > max || text.len() as u64 > max {
        return Err(ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

fn in_use(path: &Path) -> Failure {
    Failure::usage(
        format!(
            "the state file {} is in use by another process",
            path.display()
        ),
        "give each program a state file of its own, or end the other one first",
    )
}

/// `file`: what was to be locked for it.
fn unlockable(path: &Path, file: Option<&Path>, error: &std::io::Error) -> Failure {
    let path = path.display();
    let Some(file) = file else {
        return Failure::usage(
            format!("the state file {path} cannot be used: {error}"),
            "name a file",
        );
    };
    let file = file.display();
    let remedy = if error.kind() == ErrorKind::NotFound {
        "make its directory first, or name a file in one that is there".to_owned()
    } else {
        format!(
            "see to it that this user may write {file} and its directory: it is empty, and may be \
             removed while no program uses the state file"
        )
    };
    Failure::usage(
        format!("the state file {path} cannot be used: its lock {file} cannot be taken: {error}"),
        remedy,
    )
}

fn too_large(path: &Path, max: u64) -> Failure {
    let path = path.display();
    Failure::usage(
        format!("the state file {path} is too large: it has more than {max} bytes"),
        "is it a state file of this program? if so, take topics out of it that are not \
         followed any more",
    )
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

    fn said(id: &str) -> Entry {
        Entry::CaughtUp {
            at: Cursor::parse(id),
        }
    }

    fn place(state: &StateFile, topic: &str) -> Option<Cursor> {
        match state.start(topic) {
            Some(Start::Bookmark(bookmark)) => bookmark.cursor().cloned(),
            _ => None,
        }
    }

    #[test]
    fn what_was_reached_is_found_again() {
        let directory = Directory::new("state-again");
        let path = directory.0.join("s.json");
        let mut state = StateFile::load(&path).unwrap();
        assert_eq!(state.start("a"), None);
        state.written("a", &said(""));
        state.written("b ü\n", &said("id-1"));
        // Nowhere yet.
        state.begin("c", &Start::Now);
        state.save().unwrap();
        assert!(!state.is_changed());
        state.written("a", &said(""));
        assert!(!state.is_changed());
        drop(state);
        let again = StateFile::load(&path).unwrap();
        assert_eq!(place(&again, "a"), Some(Cursor::Beginning));
        assert_eq!(place(&again, "b ü\n"), Cursor::parse("id-1"));
        assert_eq!(again.start("c"), None);
        // Nothing is left beside it but what is locked.
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 2);
    }

    #[test]
    fn a_file_of_before_is_read_and_the_newer_place_counts() {
        let directory = Directory::new("state-old");
        let path = directory.0.join("s.json");
        fs::write(&path, r#"{"topics":{"a":"id-1","b":""}}"#).unwrap();
        let mut state = StateFile::load(&path).unwrap();
        assert_eq!(place(&state, "a"), Cursor::parse("id-1"));
        assert_eq!(place(&state, "b"), Some(Cursor::Beginning));
        state.written(
            "a",
            &Entry::Confirmed {
                at: Cursor::parse("id-2").unwrap(),
            },
        );
        state.save().unwrap();
        drop(state);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            place(&StateFile::load(&path).unwrap(), "a"),
            Cursor::parse("id-2")
        );
        // A program of before went on, and knows nothing of bookmarks.
        fs::write(&path, text.replace("\"a\": \"id-2\"", "\"a\": \"id-3\"")).unwrap();
        assert_eq!(
            place(&StateFile::load(&path).unwrap(), "a"),
            Cursor::parse("id-3")
        );
        fs::write(&path, text.replace("bm1.", "bm1.x")).unwrap();
        assert_eq!(StateFile::load(&path).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_file_has_one_resource_and_its_posts_have_their_senders() {
        let directory = Directory::new("state-senders");
        let path = directory.0.join("s.json");
        // Of before: nothing of either.
        let post = |name: &str| PostToken::parse(&token(name)).unwrap();
        let old = post("old");
        let text = format!(r#"{{"topics":{{}},"posts":["{old}"]}}"#);
        fs::write(&path, text).unwrap();
        let mut state = StateFile::load(&path).unwrap();
        let resource = state.resource().to_owned();
        assert!(resource.starts_with("parley-"), "{resource}");
        assert_eq!(state.sender(&old), None);
        let new = post("new");
        state.leaves(&new, Some("a@b/c".into()));
        // What is told of it later changes nothing of where it came from.
        state.doubt(&new);
        state.doubt(&old);
        state.save().unwrap();
        drop(state);
        let mut state = StateFile::load(&path).unwrap();
        assert_eq!(state.resource(), resource);
        assert_eq!(state.sender(&new), Some("a@b/c"));
        assert_eq!(state.sender(&old), None);
        assert_eq!(state.posts(), [new.clone(), old]);
        assert!(state.settle(&new));
        state.save().unwrap();
        assert!(!fs::read_to_string(&path).unwrap().contains("a@b/c"));
        drop(state);
        // Another file, another resource.
        let other = StateFile::load(&directory.0.join("other.json")).unwrap();
        assert_ne!(other.resource(), resource);
    }

    /// The text of a token, of a post with that id.
    fn token(origin_id: &str) -> String {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
        use sha2::Digest as _;

        let parts = ["ops@muc.parley.local", origin_id, "", "bob"].map(|part| BASE64.encode(part));
        let content = format!("pt1.{}.~", parts.join("."));
        let check = BASE64.encode(&sha2::Sha256::digest(&content)[..6]);
        format!("{content}.{check}")
    }

    #[test]
    fn a_file_with_a_damaged_token_is_refused() {
        let directory = Directory::new("state-posts");
        let path = directory.0.join("s.json");
        let token = "pt1.b3BzQG11Yy5wYXJsZXkubG9jYWw.YWJj..YW5hIOKCrA.~.8n6nHMxm";
        assert!(PostToken::parse(token).is_err(), "its check is of another");
        fs::write(&path, format!(r#"{{"topics":{{}},"posts":["{token}"]}}"#)).unwrap();
        assert_eq!(StateFile::load(&path).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_lock_that_cannot_be_taken_is_named() {
        let directory = Directory::new("state-lock");
        let path = directory.0.join("s.json");
        let lock = directory.0.join(".s.json.lock");
        // As little to be opened as one of root's for others, also by root.
        fs::create_dir(&lock).unwrap();
        let failure = StateFile::load(&path).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        let lock = lock.to_str().unwrap();
        assert!(failure.error.contains(lock), "{}", failure.error);
        assert!(failure.remedy.contains(lock), "{}", failure.remedy);
        let nowhere = directory.0.join("no/s.json");
        let failure = StateFile::load(&nowhere).unwrap_err();
        assert!(failure.remedy.contains("directory"), "{}", failure.remedy);
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

    /// A bookmark that names as many messages as it can, with ids of that many bytes.
    fn busy(id_bytes: usize) -> Bookmark {
        use base64::Engine as _;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
        use sha2::Digest as _;

        let ids = (0..=Bookmark::MOST).map(|n| BASE64.encode(format!("{n:0id_bytes$}")));
        let content = format!("bm1.{}", ids.collect::<Vec<_>>().join("."));
        let check = BASE64.encode(&sha2::Sha256::digest(&content)[..6]);
        Bookmark::parse(&format!("{content}.{check}")).unwrap()
    }

    #[test]
    fn a_thousand_busy_topics_are_found_again() {
        let directory = Directory::new("state-many");
        let path = directory.0.join("s.json");
        let mut state = StateFile::load(&path).unwrap();
        let start = Start::Bookmark(busy(36));
        for n in 0..1000 {
            state.begin(&format!("topic {n}"), &start);
        }
        state.save().unwrap();
        // More than was read once.
        assert!(fs::metadata(&path).unwrap().len() > 16 * 1024 * 1024);
        drop(state);
        let again = StateFile::load(&path).unwrap();
        assert_eq!(again.start("topic 0"), Some(start.clone()));
        assert_eq!(again.start("topic 999"), Some(start));
        // And as many of the worst that there can be.
        let worst = busy(parley_xmpp::ArchiveId::MAX_BYTES).to_string().len();
        assert!(worst < Bookmark::MAX_BYTES);
        assert!(1000 * Bookmark::MAX_BYTES as u64 + 24 * 1024 * 1024 <= MAX_FILE);
    }

    #[test]
    fn a_file_that_would_be_too_large_to_be_read_is_not_written() {
        let directory = Directory::new("state-grows");
        let path = directory.0.join("s.json");
        let max = 64 * 1024;
        let mut state = StateFile::load_within(&path, max).unwrap();
        state.begin("a", &Start::Bookmark(busy(36)));
        state.save().unwrap();
        let before = fs::read(&path).unwrap();
        for topic in ["b", "c"] {
            state.begin(topic, &Start::Bookmark(busy(36)));
        }
        let failure = state.save().unwrap_err();
        assert_eq!(failure.exit, Exit::Machine);
        assert!(failure.error.contains("at most 65536"), "{}", failure.error);
        assert!(
            failure.remedy.contains("fewer topics"),
            "{}",
            failure.remedy
        );
        assert!(state.is_changed(), "it is not taken for saved");
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 2);
        drop(state);
        let again = StateFile::load_within(&path, max).unwrap();
        assert!(again.start("a").is_some() && again.start("b").is_none());
    }

    #[test]
    fn a_file_that_is_too_large_is_called_so_and_not_damaged() {
        let directory = Directory::new("state-large");
        let path = directory.0.join("s.json");
        let mut state = StateFile::load(&path).unwrap();
        state.begin("a", &Start::Bookmark(busy(36)));
        state.save().unwrap();
        drop(state);
        let failure = StateFile::load_within(&path, 1000).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure.error.contains("too large") && failure.error.contains("1000 bytes"),
            "{}",
            failure.error
        );
        // A device does not say how large it is.
        #[cfg(target_os = "linux")]
        {
            let zeros = read(File::open("/dev/zero").unwrap(), 1000);
            assert_eq!(zeros.unwrap_err().kind(), ErrorKind::FileTooLarge);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_stays_one() {
        let directory = Directory::new("state-link");
        let (file, link) = (directory.0.join("file"), directory.0.join("link"));
        fs::write(&file, r#"{"topics":{}}"#).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let mut state = StateFile::load(&link).unwrap();
        state.written("a", &said(""));
        state.save().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::read_to_string(&file).unwrap().contains("\"a\""));
    }
}
