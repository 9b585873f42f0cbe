//! The account of a run: what the clients were told, held against the truth.
//!
//! A pure function of the evidence. It believes nobody: not the clients, and of the
//! server only what its archive holds.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

/// A message as the archive holds it, or as a client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) id: String,
    pub(super) nick: String,
    pub(super) body: String,
}

/// What a client was told about a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// The room has it, under this id.
    Committed(Option<String>),
    /// The room refused it.
    Rejected,
    /// It never went out.
    NotSent,
    /// It may be there or not.
    Unknown,
}

/// A post, and everything that its author was told about it: once, it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Posted {
    pub(super) nick: String,
    /// The first, the second and so on of its author.
    pub(super) number: usize,
    /// No two posts have the same.
    pub(super) body: String,
    pub(super) told: Vec<Told>,
}

/// What the follower was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Message(Said),
    /// One that the archive did not show when it was its turn.
    Late(Said),
    /// Something may be missing here.
    Gap,
}

/// Everything that is known about a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// The archive, the oldest first: the truth.
    pub(super) archive: Vec<Said>,
    pub(super) posts: Vec<Posted>,
    /// What the follower, who began at the beginning, was given.
    pub(super) heard: Vec<Heard>,
    /// What a reader of the whole archive was given at the end; `None` if that failed.
    pub(super) fetched: Option<Vec<Said>>,
}

/// Something that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    NoOutcome(String),
    SeveralOutcomes(String),
    NoId(String),
    NotUnderItsId {
        body: String,
        id: String,
    },
    SameId {
        body: String,
        id: String,
    },
    Twice {
        body: String,
        copies: usize,
    },
    ThereAfterAll(String),
    ByNobody(String),
    IdTwice(String),
    Repeated(String),
    OutOfOrder(String),
    NotInArchive(String),
    Hole {
        after: Option<String>,
        missing: usize,
    },
    FetchFailed,
    FetchDiffers,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOutcome(body) => write!(f, "{body:?} has no outcome"),
            Self::SeveralOutcomes(body) => write!(f, "{body:?} has more than one outcome"),
            Self::NoId(body) => write!(f, "{body:?} is committed, but without an id"),
            Self::NotUnderItsId { body, id } => {
                write!(f, "{body:?} is committed as {id}, where it is not")
            }
            Self::SameId { body, id } => {
                write!(f, "{body:?} is committed as {id}, as another post is")
            }
            Self::Twice { body, copies } => write!(f, "{body:?} is there {copies} times"),
            Self::ThereAfterAll(body) => {
                write!(
                    f,
                    "{body:?} is in the archive, which was said to be impossible"
                )
            }
            Self::ByNobody(body) => write!(f, "{body:?} is there, but nobody posted it"),
            Self::IdTwice(id) => write!(f, "the archive has the id {id} twice"),
            Self::Repeated(body) => write!(f, "{body:?} was delivered again"),
            Self::OutOfOrder(body) => write!(f, "{body:?} was delivered out of order"),
            Self::NotInArchive(body) => {
                write!(
                    f,
                    "{body:?} was delivered, but is not in the archive like that"
                )
            }
            Self::Hole { after, missing } => {
                let after = after.as_deref().unwrap_or("the beginning");
                write!(f, "{missing} missing after {after:?}, without a word")
            }
            Self::FetchFailed => f.write_str("the archive could not be read at the end"),
            Self::FetchDiffers => f.write_str("what was read at the end is not the archive"),
        }
    }
}

/// A post that may be there or not, by what its author was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InDoubt {
    pub(super) nick: String,
    pub(super) number: usize,
    /// In truth it is.
    pub(super) archived: bool,
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) posted: usize,
    pub(super) committed: usize,
    pub(super) rejected: usize,
    pub(super) not_sent: usize,
    pub(super) in_doubt: Vec<InDoubt>,
    pub(super) archived: usize,
    pub(super) delivered: usize,
    pub(super) duplicates: usize,
    /// Delivered after those that follow it, and said to be so.
    pub(super) late: usize,
    pub(super) gaps_announced: usize,
    pub(super) gaps_not_announced: usize,
    /// Empty if it adds up.
    pub(super) faults: Vec<Fault>,
}

impl Account {
    /// Draws up the account.
    pub(super) fn of(evidence: &Evidence) -> Self {
        let mut account = Self {
            posted: evidence.posts.len(),
            archived: evidence.archive.len(),
            ..Self::default()
        };
        account.archive(evidence);
        account.posts(evidence);
        account.following(evidence);
        match &evidence.fetched {
            None => account.faults.push(Fault::FetchFailed),
            Some(fetched) if *fetched != evidence.archive => {
                account.faults.push(Fault::FetchDiffers);
            }
            Some(_) => {}
        }
        account
    }

    /// Whether nothing is wrong, every post is accounted for, and there was something to
    /// account for: a run in which nothing came through shows nothing.
    pub(super) fn adds_up(&self) -> bool {
        let told = self.committed + self.rejected + self.not_sent + self.in_doubt.len();
        self.faults.is_empty() && told == self.posted && self.committed > 0
    }

    /// The archive in itself: each id once, and nothing that nobody posted.
    fn archive(&mut self, evidence: &Evidence) {
        let posted: BTreeSet<_> = evidence
            .posts
            .iter()
            .map(|post| (&post.nick, &post.body))
            .collect();
        let mut ids = BTreeSet::new();
        for said in &evidence.archive {
            if !ids.insert(&said.id) {
                self.faults.push(Fault::IdTwice(said.id.clone()));
            }
            if !posted.contains(&(&said.nick, &said.body)) {
                self.faults.push(Fault::ByNobody(said.body.clone()));
            }
        }
    }

    /// Each post against what its author was told.
    fn posts(&mut self, evidence: &Evidence) {
        let mut places: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for said in &evidence.archive {
            let place = places.entry((&said.nick, &said.body)).or_default();
            place.push(&said.id);
        }
        let mut told_ids = BTreeSet::new();
        for post in &evidence.posts {
            let body = || post.body.clone();
            let there = places.get(&(&post.nick, &post.body));
            let there = there.map(Vec::as_slice).unwrap_or_default();
            if there.len() > 1 {
                let copies = there.len();
                self.faults.push(Fault::Twice {
                    body: body(),
                    copies,
                });
            }
            let told = match post.told.as_slice() {
                [told] => told,
                [] => {
                    self.faults.push(Fault::NoOutcome(body()));
                    continue;
                }
                [_, _, ..] => {
                    self.faults.push(Fault::SeveralOutcomes(body()));
                    continue;
                }
            };
            match told {
                Told::Committed(id) => {
                    self.committed += 1;
                    let Some(id) = id else {
                        self.faults.push(Fault::NoId(body()));
                        continue;
                    };
                    if !told_ids.insert(id) {
                        let (body, id) = (body(), id.clone());
                        self.faults.push(Fault::SameId { body, id });
                    }
                    if !there.contains(&id.as_str()) {
                        let (body, id) = (body(), id.clone());
                        self.faults.push(Fault::NotUnderItsId { body, id });
                    }
                }
                Told::Rejected | Told::NotSent => {
                    match told {
                        Told::Rejected => self.rejected += 1,
                        _ => self.not_sent += 1,
                    }
                    if !there.is_empty() {
                        self.faults.push(Fault::ThereAfterAll(body()));
                    }
                }
                Told::Unknown => self.in_doubt.push(InDoubt {
                    nick: post.nick.clone(),
                    number: post.number,
                    archived: !there.is_empty(),
                }),
            }
        }
    }

    /// The follower's log against the archive.
    fn following(&mut self, evidence: &Evidence) {
        let places: BTreeMap<_, _> = evidence
            .archive
            .iter()
            .enumerate()
            .map(|(place, said)| (said.id.as_str(), (place, said)))
            .collect();
        let mut seen = BTreeSet::new();
        let mut holes = Vec::new();
        let mut next = 0;
        let mut announced = false;
        for heard in &evidence.heard {
            let (said, late) = match heard {
                Heard::Message(said) => (said, false),
                Heard::Late(said) => (said, true),
                Heard::Gap => {
                    self.gaps_announced += 1;
                    announced = true;
                    continue;
                }
            };
            self.delivered += 1;
            self.late += usize::from(late);
            let body = said.body.clone();
            let Some((place, _)) = places.get(said.id.as_str()).filter(|(_, it)| *it == said)
            else {
                self.faults.push(Fault::NotInArchive(body));
                continue;
            };
            if !seen.insert(*place) {
                self.duplicates += 1;
                self.faults.push(Fault::Repeated(body));
            } else if late != (*place < next) {
                self.faults.push(Fault::OutOfOrder(body));
            } else if !late {
                holes.push((next..*place, announced));
                next = place + 1;
                announced = false;
            }
        }
        holes.push((next..evidence.archive.len(), announced));
        for (hole, announced) in holes {
            let first = hole.start;
            // What came late is not missing.
            let missing = hole.filter(|place| !seen.contains(place)).count();
            if missing > 0 && !announced {
                self.gaps_not_announced += 1;
                let before = first.checked_sub(1).and_then(|at| evidence.archive.get(at));
                let after = before.map(|said| said.body.clone());
                self.faults.push(Fault::Hole { after, missing });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(n: usize) -> Said {
        Said {
            id: format!("id-{n}"),
            nick: "ana".into(),
            body: format!("ana {n}"),
        }
    }

    fn posted(n: usize, told: Told) -> Posted {
        Posted {
            nick: "ana".into(),
            number: n,
            body: format!("ana {n}"),
            told: vec![told],
        }
    }

    fn committed(n: usize) -> Posted {
        posted(n, Told::Committed(Some(format!("id-{n}"))))
    }

    /// A run in which 1 to 4 came through, 5 was in doubt and is there, 6 in doubt
    /// and not there, 7 refused, 8 not sent.
    fn right() -> Evidence {
        let archive: Vec<_> = (1..=5).map(said).collect();
        let mut posts: Vec<_> = (1..=4).map(committed).collect();
        posts.push(posted(5, Told::Unknown));
        posts.push(posted(6, Told::Unknown));
        posts.push(posted(7, Told::Rejected));
        posts.push(posted(8, Told::NotSent));
        Evidence {
            heard: archive.iter().cloned().map(Heard::Message).collect(),
            fetched: Some(archive.clone()),
            archive,
            posts,
        }
    }

    fn faults(change: impl FnOnce(&mut Evidence)) -> Vec<Fault> {
        let mut evidence = right();
        change(&mut evidence);
        Account::of(&evidence).faults
    }

    #[test]
    fn a_right_account_adds_up_and_names_what_is_in_doubt() {
        let account = Account::of(&right());
        assert!(account.adds_up(), "{account:?}");
        let doubt = |number, archived| InDoubt {
            nick: "ana".into(),
            number,
            archived,
        };
        let expected = Account {
            posted: 8,
            committed: 4,
            rejected: 1,
            not_sent: 1,
            in_doubt: vec![doubt(5, true), doubt(6, false)],
            archived: 5,
            delivered: 5,
            ..Account::default()
        };
        assert_eq!(account, expected);
    }

    #[test]
    fn every_post_has_one_outcome() {
        let one = |n: usize| format!("ana {n}");
        assert_eq!(
            faults(|e| e.posts[0].told.clear()),
            [Fault::NoOutcome(one(1))]
        );
        assert_eq!(
            faults(|e| e.posts[5].told.push(Told::NotSent)),
            [Fault::SeveralOutcomes(one(6))]
        );
    }

    #[test]
    fn a_committed_post_is_there_once_under_its_id() {
        let (body, id) = (String::from("ana 2"), String::from("id-2"));
        let lost = faults(|e| {
            e.archive.remove(1);
            e.heard.remove(1);
            e.fetched = Some(e.archive.clone());
        });
        assert_eq!(
            lost,
            [Fault::NotUnderItsId {
                body: body.clone(),
                id
            }]
        );
        let other = faults(|e| e.posts[1].told = vec![Told::Committed(Some("id-5".into()))]);
        let wrong = Fault::NotUnderItsId {
            body: body.clone(),
            id: "id-5".into(),
        };
        assert_eq!(other, [wrong]);
        let nameless = faults(|e| e.posts[1].told = vec![Told::Committed(None)]);
        assert_eq!(nameless, [Fault::NoId(body.clone())]);
        let copied = faults(|e| {
            let again = Said {
                id: "id-9".into(),
                ..said(2)
            };
            e.archive.push(again.clone());
            e.heard.push(Heard::Message(again));
            e.fetched = Some(e.archive.clone());
        });
        assert_eq!(copied, [Fault::Twice { body, copies: 2 }]);
        let shared = faults(|e| e.posts[2].told = vec![Told::Committed(Some("id-2".into()))]);
        assert!(
            matches!(
                &shared[..],
                [Fault::SameId { .. }, Fault::NotUnderItsId { .. }]
            ),
            "{shared:?}"
        );
    }

    #[test]
    fn what_never_will_be_there_is_not_there() {
        for told in [Told::Rejected, Told::NotSent] {
            let found = faults(|e| e.posts[4].told = vec![told]);
            assert_eq!(found, [Fault::ThereAfterAll("ana 5".into())]);
        }
    }

    #[test]
    fn the_archive_holds_what_was_posted_and_each_id_once() {
        let alien = faults(|e| {
            e.posts.remove(4);
        });
        assert_eq!(alien, [Fault::ByNobody("ana 5".into())]);
        let double = faults(|e| e.archive[4].id = "id-1".into());
        assert!(
            double.contains(&Fault::IdTwice("id-1".into())),
            "{double:?}"
        );
    }

    #[test]
    fn the_follower_misses_nothing_without_a_word() {
        let hole = |after: Option<&str>, missing| Fault::Hole {
            after: after.map(Into::into),
            missing,
        };
        let middle = |e: &mut Evidence| drop(e.heard.drain(1..3));
        assert_eq!(faults(middle), [hole(Some("ana 1"), 2)]);
        let first = |e: &mut Evidence| drop(e.heard.remove(0));
        assert_eq!(faults(first), [hole(None, 1)]);
        let last = |e: &mut Evidence| drop(e.heard.pop());
        assert_eq!(faults(last), [hole(Some("ana 4"), 1)]);

        let mut told = right();
        told.heard.splice(1..3, [Heard::Gap]);
        let account = Account::of(&told);
        assert!(account.adds_up(), "{account:?}");
        assert_eq!((account.gaps_announced, account.gaps_not_announced), (1, 0));
        // What was said about one gap is no excuse for the next.
        drop(told.heard.pop());
        let account = Account::of(&told);
        assert_eq!((account.gaps_announced, account.gaps_not_announced), (1, 1));
        assert_eq!(account.faults, [hole(Some("ana 4"), 1)]);
    }

    #[test]
    fn the_follower_gets_each_once_in_order_and_as_it_is() {
        let again = faults(|e| e.heard.push(Heard::Message(said(3))));
        assert_eq!(again, [Fault::Repeated("ana 3".into())]);
        let swapped = faults(|e| e.heard.swap(1, 2));
        assert!(
            swapped.contains(&Fault::OutOfOrder("ana 2".into())),
            "{swapped:?}"
        );
        let altered = faults(|e| {
            let changed = Said {
                body: "ana 4!".into(),
                ..said(4)
            };
            e.heard[3] = Heard::Message(changed);
        });
        assert!(
            altered.contains(&Fault::NotInArchive("ana 4!".into())),
            "{altered:?}"
        );
    }

    #[test]
    fn what_is_said_to_be_late_may_be_late_but_not_come_again() {
        let mut evidence = right();
        let Heard::Message(second) = evidence.heard.remove(1) else {
            panic!("a message");
        };
        evidence.heard.push(Heard::Late(second.clone()));
        let account = Account::of(&evidence);
        assert!(account.adds_up(), "{account:?}");
        assert_eq!((account.late, account.delivered), (1, 5));
        evidence.heard.push(Heard::Late(second));
        let account = Account::of(&evidence);
        assert_eq!(account.faults, [Fault::Repeated("ana 2".into())]);
        let early = faults(|e| e.heard[4] = Heard::Late(said(5)));
        assert!(
            early.contains(&Fault::OutOfOrder("ana 5".into())),
            "{early:?}"
        );
    }

    #[test]
    fn reading_it_all_gives_the_archive() {
        assert_eq!(faults(|e| e.fetched = None), [Fault::FetchFailed]);
        let short = faults(|e| drop(e.fetched.as_mut().unwrap().pop()));
        assert_eq!(short, [Fault::FetchDiffers]);
    }

    #[test]
    fn a_run_in_which_nothing_came_through_adds_up_to_nothing() {
        assert!(
            !Account::of(&Evidence {
                fetched: Some(Vec::new()),
                ..Evidence::default()
            })
            .adds_up()
        );
        let refused = Evidence {
            posts: vec![posted(1, Told::Rejected), posted(2, Told::NotSent)],
            fetched: Some(Vec::new()),
            ..Evidence::default()
        };
        let account = Account::of(&refused);
        assert!(
            account.faults.is_empty() && !account.adds_up(),
            "{account:?}"
        );
    }

    #[test]
    fn a_run_without_doubt_fits_too() {
        let mut evidence = right();
        evidence.posts.truncate(4);
        evidence.posts.push(committed(5));
        let account = Account::of(&evidence);
        assert!(
            account.adds_up() && account.in_doubt.is_empty(),
            "{account:?}"
        );
    }
}
