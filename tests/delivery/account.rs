//! The account of a run: what the clients were told, held against the archive.
//!
//! A pure function of the evidence, so that it can be shown to find what it looks for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A message, as the archive holds it or as the follower saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub id: String,
    pub nick: String,
    pub body: String,
}

/// The outcome of a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Reflected(String),
    FoundInArchive(String),
    Rejected,
    NotSent,
    Unknown(Resolved),
    /// There was none that the contract knows; which, in words.
    None(String),
}

/// What `resolve` made of an unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    Found(String),
    Absent,
    CannotTell,
}

#[derive(Clone, Debug)]
pub struct Posted {
    pub nick: &'static str,
    pub body: String,
    pub told: Told,
}

/// What the follower was given, in its order.
#[derive(Clone, Debug)]
pub enum Heard {
    Message(Said),
    Late(Said),
    Gap(String),
}

/// All that is known of a run.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    pub posts: Vec<Posted>,
    pub heard: Vec<Heard>,
    pub archive: Vec<Said>,
    /// The archive is one that is known to lose what it acknowledged when it is killed.
    pub may_forget: bool,
}

/// What came out.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pub posted: usize,
    pub reflected: usize,
    pub found_in_archive: usize,
    pub rejected: usize,
    pub not_sent: usize,
    pub found: usize,
    pub absent: usize,
    pub cannot_tell: usize,
    pub archived: usize,
    pub delivered: usize,
    pub late: usize,
    pub gaps: Vec<String>,
    /// Acknowledged to their authors, and no longer there: the exception.
    pub forgotten: usize,
    /// Given to the follower, and no longer there: likewise.
    pub forgotten_of_follower: usize,
    /// Twice in the archive, or given to the follower twice.
    pub duplicates: usize,
    pub faults: Vec<String>,
}

impl Account {
    pub fn of(evidence: &Evidence) -> Self {
        let mut account = Self {
            posted: evidence.posts.len(),
            archived: evidence.archive.len(),
            ..Self::default()
        };
        account.posts(evidence);
        account.archive(evidence);
        account.following(evidence);
        account
    }

    fn fault(&mut self, what: String) {
        self.faults.push(what);
    }

    /// Each post has an outcome, and the archive agrees with it.
    fn posts(&mut self, evidence: &Evidence) {
        let mut places: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for said in &evidence.archive {
            let place = places.entry((&said.nick, &said.body)).or_default();
            place.push(&said.id);
        }
        for post in &evidence.posts {
            let body = &post.body;
            let there = places.get(&(post.nick, body)).cloned().unwrap_or_default();
            if there.len() > 1 {
                self.duplicates += there.len() - 1;
                self.fault(format!("{body:?} is there {} times", there.len()));
            }
            let id = match &post.told {
                Told::Reflected(id) => {
                    self.reflected += 1;
                    Some(id)
                }
                Told::FoundInArchive(id) => {
                    self.found_in_archive += 1;
                    Some(id)
                }
                Told::Unknown(Resolved::Found(id)) => {
                    self.found += 1;
                    Some(id)
                }
                Told::Rejected => {
                    self.rejected += 1;
                    None
                }
                Told::NotSent => {
                    self.not_sent += 1;
                    None
                }
                Told::Unknown(Resolved::Absent) => {
                    self.absent += 1;
                    None
                }
                Told::Unknown(Resolved::CannotTell) => {
                    self.cannot_tell += 1;
                    // At most once is all that is said of it.
                    continue;
                }
                Told::None(what) => {
                    self.fault(format!("{body:?} has no outcome: {what}"));
                    continue;
                }
            };
            match id {
                Some(id) if there.contains(&id.as_str()) => {}
                Some(_) if there.is_empty() && evidence.may_forget => self.forgotten += 1,
                Some(id) => self.fault(format!("{body:?} is not there as {id}, but {there:?}")),
                None if there.is_empty() => {}
                None => self.fault(format!("{body:?} is there, against {:?}", post.told)),
            }
        }
    }

    /// Nothing is in the archive that nobody posted, and no id twice.
    fn archive(&mut self, evidence: &Evidence) {
        let posted: BTreeSet<_> = evidence
            .posts
            .iter()
            .map(|post| (post.nick, post.body.as_str()))
            .collect();
        let mut ids = BTreeSet::new();
        for said in &evidence.archive {
            if !ids.insert(&said.id) {
                self.fault(format!("the archive has the id {} twice", said.id));
            }
            if !posted.contains(&(said.nick.as_str(), said.body.as_str())) {
                self.fault(format!("{said:?} was posted by nobody"));
            }
        }
    }

    /// What the follower was given is the archive in its order, or it was told where not.
    fn following(&mut self, evidence: &Evidence) {
        let places: BTreeMap<_, _> = evidence
            .archive
            .iter()
            .enumerate()
            .map(|(place, said)| (said.id.as_str(), (place, said)))
            .collect();
        let (mut given, mut seen) = (BTreeSet::new(), BTreeSet::new());
        // Given, and gone from the archive: what its author found missing there and sent
        // again is the same message, which is not given twice.
        let mut forgotten = BTreeSet::new();
        let mut holes = Vec::new();
        let (mut next, mut announced) = (0, false);
        for heard in &evidence.heard {
            let (said, late) = match heard {
                Heard::Message(said) => (said, false),
                Heard::Late(said) => (said, true),
                Heard::Gap(why) => {
                    self.gaps.push(why.clone());
                    announced = true;
                    continue;
                }
            };
            self.delivered += 1;
            self.late += usize::from(late);
            if !given.insert(&said.id) {
                self.duplicates += 1;
                self.fault(format!("{said:?} was given twice"));
                continue;
            }
            match places.get(said.id.as_str()) {
                Some((place, archived)) if *archived == said => {
                    seen.insert(*place);
                    if late != (*place < next) {
                        self.fault(format!("{said:?} was given out of order"));
                    } else if !late {
                        holes.push((next..*place, announced));
                        (next, announced) = (place + 1, false);
                    }
                }
                None if evidence.may_forget => {
                    self.forgotten_of_follower += 1;
                    forgotten.insert((&said.nick, &said.body));
                }
                other => self.fault(format!("{said:?} was given, but there is {other:?}")),
            }
        }
        holes.push((next..evidence.archive.len(), announced));
        for (hole, announced) in holes {
            // What came late is not missing, nor what was given from where it is forgotten.
            let missing = hole.clone().filter(|place| {
                let said = &evidence.archive[*place];
                !seen.contains(place) && !forgotten.contains(&(&said.nick, &said.body))
            });
            let missing = missing.count();
            if missing > 0 && !announced {
                self.fault(format!("{missing} missing in {hole:?} without a word"));
            }
        }
    }
}

/// What the follower was given, in few words: runs of places in the archive, what is no
/// longer there, and gaps.
pub fn story(evidence: &Evidence) -> String {
    let ids = evidence.archive.iter().map(|said| said.id.as_str());
    let places: BTreeMap<_, _> = ids.zip(0_usize..).collect();
    let mut words: Vec<String> = Vec::new();
    let mut run: Option<(&str, Option<usize>, usize)> = None;
    let told = |(kind, from, count): (&str, Option<usize>, usize)| match from {
        Some(from) => format!("{kind}{from}..{}", from + count),
        None => format!("{kind}{count} gone"),
    };
    for heard in &evidence.heard {
        let (kind, said) = match heard {
            Heard::Message(said) => ("", said),
            Heard::Late(said) => ("late ", said),
            Heard::Gap(why) => {
                words.extend(run.take().map(told));
                words.push(format!("gap {why}"));
                continue;
            }
        };
        let place = places.get(said.id.as_str()).copied();
        match &mut run {
            Some((of, from, count)) if *of == kind && from.map(|at| at + *count) == place => {
                *count += 1;
            }
            _ => {
                words.extend(run.take().map(told));
                run = Some((kind, place, 1));
            }
        }
    }
    words.extend(run.map(told));
    words.join(", ")
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let committed = self.reflected + self.found_in_archive;
        let unknown = self.found + self.absent + self.cannot_tell;
        writeln!(f, "  posted                {:>6}", self.posted)?;
        writeln!(
            f,
            "    committed           {committed:>6}   {} by reflection, {} by the archive",
            self.reflected, self.found_in_archive
        )?;
        writeln!(f, "    rejected            {:>6}", self.rejected)?;
        writeln!(f, "    not sent            {:>6}", self.not_sent)?;
        writeln!(
            f,
            "    unknown             {unknown:>6}   resolved: {} found, {} absent, {} cannot be told",
            self.found, self.absent, self.cannot_tell
        )?;
        writeln!(f, "  archived              {:>6}", self.archived)?;
        writeln!(f, "  given to the follower {:>6}", self.delivered)?;
        writeln!(f, "    late                {:>6}", self.late)?;
        writeln!(
            f,
            "    gaps                {:>6}   {:?}",
            self.gaps.len(),
            self.gaps
        )?;
        writeln!(f, "    duplicates          {:>6}", self.duplicates)?;
        write!(
            f,
            "  acknowledged, and lost by the archive when killed: {} posts, {} of the follower's",
            self.forgotten, self.forgotten_of_follower
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is done to the evidence, and what that means.
    type Change = (&'static str, fn(&mut Evidence));

    fn said(n: usize) -> Said {
        Said {
            id: format!("id-{n}"),
            nick: "ana".into(),
            body: format!("{n}"),
        }
    }

    fn posted(n: usize, told: Told) -> Posted {
        let body = format!("{n}");
        Posted {
            nick: "ana",
            body,
            told,
        }
    }

    fn right() -> Evidence {
        let archive: Vec<_> = (1..=4).map(said).collect();
        Evidence {
            posts: vec![
                posted(1, Told::Reflected("id-1".into())),
                posted(2, Told::FoundInArchive("id-2".into())),
                posted(3, Told::Unknown(Resolved::Found("id-3".into()))),
                posted(4, Told::Unknown(Resolved::CannotTell)),
                posted(5, Told::Unknown(Resolved::Absent)),
                posted(6, Told::NotSent),
                posted(7, Told::Rejected),
            ],
            heard: archive.iter().cloned().map(Heard::Message).collect(),
            archive,
            may_forget: false,
        }
    }

    fn faults(change: impl FnOnce(&mut Evidence)) -> Vec<String> {
        let mut evidence = right();
        change(&mut evidence);
        Account::of(&evidence).faults
    }

    #[test]
    fn the_story_tells_runs_and_gaps() {
        let mut evidence = right();
        evidence.heard[2] = Heard::Gap("why".into());
        evidence.archive.remove(0);
        assert_eq!(story(&evidence), "1 gone, 0..1, gap why, 2..3");
    }

    #[test]
    fn the_account_finds_what_it_looks_for() {
        assert_eq!(faults(|_| ()), Vec::<String>::new());
        let wrong: [Change; 12] = [
            ("lost", |it| drop(it.archive.remove(0))),
            ("twice", |it| {
                let mut again = said(2);
                again.id = "id-9".into();
                it.archive.push(again.clone());
                it.heard.push(Heard::Message(again));
            }),
            ("absent after all", |it| it.posts[4].body = "4".into()),
            ("not sent after all", |it| it.posts[5].body = "4".into()),
            ("rejected after all", |it| it.posts[6].body = "4".into()),
            ("no outcome", |it| it.posts[0].told = Told::None("x".into())),
            ("by nobody", |it| drop(it.posts.remove(3))),
            ("given twice", |it| it.heard.push(it.heard[3].clone())),
            ("hole", |it| drop(it.heard.remove(1))),
            ("end missing", |it| drop(it.heard.pop())),
            ("order", |it| it.heard.swap(1, 2)),
            ("another forgotten", |it| {
                it.may_forget = true;
                it.archive[1].id = "id-2-again".into();
                it.posts[1].told = Told::FoundInArchive("id-2-again".into());
                it.heard.remove(1);
                it.heard.insert(0, Heard::Message(said(9)));
            }),
        ];
        for (what, change) in wrong {
            assert!(!faults(change).is_empty(), "{what}");
        }
        let named: [Change; 4] = [
            ("a gap that was announced", |it| {
                it.heard[1] = Heard::Gap("why".into());
            }),
            ("late", |it| {
                let late = it.heard.remove(1);
                let Heard::Message(said) = late else { return };
                it.heard.push(Heard::Late(said));
            }),
            ("forgotten, where that is known", |it| {
                it.may_forget = true;
                it.archive.remove(1);
            }),
            ("forgotten, sent again, and given once", |it| {
                it.may_forget = true;
                it.archive[1].id = "id-2-again".into();
                it.posts[1].told = Told::FoundInArchive("id-2-again".into());
            }),
        ];
        for (what, change) in named {
            assert_eq!(faults(change), Vec::<String>::new(), "{what}");
        }
    }
}
