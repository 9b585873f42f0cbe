//! Posts in doubt, from one process to the next: each is written down before it leaves, and
//! looked for by the next process if its fate was never told.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use parley_xmpp::jid::BareJid;
use parley_xmpp::tokio::{Client, PostFailure, Posted, Room};
use parley_xmpp::{CannotTell, PostToken, Resolution};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::connect;
use crate::exit::Failure;
use crate::problem::{Kind, Problem};
use crate::state::StateFile;

/// For an archive to show what its room accepted: as long as the library gives it.
const SETTLE: Duration = Duration::from_secs(5);
/// For all posts in doubt together: as long as the library gives a room to let us in. One
/// that says no takes a round trip.
const PATIENCE: Duration = Duration::from_secs(30);
/// Archives that are read at a time, few enough that subscriptions and fetches go on beside.
const READS: usize = 8;

/// The state file of a process, for all its tasks.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Arc<Mutex<StateFile>>);

impl Memory {
    pub(crate) fn new(file: StateFile) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    /// The posts whose fate is not known.
    pub(crate) fn posts(&self) -> Vec<PostToken> {
        self.with(|file| file.posts())
    }

    /// Looks into the file, or changes it.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut StateFile) -> T) -> T {
        // It is replaced as a whole, so that nothing is left half done.
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn save(&self) -> Result<(), Failure> {
        self.with(StateFile::save)
    }

    /// The resource to connect under, unless the user chose one.
    pub(crate) fn resource(&self) -> String {
        self.with(|file| file.resource().to_owned())
    }

    /// Draws the id of a post and writes it down, with the address that it is to leave from:
    /// only then it may leave.
    pub(crate) async fn prepare(&self, client: &Client, room: &Room) -> Result<PostToken, Problem> {
        let token = room.prepare().await.map_err(Problem::from)?;
        let sender = client.jid().to_string();
        self.with(|file| file.leaves(&token, Some(sender)));
        if let Err(failure) = self.save() {
            self.with(|file| file.settle(&token));
            let words = format!("not sent: {}", failure.error);
            return Err(Problem::new(Kind::NotSent, words, failure.remedy));
        }
        Ok(token)
    }

    /// What became of a post is known now, or not. Gives what is to be [settled](Self::told)
    /// once that was told: who is killed before finds the post in doubt, and in the room.
    pub(crate) fn known(
        &self,
        token: PostToken,
        fate: &Result<Posted, PostFailure>,
    ) -> Option<PostToken> {
        match fate {
            // As it was sent in the end.
            Err(PostFailure::Unknown { token }) => {
                self.with(|file| file.doubt(token));
                None
            }
            // Nobody waited for it.
            Err(PostFailure::Closed) => None,
            _ => Some(token),
        }
    }

    /// A post in doubt does not matter any more. Written at once.
    pub(crate) fn forget(&self, token: &PostToken) -> Result<(), Problem> {
        let sender = self.with(|file| file.sender(token).map(str::to_owned));
        if !self.with(|file| file.settle(token)) {
            let words = "the state file knows of no such post in doubt";
            return Err(Problem::new(Kind::Invalid, words, "look at its `posts`"));
        }
        self.save().map_err(|failure| {
            self.with(|file| file.leaves(token, sender));
            Problem::new(Kind::Invalid, failure.error, failure.remedy)
        })
    }

    /// What became of a post was told. The file is saved with the next change.
    pub(crate) fn told(&self, token: &PostToken) {
        self.with(|file| file.settle(token));
    }
}

/// Finds out what became of posts that a run before left in doubt, and has each told once, with
/// what is then to be given to [`Memory::told`].
///
/// That is nothing where it could not be found out for now: the room does not answer or has us
/// out, for good as it may be, or the post is not there and may still come ([`unfenced`]). Such a
/// post is kept for the next run, with `kept: true`, until one finds it or whoever wrote it gives
/// it up ([`Memory::forget`]). Where no later run could tell either ([`is_final`]) that is what
/// is told, and the end of it.
///
/// `is_own` says whether a room service is one of our own server. Rooms are joined side by side,
/// each once, and all of it ends after [`PATIENCE`]. A state file that cannot be saved keeps
/// nothing from being told, and is told in the end.
pub(crate) async fn resolve<F: Future<Output = ()>>(
    client: &Client,
    memory: &Memory,
    posts: Vec<PostToken>,
    is_own: impl Fn(&str) -> bool,
    tell: impl Fn(Value, Option<PostToken>) -> F,
) -> Result<(), Failure> {
    let patience = Patience {
        all: PATIENCE,
        settle: SETTLE,
    };
    resolve_within(client, memory, posts, patience, is_own, tell).await
}

/// How long things may take.
#[derive(Clone, Copy)]
struct Patience {
    all: Duration,
    settle: Duration,
}

async fn resolve_within<F: Future<Output = ()>>(
    client: &Client,
    memory: &Memory,
    mut open: Vec<PostToken>,
    patience: Patience,
    is_own: impl Fn(&str) -> bool,
    tell: impl Fn(Value, Option<PostToken>) -> F,
) -> Result<(), Failure> {
    let mut rooms: BTreeMap<BareJid, Vec<PostToken>> = BTreeMap::new();
    for token in &open {
        let posts = rooms.entry(token.room().clone()).or_default();
        posts.push(token.clone());
    }
    let (found, mut all_found) = mpsc::unbounded_channel();
    let reads = Arc::new(Semaphore::new(READS));
    // Given up with this function.
    let mut looking = JoinSet::new();
    for (room, posts) in rooms {
        let (client, reads, found) = (client.clone(), Arc::clone(&reads), found.clone());
        let settle = patience.settle;
        looking.spawn(async move { look(&client, room, posts, settle, &reads, &found).await });
    }
    drop(found);
    let deadline = Instant::now() + patience.all;
    let mut saved = Ok(());
    while let Ok(Some((token, found))) = timeout_at(deadline, all_found.recv()).await {
        open.retain(|post| *post != token);
        let (mut told, settled) = match found {
            Ok(Resolution::AbsentSoFar) => match unfenced(client, memory, &is_own, &token) {
                None => (crate::output::resolution(&Resolution::AbsentSoFar), true),
                Some(why) => (cannot_tell(&why), false),
            },
            Ok(resolution) => (
                crate::output::resolution(&resolution),
                is_final(&resolution),
            ),
            Err(problem) => (cannot_tell(&problem.message), false),
        };
        describe(&mut told, &token, !settled);
        tell(told, settled.then_some(token)).await;
        saved = memory.save();
    }
    for token in open {
        let reason = format!("no answer within {} s", patience.all.as_secs_f32());
        let mut told = cannot_tell(&reason);
        describe(&mut told, &token, true);
        tell(told, None).await;
    }
    saved
}

/// Whether no later run could find out more. What this program does not know, one could.
const fn is_final(resolution: &Resolution) -> bool {
    match resolution {
        // It is not there; whether it may still come is another question ([`unfenced`]).
        Resolution::Found(_) | Resolution::AbsentSoFar => true,
        Resolution::CannotTell(why) => matches!(
            why,
            // What an archive let go of, removed or never had it does not show again.
            CannotTell::NoArchive
                | CannotTell::AnchorExpired
                | CannotTell::Unkept
                | CannotTell::Removed
                | CannotTell::Copied
                // And it grows no shorter.
                | CannotTell::NoAnchor
        ),
        _ => false,
    }
}

type Found = (PostToken, Result<Resolution, Problem>);

/// Looks for posts to a room.
async fn look(
    client: &Client,
    room: BareJid,
    posts: Vec<PostToken>,
    settle: Duration,
    reads: &Arc<Semaphore>,
    found: &UnboundedSender<Found>,
) {
    let room = match connect::join_room(client, room).await {
        Ok(room) => room,
        Err(problem) => {
            for post in posts {
                // Nobody waits for it any more where this cannot be sent; also below.
                let _ = found.send((post, Err(problem.clone())));
            }
            return;
        }
    };
    let mut looking = JoinSet::new();
    for post in posts {
        let (room, reads, found) = (room.clone(), Arc::clone(reads), found.clone());
        looking.spawn(async move {
            let mut resolution = read(&room, &post, &reads).await;
            if resolution == Ok(Resolution::AbsentSoFar) {
                // The process that sent it may have ended just now.
                tokio::time::sleep(settle).await;
                resolution = read(&room, &post, &reads).await;
            }
            let _ = found.send((post, resolution));
        });
    }
    while looking.join_next().await.is_some() {}
}

async fn read(room: &Room, post: &PostToken, reads: &Semaphore) -> Result<Resolution, Problem> {
    // Never closed.
    let _permit = reads.acquire().await;
    room.resolve(post).await.map_err(Problem::from)
}

/// Why a post that is not in the room may still come.
///
/// The room is at another server. To end the connection that the post left on does not take it
/// out of the queue between the servers, once ours has it; RFC 6120 section 10.4 sets no time
/// within which it goes on or is refused.
///
/// Or that connection was not ended by ours. RFC 6120 section 7.7.2.2: for a resource that is
/// bound already, a server may "Terminate the existing stream", and those that are known do;
/// under another, the old one goes on as long as the network keeps it.
fn unfenced(
    client: &Client,
    memory: &Memory,
    is_own: impl Fn(&str) -> bool,
    token: &PostToken,
) -> Option<String> {
    let service = token.room().domain();
    if !is_own(service) {
        return Some(format!(
            "it is not there so far, and may still arrive: {service} is not a service of our own server, which may keep it in a queue for that one"
        ));
    }
    let ours = client.jid().to_string();
    let sender = memory.with(|file| file.sender(token).map(str::to_owned));
    let Some(sender) = sender else {
        return Some(
            "it is not there so far, and may still arrive: which connection it was sent on was not written down".into(),
        );
    };
    (sender != ours).then(|| {
        format!(
            "it is not there so far, and may still arrive: it was sent as {sender}, and to connect as that ends the connection that it was sent on; this is {ours}"
        )
    })
}

fn cannot_tell(reason: &str) -> Value {
    json!({ "outcome": "cannot-tell", "reason": reason })
}

/// `{room, originId, token, outcome, …, kept?}`.
fn describe(told: &mut Value, token: &PostToken, kept: bool) {
    if let Some(object) = told.as_object_mut() {
        object.insert("room".into(), token.room().to_string().into());
        object.insert("originId".into(), token.origin_id().into());
        object.insert("token".into(), token.to_string().into());
        if kept {
            object.insert("kept".into(), true.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use parley_xmpp::Post;
    use parley_xmpp::embedded::{EmbeddedServer, EmbeddedSetup};
    use parley_xmpp::sim::server::{Operation, Personality, Removal, ServerSetup};

    async fn client(server: &EmbeddedServer, user: &str) -> Client {
        let settings = server.client_settings(user).unwrap();
        Client::connect(settings).await.unwrap()
    }

    /// What is told by a run that finds this file.
    async fn told(
        client: &Client,
        memory: &Memory,
        patience: Duration,
    ) -> Vec<(String, String, bool)> {
        told_where(client, memory, patience, |_| true).await
    }

    async fn told_where(
        client: &Client,
        memory: &Memory,
        patience: Duration,
        is_own: impl Fn(&str) -> bool,
    ) -> Vec<(String, String, bool)> {
        let all = RefCell::new(Vec::new());
        let tell = |told: Value, settles: Option<PostToken>| {
            let text = |key: &str| told[key].as_str().unwrap_or_default().to_owned();
            let kept = told["kept"] == true;
            assert_eq!(kept, settles.is_none(), "{told}");
            let what = format!("{} {}", text("outcome"), text("reason"));
            all.borrow_mut().push((text("token"), what, kept));
            if let Some(token) = &settles {
                memory.told(token);
            }
            core::future::ready(())
        };
        let patience = Patience {
            all: patience,
            settle: Duration::ZERO,
        };
        let told = resolve_within(client, memory, memory.posts(), patience, is_own, tell).await;
        told.unwrap();
        let mut all = all.into_inner();
        all.sort();
        all
    }

    async fn server() -> EmbeddedServer {
        let setup = ServerSetup::new(Personality::Prosody, "parley.local");
        let setup = setup.account("ana", "a").account("bob", "b");
        EmbeddedServer::start(EmbeddedSetup::new(setup))
            .await
            .unwrap()
    }

    fn memory() -> (tempfile::TempDir, Memory) {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::load(&directory.path().join("s.json")).unwrap();
        (directory, Memory::new(file))
    }

    #[tokio::test]
    async fn a_post_that_is_not_there_holds_up_no_other() {
        let server = server().await;
        let bob = client(&server, "bob").await;
        let (_directory, memory) = memory();
        for topic in ["a", "b"] {
            let room = bob.room(topic).await.unwrap();
            let (absent, found) = (room.prepare().await.unwrap(), room.prepare().await.unwrap());
            room.send(Post::new("x").under(&found)).await.unwrap();
            memory.with(|file| {
                file.doubt(&absent);
                file.doubt(&found);
            });
        }
        let all_found = Semaphore::new(0);
        let tell = |told: Value, _| {
            assert_eq!(told["outcome"], "found", "{told}");
            all_found.add_permits(1);
            core::future::ready(())
        };
        // What is not there is asked for again in an hour.
        let patience = Patience {
            all: Duration::from_secs(7200),
            settle: Duration::from_secs(3600),
        };
        let ended = tokio::select! {
            ended = resolve_within(&bob, &memory, memory.posts(), patience, |_| true, tell) => Some(ended),
            _ = all_found.acquire_many(2) => None,
            () = tokio::time::sleep(Duration::from_secs(60)) => panic!("one waits for another"),
        };
        assert!(ended.is_none());
        bob.close().await;
        server.close().await;
    }

    #[tokio::test]
    async fn a_post_to_a_room_elsewhere_is_never_called_absent() {
        let server = server().await;
        let bob = client(&server, "bob").await;
        let (_directory, memory) = memory();
        let room = bob.room("ops").await.unwrap();
        let tokens = [room.prepare().await.unwrap(), room.prepare().await.unwrap()];
        for token in &tokens {
            // The connection that it was sent on was ended by ours.
            memory.with(|file| file.leaves(token, Some(bob.jid().to_string())));
        }
        let long = Duration::from_secs(600);
        let elsewhere = |service: &str| service != "muc.parley.local";
        for (_, what, kept) in told_where(&bob, &memory, long, elsewhere).await {
            assert!(kept && what.starts_with("cannot-tell "), "{what}");
            assert!(what.contains("muc.parley.local is not a service"), "{what}");
        }
        assert_eq!(memory.posts(), tokens);
        // It arrives after all.
        room.send(Post::new("x").under(&tokens[0])).await.unwrap();
        let all = told_where(&bob, &memory, long, elsewhere).await;
        assert!(all.iter().any(|(_, what, kept)| what == "found " && !kept));
        assert_eq!(memory.posts(), tokens[1..]);
        // In a room of our own server that says all.
        let all = told(&bob, &memory, long).await;
        assert!(matches!(&all[..], [(_, what, false)] if what == "absent-so-far "));
        assert_eq!(memory.posts(), []);
        bob.close().await;
        server.close().await;
    }

    #[test]
    fn only_what_a_later_run_could_not_tell_either_is_given_up() {
        use parley_xmpp::RequestError;

        for (why, given_up) in [
            (CannotTell::NoArchive, true),
            (CannotTell::AnchorExpired, true),
            (CannotTell::Unkept, true),
            (CannotTell::NoAnchor, true),
            (CannotTell::Removed, true),
            (CannotTell::Copied, true),
            (CannotTell::Unstable, false),
            (CannotTell::Failed(RequestError::TimedOut), false),
        ] {
            let resolution = Resolution::CannotTell(why);
            assert_eq!(is_final(&resolution), given_up, "{resolution:?}");
        }
    }

    #[tokio::test]
    async fn posts_in_doubt_are_told_once_and_kept_where_nobody_can_tell() {
        let server = server().await;
        let (ana, bob) = (client(&server, "ana").await, client(&server, "bob").await);
        // Who makes the room owns it, and cannot be banned.
        let (mut found, mut refused) = (Vec::new(), Vec::new());
        for (topic, tokens) in [("open", &mut found), ("closed", &mut refused)] {
            ana.room(topic).await.unwrap();
            let room = bob.room(topic).await.unwrap();
            for n in 0..3 {
                let token = room.prepare().await.unwrap();
                let post = Post::new(&n.to_string()).under(&token);
                room.send(post).await.unwrap();
                tokens.push(token);
            }
        }
        bob.close().await;
        let room = refused[0].room().to_string();
        let account = "bob".to_owned();
        let how = Removal::Banned;
        server.operate(&Operation::Remove { room, account, how });

        let (directory, memory) = memory();
        // In turns: no order among the rooms is to matter.
        for (one, other) in refused.iter().zip(&found) {
            memory.with(|file| {
                file.doubt(one);
                file.doubt(other);
            });
        }
        let bob = client(&server, "bob").await;
        // Without time nothing is found out, and nothing is lost.
        let all = told(&bob, &memory, Duration::ZERO).await;
        assert_eq!(all.len(), 6);
        for (_, what, kept) in &all {
            // A refusal may come as soon as nothing does.
            assert!(what.starts_with("cannot-tell ") && *kept, "{what}");
        }
        assert_eq!(memory.posts().len(), 6);

        let all = told(&bob, &memory, Duration::from_secs(600)).await;
        let of = |tokens: &[PostToken]| -> Vec<(String, bool)> {
            let tokens: Vec<_> = tokens.iter().map(ToString::to_string).collect();
            let of = all.iter().filter(|(token, ..)| tokens.contains(token));
            of.map(|(_, what, kept)| (what.clone(), *kept)).collect()
        };
        assert_eq!(all.len(), 6, "{all:?}");
        assert_eq!(of(&found), vec![("found ".to_owned(), false); 3]);
        for (what, kept) in of(&refused) {
            assert!(kept && what.contains("does not let us in"), "{what}");
        }
        assert_eq!(memory.posts(), refused);

        // Only who wrote it gives it up.
        assert!(memory.forget(&refused[0]).is_ok());
        assert!(memory.forget(&refused[0]).is_err(), "it is gone");
        drop(memory);
        let again = StateFile::load(&directory.path().join("s.json")).unwrap();
        assert_eq!(again.posts(), refused[1..]);
        bob.close().await;
        ana.close().await;
        server.close().await;
    }
}
