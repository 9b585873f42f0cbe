//! Which mechanism to use, and what to bind it to.
//!
//! Deterministic, strongest first: SCRAM with channel binding, then without,
//! each with SHA-512, SHA-256, SHA-1; PLAIN only by consent, over TLS, and where
//! no SCRAM whatsoever is offered (RFC 6120, section 13.8.3; XEP-0474 v0.5.0,
//! Business Rules).
//!
//! Channel binding follows RFC 5802, section 6, and the business rules of
//! XEP-0440 v1.0.0 as XEP-0474 v0.5.0 amends them. With "we could" meaning that
//! TLS stands and the host gave us binding data, and `-PLUS` meaning the variant of a SCRAM whose
//! hash is known here: another name, whatever it ends in, is nothing that we could have used, and
//! who adds one to the offer must not get an `n` for it:
//!
//! | we could | `-PLUS` offered | types announced | what is done |
//! |---|---|---|---|
//! | no  | any | any  | `n` |
//! | yes | no  | none | `y`: a server that does offer it fails us, since somebody took it away |
//! | yes | no  | some | SCRAM offered: [`AuthFailure::Downgraded`] (rule 5) |
//! | yes | yes | one of ours | `p=`, `tls-exporter` before `tls-server-end-point` (rule 7) |
//! | yes | yes | `tls-server-end-point`, which we lack | `n`: some certificates have no such binding |
//! | yes | yes | only foreign ones | `n`, and the login fails unless the server vouches for its offer by XEP-0474 (new rule 6) |
//! | yes | yes | none | see below |
//!
//! The last case is undefined (rule 4). RFC 9266, section 3, makes `tls-exporter`
//! the default over TLS 1.3, but what announces nothing is in practice older than
//! that: Prosody 0.12 and ejabberd 23.01 mean `tls-unique` alone, which RFC 9266
//! gives up and which we never have. To try another type would be a login refused
//! like one with a wrong password. So `n` is used, not being able to bind to what
//! is meant; unless nothing but `-PLUS` is offered: then a type is guessed, in
//! the order above. Somebody with a valid certificate who cuts the announcement
//! out can thus prevent channel binding, unless the server speaks XEP-0474.
//!
//! Once an engine has logged in with SCRAM it does not use PLAIN any more, whatever the
//! server offers then. Not done: nothing of that is remembered from one engine to the
//! next. Whoever allows PLAIN gives up that protection knowingly.

use alloc::string::String;
use alloc::vec::Vec;

use super::encode;
use super::hash::Hash;
use crate::config::ChannelBinding;
use crate::error::AuthFailure;

/// Names kept of an offer that is of no use.
const OFFERED_NAMES: usize = 32;
/// Characters kept of each. A mechanism's name has at most 20 (RFC 4422, section 3.1), and
/// so has the longest type of channel binding that there is.
const OFFERED_NAME_CHARS: usize = 32;

const EXPORTER: &str = "tls-exporter";
const SERVER_END_POINT: &str = "tls-server-end-point";

/// What a server's stream features say about logging in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer<'a> {
    /// Every `<mechanism/>`, in the order and number received: XEP-0474 hashes them all.
    pub(crate) mechanisms: &'a [&'a str],
    /// Every type in `<sasl-channel-binding/>` (XEP-0440), or `None` without that element.
    pub(crate) channel_bindings: Option<&'a [&'a str]>,
}

/// What we are ready to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// TLS stands, and the certificate was verified.
    pub(crate) secure: bool,
    /// PLAIN may be used, where it is secure and there is no SCRAM.
    pub(crate) allow_plain: bool,
}

/// A mechanism, and everything about the offer that its exchange needs.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Plain,
    Scram(ScramChoice),
}

#[derive(Clone, Debug)]
pub(super) struct ScramChoice {
    pub(super) hash: Hash,
    pub(super) binding: Binding,
    /// The offer as XEP-0474 hashes it: the hash, encoded. What was offered can be long.
    pub(super) offer: String,
    /// The server has to vouch for the offer.
    pub(super) vouch: bool,
}

/// The flag of the GS2 header and what goes with it. RFC 5802, sections 6 and 7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Binding {
    /// `n`: we cannot.
    Unsupported,
    /// `y`: we could, and believe that the server cannot.
    Unoffered,
    /// `p=`: to the TLS connection.
    Exporter(Vec<u8>),
    /// `p=`: to the server's certificate.
    ServerEndPoint(Vec<u8>),
}

impl Choice {
    /// The mechanism's name on the wire.
    pub(crate) const fn mechanism(&self) -> &'static str {
        match &self.kind {
            Kind::Plain => "PLAIN",
            Kind::Scram(scram) => name(scram.hash, scram.binding.kind().is_some()),
        }
    }

    /// The type of channel binding, if there is any.
    pub(crate) const fn channel_binding(&self) -> Option<&'static str> {
        match &self.kind {
            Kind::Plain => None,
            Kind::Scram(scram) => scram.binding.kind(),
        }
    }
}

impl Binding {
    /// The type's unique prefix in the registry of channel bindings.
    pub(super) const fn kind(&self) -> Option<&'static str> {
        match self {
            Self::Unsupported | Self::Unoffered => None,
            Self::Exporter(_) => Some(EXPORTER),
            Self::ServerEndPoint(_) => Some(SERVER_END_POINT),
        }
    }

    pub(super) fn data(&self) -> &[u8] {
        match self {
            Self::Unsupported | Self::Unoffered => &[],
            Self::Exporter(data) | Self::ServerEndPoint(data) => data,
        }
    }
}

/// Chooses as the module says.
pub(crate) fn choose(
    offer: Offer<'_>,
    policy: Policy,
    available: &ChannelBinding,
) -> Result<Choice, AuthFailure> {
    let offers = |name| offer.mechanisms.contains(&name);
    let strongest = |plus| HASHES.into_iter().find(|hash| offers(name(*hash, plus)));
    let scram = |hash, binding, vouch| Choice {
        kind: Kind::Scram(ScramChoice {
            hash,
            binding,
            offer: encode(&hash.digest(hashed_text(offer).as_bytes())),
            vouch,
        }),
    };

    let (plain, plus) = (strongest(false), strongest(true));
    let (flag, vouch) = match bind(offer.channel_bindings, plain, plus, policy, available)? {
        Bind::To(hash, binding) => return Ok(scram(hash, binding, false)),
        Bind::Not { flag, vouch } => (flag, vouch),
    };
    if let Some(hash) = plain {
        return Ok(scram(hash, flag, vouch));
    }
    let any_scram = offer.mechanisms.iter().any(|name| is_scram(name));
    if policy.secure && policy.allow_plain && !any_scram && offers("PLAIN") {
        return Ok(Choice { kind: Kind::Plain });
    }
    Err(AuthFailure::NoMechanism {
        offered: named(offer.mechanisms, OFFERED_NAMES),
    })
}

/// The first of these names, as far as they are told: each is cut where it is too long to be one.
pub(crate) fn named(names: &[&str], most: usize) -> Vec<String> {
    let names = names.iter().take(most);
    names
        .map(|name| name.chars().take(OFFERED_NAME_CHARS).collect())
        .collect()
}

/// Strongest first.
const HASHES: [Hash; 3] = [Hash::Sha512, Hash::Sha256, Hash::Sha1];

const fn name(hash: Hash, plus: bool) -> &'static str {
    match (hash, plus) {
        (Hash::Sha1, false) => "SCRAM-SHA-1",
        (Hash::Sha1, true) => "SCRAM-SHA-1-PLUS",
        (Hash::Sha256, false) => "SCRAM-SHA-256",
        (Hash::Sha256, true) => "SCRAM-SHA-256-PLUS",
        (Hash::Sha512, false) => "SCRAM-SHA-512",
        (Hash::Sha512, true) => "SCRAM-SHA-512-PLUS",
    }
}

fn is_scram(name: &str) -> bool {
    name.starts_with("SCRAM-")
}

/// What the table of the module comes to.
enum Bind {
    To(Hash, Binding),
    Not { flag: Binding, vouch: bool },
}

/// With the types that were announced, and the strongest that is offered without binding and with.
fn bind(
    types: Option<&[&str]>,
    plain: Option<Hash>,
    plus: Option<Hash>,
    policy: Policy,
    available: &ChannelBinding,
) -> Result<Bind, AuthFailure> {
    let have = |data: &Option<Vec<u8>>| {
        (data
            .as_ref()
            .filter(|data| policy.secure && !data.is_empty()))
        .cloned()
    };
    let exporter = have(&available.exporter).map(Binding::Exporter);
    let end_point = have(&available.server_end_point).map(Binding::ServerEndPoint);
    let best = |named: &dyn Fn(&str) -> bool| {
        (exporter.iter().chain(&end_point))
            .find(|binding| binding.kind().is_some_and(named))
            .cloned()
    };
    let not = |flag, vouch| Ok(Bind::Not { flag, vouch });

    let Some(any) = best(&|_| true) else {
        return not(Binding::Unsupported, false);
    };
    // The element must not be empty; where it is, nothing is announced.
    let announced = types.filter(|types| !types.is_empty());
    match (plus, announced) {
        // "If the client supports channel binding and the server does not appear to", "then the
        // client MUST NOT use an "n" gs2-cbind-flag" (RFC 5802, section 6).
        (None, None) => not(Binding::Unoffered, false),
        (None, Some(_)) if plain.is_some() => Err(AuthFailure::Downgraded),
        (None, Some(_)) => not(Binding::Unsupported, false),
        // Guessed, for lack of anything without binding.
        (Some(hash), None) if plain.is_none() => Ok(Bind::To(hash, any)),
        (Some(_), None) => not(Binding::Unsupported, false),
        (Some(hash), Some(types)) => match best(&|kind| types.contains(&kind)) {
            Some(binding) => Ok(Bind::To(hash, binding)),
            None => not(Binding::Unsupported, !types.contains(&SERVER_END_POINT)),
        },
    }
}

/// What XEP-0474 v0.5.0 hashes: the sorted mechanisms, and the sorted types of
/// channel binding if any were announced.
fn hashed_text(offer: Offer<'_>) -> String {
    let mut text = sorted(offer.mechanisms);
    if let Some(types) = offer.channel_bindings {
        text.push('\u{1f}');
        text.push_str(&sorted(types));
    }
    text
}

/// In the order of their bytes (i;octet), joined by a separator that XML cannot contain.
fn sorted(names: &[&str]) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.join("\u{1e}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;

    const SECURE: Policy = Policy {
        secure: true,
        allow_plain: false,
    };

    fn binding(exporter: bool, end_point: bool) -> ChannelBinding {
        ChannelBinding {
            exporter: exporter.then(|| vec![1; 32]),
            server_end_point: end_point.then(|| vec![2; 32]),
        }
    }

    /// The mechanism, the GS2 flag, whether the server must vouch; or why not.
    fn chosen(
        mechanisms: &[&str],
        channel_bindings: Option<&[&str]>,
        policy: Policy,
        available: &ChannelBinding,
    ) -> Result<(&'static str, &'static str, bool), AuthFailure> {
        let offer = Offer {
            mechanisms,
            channel_bindings,
        };
        choose(offer, policy, available).map(|choice| match &choice.kind {
            Kind::Plain => (choice.mechanism(), "", false),
            Kind::Scram(scram) => (
                choice.mechanism(),
                match scram.binding {
                    Binding::Unsupported => "n",
                    Binding::Unoffered => "y",
                    Binding::Exporter(_) => "exporter",
                    Binding::ServerEndPoint(_) => "end-point",
                },
                scram.vouch,
            ),
        })
    }

    const ALL: &[&str] = &[
        "PLAIN",
        "SCRAM-SHA-1",
        "X-OAUTH2",
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-512",
        "SCRAM-SHA-1-PLUS",
        "SCRAM-SHA-256",
        "SCRAM-SHA-512-PLUS",
    ];
    const OF_NO_USE: &[&str] = &["X-PLUS", "SCRAM-SHA3-512-PLUS"];
    const UNBOUND: &[&str] = &["SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN"];

    #[test]
    fn a01_the_strongest_mechanism_is_chosen() {
        let types: Option<&[&str]> = Some(&["tls-server-end-point", "tls-exporter"]);
        let mut left = ALL.to_vec();
        for expected in [
            ("SCRAM-SHA-512-PLUS", "exporter"),
            ("SCRAM-SHA-256-PLUS", "exporter"),
            ("SCRAM-SHA-1-PLUS", "exporter"),
        ] {
            let (name, flag, _) = chosen(&left, types, SECURE, &binding(true, true)).unwrap();
            assert_eq!((name, flag), expected);
            left.retain(|offered| *offered != name);
        }
        for expected in ["SCRAM-SHA-512", "SCRAM-SHA-256", "SCRAM-SHA-1"] {
            let (name, flag, _) = chosen(&left, None, SECURE, &binding(true, true)).unwrap();
            assert_eq!((name, flag), (expected, "y"));
            left.retain(|offered| *offered != name);
        }
        assert!(matches!(
            chosen(&left, None, SECURE, &binding(true, true)),
            Err(AuthFailure::NoMechanism { offered }) if offered == ["PLAIN", "X-OAUTH2"]
        ));
    }

    #[test]
    fn a01_plain_only_by_consent_over_tls_and_without_any_scram() {
        let plain = |mechanisms: &[&str], secure, allow_plain| {
            let policy = Policy {
                secure,
                allow_plain,
            };
            chosen(mechanisms, None, policy, &ChannelBinding::default()).map(|chosen| chosen.0)
        };
        assert_eq!(plain(&["PLAIN", "ANONYMOUS"], true, true), Ok("PLAIN"));
        assert!(plain(&["PLAIN"], true, false).is_err());
        assert!(plain(&["PLAIN"], false, true).is_err());
        assert_eq!(
            plain(&["PLAIN", "SCRAM-SHA-1"], true, true),
            Ok("SCRAM-SHA-1")
        );
        assert!(plain(&["PLAIN", "SCRAM-SHA3-512"], true, true).is_err());
        assert!(plain(&["PLAIN", "SCRAM-SHA-1-PLUS"], true, true).is_err());
    }

    #[test]
    fn a01_odd_offers_are_survived() {
        for mechanisms in [
            &[][..],
            &[""],
            &["ANONYMOUS"],
            &["scram-sha-1"],
            &["SCRAM-MD5"],
        ] {
            assert!(chosen(mechanisms, None, SECURE, &binding(true, true)).is_err());
        }
        let twice = ["SCRAM-SHA-1", "SCRAM-SHA-1", "?"];
        assert_eq!(
            chosen(&twice, None, SECURE, &ChannelBinding::default()),
            Ok(("SCRAM-SHA-1", "n", false))
        );
        let many = vec!["A-NAME-LONGER-THAN-ANY-MECHANISM-MAY-EVER-HAVE"; 1000];
        let Err(AuthFailure::NoMechanism { offered }) =
            chosen(&many, None, SECURE, &binding(true, true))
        else {
            panic!("none of these can be used");
        };
        assert!(offered.len() == 32 && offered.iter().all(|name| name.len() == 32));
    }

    #[test]
    fn a15_the_table_of_channel_binding() {
        let both = binding(true, true);
        let end_point = binding(false, true);
        let only_exporter = binding(true, false);
        let none = ChannelBinding::default();
        let clear = Policy {
            secure: false,
            allow_plain: false,
        };
        // We could not.
        assert_eq!(
            chosen(ALL, None, SECURE, &none),
            Ok(("SCRAM-SHA-512", "n", false))
        );
        assert_eq!(
            chosen(UNBOUND, None, SECURE, &none),
            Ok(("SCRAM-SHA-256", "n", false))
        );
        assert_eq!(
            chosen(UNBOUND, None, clear, &both),
            Ok(("SCRAM-SHA-256", "n", false))
        );
        assert_eq!(
            chosen(ALL, Some(&[EXPORTER]), clear, &both),
            Ok(("SCRAM-SHA-512", "n", false))
        );
        // The server could not, or so it seems.
        assert_eq!(
            chosen(UNBOUND, None, SECURE, &both),
            Ok(("SCRAM-SHA-256", "y", false))
        );
        assert_eq!(
            chosen(UNBOUND, Some(&[]), SECURE, &both),
            Ok(("SCRAM-SHA-256", "y", false))
        );
        assert_eq!(
            chosen(UNBOUND, Some(&[EXPORTER]), SECURE, &both),
            Err(AuthFailure::Downgraded)
        );
        // Both could.
        let types: &[&str] = &[SERVER_END_POINT, "tls-unique", EXPORTER];
        assert_eq!(
            chosen(ALL, Some(types), SECURE, &end_point),
            Ok(("SCRAM-SHA-512-PLUS", "end-point", false))
        );
        assert_eq!(
            chosen(ALL, Some(&[SERVER_END_POINT]), SECURE, &both),
            Ok(("SCRAM-SHA-512-PLUS", "end-point", false))
        );
        assert_eq!(
            chosen(ALL, Some(types), SECURE, &both),
            Ok(("SCRAM-SHA-512-PLUS", "exporter", false))
        );
        // Both could, but not the same.
        assert_eq!(
            chosen(ALL, Some(&[SERVER_END_POINT]), SECURE, &only_exporter),
            Ok(("SCRAM-SHA-512", "n", false))
        );
        assert_eq!(
            chosen(ALL, Some(&["tls-unique"]), SECURE, &both),
            Ok(("SCRAM-SHA-512", "n", true))
        );
        // Nothing is announced.
        assert_eq!(
            chosen(ALL, None, SECURE, &both),
            Ok(("SCRAM-SHA-512", "n", false))
        );
        assert_eq!(
            chosen(&["SCRAM-SHA-1-PLUS"], None, SECURE, &both),
            Ok(("SCRAM-SHA-1-PLUS", "exporter", false))
        );
        assert_eq!(
            chosen(&["SCRAM-SHA-1-PLUS"], None, SECURE, &end_point),
            Ok(("SCRAM-SHA-1-PLUS", "end-point", false))
        );
        assert!(chosen(&["SCRAM-SHA-1-PLUS"], None, SECURE, &none).is_err());
    }

    /// Somebody who takes the variants away and adds a name in their place.
    #[test]
    fn a15_no_other_name_stands_for_a_variant_that_was_taken_away() {
        let both = binding(true, true);
        for other in [
            "X-PLUS",
            "GS2-KRB5-PLUS",
            "SCRAM-SHA3-512-PLUS",
            "SCRAM-SHA-1-PLUS ",
        ] {
            let offered = ["SCRAM-SHA-256", other];
            let unannounced = chosen(&offered, None, SECURE, &both);
            assert_eq!(unannounced, Ok(("SCRAM-SHA-256", "y", false)), "{other}");
            let announced = chosen(&offered, Some(&[EXPORTER]), SECURE, &both);
            assert_eq!(announced, Err(AuthFailure::Downgraded), "{other}");
            let foreign = chosen(&offered, Some(&["tls-unique"]), SECURE, &both);
            assert_eq!(foreign, Err(AuthFailure::Downgraded), "{other}");
            // There is nothing that could have been taken away from this.
            let alone = chosen(&[other], Some(&[EXPORTER]), SECURE, &both);
            assert!(
                matches!(alone, Err(AuthFailure::NoMechanism { .. })),
                "{other}"
            );
        }
    }

    #[test]
    fn the_text_of_the_example_of_xep_0474() {
        let offer = Offer {
            mechanisms: &["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"],
            channel_bindings: Some(&[SERVER_END_POINT, EXPORTER]),
        };
        let text = hashed_text(offer);
        assert_eq!(
            text,
            "SCRAM-SHA-1\x1eSCRAM-SHA-1-PLUS\x1ftls-exporter\x1etls-server-end-point"
        );
        assert_eq!(
            encode(&Hash::Sha1.digest(text.as_bytes())),
            "G6k/rBLDqgOhRRaCuuatSDFkJ08="
        );
    }

    proptest! {
        /// Whatever the order of the offer, the choice is the same, it was offered,
        /// and it never says `y` or `n` where both sides can do better.
        #[test]
        fn the_choice_depends_on_the_set_alone(
            mut mechanisms in
                proptest::sample::subsequence([ALL, OF_NO_USE].concat(), 0..=10).prop_shuffle(),
            types in proptest::option::of(proptest::sample::subsequence(
                vec![EXPORTER, SERVER_END_POINT, "tls-unique"], 0..=3)),
            have in any::<(bool, bool)>(),
            secure in any::<bool>(),
            allow_plain in any::<bool>(),
        ) {
            let policy = Policy { secure, allow_plain };
            let available = binding(have.0, have.1);
            let one = chosen(&mechanisms, types.as_deref(), policy, &available);
            if let Ok((name, flag, _)) = &one {
                prop_assert!(mechanisms.contains(name));
                prop_assert_eq!(name.ends_with("-PLUS"), flag.len() > 1, "{}", format!("{one:?}"));
                if *name == "PLAIN" {
                    prop_assert!(secure && allow_plain);
                    prop_assert!(!mechanisms.iter().any(|name| is_scram(name)));
                }
                let plus = mechanisms
                    .iter()
                    .any(|name| !OF_NO_USE.contains(name) && name.ends_with("-PLUS"));
                let could = secure && (have.0 || have.1);
                if *name != "PLAIN" && !plus {
                    prop_assert_eq!(*flag, if could { "y" } else { "n" });
                }
                if *flag == "y" {
                    prop_assert!(could && !plus);
                }
            }
            mechanisms.reverse();
            let two = chosen(&mechanisms, types.as_deref(), policy, &available);
            let none = |chosen: &Result<_, _>| matches!(chosen, Err(AuthFailure::NoMechanism { .. }));
            prop_assert!(one == two || none(&one) && none(&two));
        }
    }
}
