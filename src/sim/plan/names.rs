//! What choices are called in the text form of a plan.

use crate::sim::happening::Ending;
use crate::sim::server::{Garbling, Lie, Mechanisms, Removal, Tampering, Withheld};

pub(super) const REMOVALS: &[(Removal, &str)] = &[
    (Removal::Kicked, "kicked"),
    (Removal::Banned, "banned"),
    (Removal::NotMember, "not-member"),
    (Removal::Technical, "technical"),
    (Removal::Silent, "silent"),
];

pub(super) const GARBLINGS: &[(Garbling, &str)] = &[
    (Garbling::Twice, "twice"),
    (Garbling::Again, "again"),
    (Garbling::Bounds, "bounds"),
    (Garbling::AfterEnd, "after-end"),
];

pub(super) const LIES: &[(Lie, &str)] = &[
    (Lie::Result, "result"),
    (Lie::Answer, "answer"),
    (Lie::Foreign, "foreign"),
    (Lie::Carbon, "carbon"),
    (Lie::Entered, "entered"),
    (Lie::Kicked, "kicked"),
    (Lie::Copied, "copied"),
    (Lie::Nested, "nested"),
    (Lie::Push, "push"),
];

pub(super) const ENDINGS: &[(Ending, &str)] = &[
    (Ending::Fin, Ending::Fin.name()),
    (Ending::Reset, Ending::Reset.name()),
    (Ending::Silence, Ending::Silence.name()),
    (Ending::Truncation, Ending::Truncation.name()),
    (Ending::Alert, Ending::Alert.name()),
    (Ending::HalfOpen, Ending::HalfOpen.name()),
];

pub(super) const WITHHELD: &[(Withheld, &str)] = &[
    (Withheld::All, "all"),
    (Withheld::Enabling, "enabling"),
    (Withheld::Resumption, "resumption"),
];

pub(super) const MECHANISMS: &[(Mechanisms, &str)] = &[
    (Mechanisms::Unbound, "unbound"),
    (Mechanisms::Sha1, "sha-1"),
    (Mechanisms::Plain, "plain"),
];

pub(super) const TAMPERINGS: &[(Tampering, &str)] = &[
    (Tampering::Double, "double"),
    (Tampering::Drop, "drop"),
    (Tampering::Swap, "swap"),
];

/// What this one is called.
pub(super) fn name_of<T: Copy + PartialEq>(names: &[(T, &'static str)], one: T) -> &'static str {
    let found = names.iter().find(|(known, _)| *known == one);
    found.map_or("", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lie_has_a_name() {
        for lie in Lie::ALL {
            assert!(!name_of(LIES, *lie).is_empty(), "{lie:?}");
        }
        for how in Ending::ALL {
            assert!(!name_of(ENDINGS, *how).is_empty(), "{how:?}");
        }
    }
}
