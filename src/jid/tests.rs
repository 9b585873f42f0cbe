use super::*;
use alloc::format;
use alloc::string::ToString as _;
use proptest::prelude::*;

fn parts(text: &str) -> (Option<String>, String, Option<String>) {
    let jid = Jid::parse(text).unwrap();
    (
        jid.local().map(Into::into),
        jid.domain().into(),
        jid.resource().map(Into::into),
    )
}

/// What is made of a text, with the feature `precis` or without.
#[track_caller]
fn becomes(text: &str, prepared: Result<&str, JidError>) {
    let jid = Jid::parse(text);
    assert_eq!(
        jid.as_ref().map(Jid::as_str),
        prepared.as_ref().copied(),
        "{text:?}"
    );
}

const PRECIS: bool = cfg!(feature = "precis");

#[test]
fn the_legal_examples_of_rfc_7622() {
    // Table 1, by its numbers; all but the ninth are prepared already.
    for (number, text) in [
        (1, "juliet@example.com"),
        (2, "juliet@example.com/foo"),
        (3, "juliet@example.com/foo bar"),
        (4, "juliet@example.com/foo@bar"),
        (5, "foo\\20bar@example.com"),
        (6, "fussball@example.com"),
        (7, "fu\u{df}ball@example.com"),
        (8, "\u{3c0}@example.com"),
        (10, "\u{3c3}@example.com/foo"),
        (11, "\u{3c2}@example.com/foo"),
        (12, "king@example.com/\u{265a}"),
        (13, "example.com"),
        (14, "example.com/foobar"),
        (15, "a.example.com/b@example.net"),
    ] {
        let jid = Jid::parse(text);
        assert_eq!(jid.unwrap().as_str(), text, "example {number}");
    }
    // 9: its first letter is a capital sigma, which matches 10 and not 11.
    becomes("\u{3a3}@example.com/foo", Ok("\u{3c3}@example.com/foo"));
    assert_eq!(
        parts("a.example.com/b@example.net"),
        (None, "a.example.com".into(), Some("b@example.net".into()))
    );
}

#[test]
fn the_illegal_examples_of_rfc_7622() {
    use JidPart::{Domain, Local, Resource};
    // Table 2, but for 18, of which the module speaks.
    for (text, why) in [
        ("\"juliet\"@example.com", JidError::Forbidden(Local, '"')),
        ("foo bar@example.com", JidError::Forbidden(Local, ' ')),
        ("@example.com/", JidError::Empty(Local)),
        ("juliet@", JidError::Empty(Domain)),
        ("/foobar", JidError::Empty(Domain)),
        // Besides.
        ("example.com/", JidError::Empty(Resource)),
        ("", JidError::Empty(Domain)),
    ] {
        becomes(text, Err(why));
    }
    // 18: the one that passes.
    becomes("juliet@example.com/ foo", Ok("juliet@example.com/ foo"));
    // 20 and 21 take tables to be told from letters.
    let symbol = |c, plain| match PRECIS {
        true => Err(JidError::Forbidden(Local, c)),
        false => Ok(plain),
    };
    becomes(
        "henry\u{2163}@example.com",
        symbol('\u{2163}', "henry\u{2173}@example.com"),
    );
    becomes(
        "\u{265a}@example.com",
        symbol('\u{265a}', "\u{265a}@example.com"),
    );
}

#[test]
fn the_examples_of_rfc_8265() {
    use JidPart::{Local, Resource};
    // Section 3.6: 1 is a user name whose `@` XMPP excludes, 2 to 8 and 10 are those of
    // RFC 7622.
    let local = |text: &str| BareJid::new(Some(text), "b");
    assert_eq!(
        local("juliet@example.com"),
        Err(JidError::Forbidden(Local, '@'))
    );
    assert_eq!(local(""), Err(JidError::Empty(Local)));
    let infinity = local("\u{221e}");
    if PRECIS {
        assert_eq!(infinity, Err(JidError::Forbidden(Local, '\u{221e}')));
    } else {
        assert_eq!(infinity.unwrap().as_str(), "\u{221e}@b");
    }
    // Section 4.3, where a space that is none of ASCII becomes one.
    let bare = BareJid::parse("a@b").unwrap();
    let resource = |text: &str| {
        let jid = bare.with_resource(text)?;
        Ok(jid.resource().unwrap().to_owned())
    };
    for text in [
        "correct horse battery staple",
        "Correct Horse Battery Staple",
        "\u{3c0}\u{df}\u{e5}",
        "Jack of \u{2666}s",
    ] {
        assert_eq!(resource(text).as_deref(), Ok(text));
    }
    let spaced = if PRECIS { "foo bar" } else { "foo\u{1680}bar" };
    assert_eq!(resource("foo\u{1680}bar").as_deref(), Ok(spaced));
    assert_eq!(resource(""), Err(JidError::Empty(Resource)));
    let tab = JidError::Forbidden(Resource, '\t');
    assert_eq!(resource("my cat is a \tby"), Err(tab));
}

/// Text, what it is without the feature, what it is with it.
#[test]
fn beyond_ascii_the_feature_maps_and_refuses() {
    use JidError::{Forbidden, Unsound};
    use JidPart::{Domain, Local};
    type Made<'a> = Result<&'a str, JidError>;
    let table: &[(&str, Made<'_>, Made<'_>)] = &[
        // Form C, in each part.
        ("a\u{308}@b", Ok("a\u{308}@b"), Ok("\u{e4}@b")),
        ("a@u\u{308}.b", Ok("a@u\u{308}.b"), Ok("a@\u{fc}.b")),
        ("a@b/A\u{308}", Ok("a@b/A\u{308}"), Ok("a@b/\u{c4}")),
        // Width, in localpart and domain.
        ("\u{ff21}b@c", Err(Forbidden(Local, '\u{ff21}')), Ok("ab@c")),
        (
            "\u{ff21}b.c",
            Err(Forbidden(Domain, '\u{ff21}')),
            Ok("ab.c"),
        ),
        ("a@b/\u{ff21}", Ok("a@b/\u{ff21}"), Ok("a@b/\u{ff21}")),
        // No separator comes of it, and nothing that a part excludes.
        (
            "a\u{ff20}b@c",
            Err(Forbidden(Local, '\u{ff20}')),
            Err(Forbidden(Local, '@')),
        ),
        (
            "a\u{ff0e}b",
            Err(Forbidden(Domain, '\u{ff0e}')),
            Err(Unsound(Domain)),
        ),
        (
            "a\u{ff0f}b",
            Err(Forbidden(Domain, '\u{ff0f}')),
            Err(Forbidden(Domain, '/')),
        ),
        (
            "a\u{3002}b",
            Err(Forbidden(Domain, '\u{3002}')),
            Err(Forbidden(Domain, '\u{3002}')),
        ),
        // A-labels become U-labels, those that are none nothing.
        (
            "XN--bcher-kva.example",
            Ok("xn--bcher-kva.example"),
            Ok("b\u{fc}cher.example"),
        ),
        (
            "B\u{dc}CHER.example",
            Ok("b\u{fc}cher.example"),
            Ok("b\u{fc}cher.example"),
        ),
        (
            "a@\u{ff38}n--bcher-kva.",
            Err(Forbidden(Domain, '\u{ff38}')),
            Ok("a@b\u{fc}cher"),
        ),
        ("xn--a.b", Ok("xn--a.b"), Err(Unsound(Domain))),
        ("xn--abc-.b", Ok("xn--abc-.b"), Err(Unsound(Domain))),
        // A heart in Punycode: a symbol is no letter however it is written.
        (
            "xn--i-n3p.b",
            Ok("xn--i-n3p.b"),
            Err(Forbidden(Domain, '\u{2665}')),
        ),
        (
            "i\u{2665}.b",
            Ok("i\u{2665}.b"),
            Err(Forbidden(Domain, '\u{2665}')),
        ),
        // What is stable in IDNA2008, and was not in the one before.
        ("fa\u{df}.de", Ok("fa\u{df}.de"), Ok("fa\u{df}.de")),
        ("\u{3c2}.gr", Ok("\u{3c2}.gr"), Ok("\u{3c2}.gr")),
        // A ligature is not the letters.
        (
            "\u{fb01}@b",
            Ok("\u{fb01}@b"),
            Err(Forbidden(Local, '\u{fb01}')),
        ),
        (
            "\u{fb01}.b",
            Ok("\u{fb01}.b"),
            Err(Forbidden(Domain, '\u{fb01}')),
        ),
        // Both directions in one name.
        ("\u{5d0}a@b", Ok("\u{5d0}a@b"), Err(Unsound(Local))),
        ("\u{5d0}a.b", Ok("\u{5d0}a.b"), Err(Unsound(Domain))),
        (
            "\u{5d0}\u{5d1}@b",
            Ok("\u{5d0}\u{5d1}@b"),
            Ok("\u{5d0}\u{5d1}@b"),
        ),
        // A joiner that joins nothing, a dot between two of the right letters.
        (
            "a\u{200d}b@c",
            Ok("a\u{200d}b@c"),
            Err(Forbidden(Local, '\u{200d}')),
        ),
        ("l\u{b7}l@c", Ok("l\u{b7}l@c"), Ok("l\u{b7}l@c")),
        // Nothing to see.
        (
            "a\u{ad}b@c",
            Ok("a\u{ad}b@c"),
            Err(Forbidden(Local, '\u{ad}')),
        ),
        // A letter of Unicode 7, a symbol of Unicode 8.
        ("\u{10350}@c", Ok("\u{10350}@c"), Ok("\u{10350}@c")),
        (
            "\u{1f916}@c/\u{1f916}",
            Ok("\u{1f916}@c/\u{1f916}"),
            Err(Forbidden(Local, '\u{1f916}')),
        ),
        ("c/\u{1f916}", Ok("c/\u{1f916}"), Ok("c/\u{1f916}")),
    ];
    for &(text, without, with) in table {
        becomes(text, if PRECIS { with } else { without });
    }
}

#[test]
fn a_domain_goes_to_the_dns_in_ascii() {
    let dns = |text: &str| BareJid::parse(text).unwrap().ascii_domain().into_owned();
    assert_eq!(dns("a@Example.ORG."), "example.org");
    assert_eq!(dns("[::1]"), "[::1]");
    assert_eq!(dns("xn--bcher-kva.example"), "xn--bcher-kva.example");
    let book = if PRECIS {
        "xn--bcher-kva.example"
    } else {
        "b\u{fc}cher.example"
    };
    assert_eq!(dns("B\u{fc}cher.example"), book);
}

#[test]
fn an_address_of_a_peer_is_held_against_ours_prepared() {
    for (ours, theirs, same) in [
        ("a@b/C", "a@b/C", true),
        ("a@b/C", "A@B./C", true),
        ("a@b/C", "a@b/c", false),
        ("a@b", "a@b/C", false),
        ("a@b/C", "a@b", false),
        ("b", "@b", false),
        ("b", "a@b", false),
        ("b", "b..", false),
        ("b", "b.", true),
        ("b", "", false),
        ("[::1]", "[::1].", true),
        ("\u{e4}@b", "\u{c4}@b", true),
        ("\u{e4}@b", "a\u{308}@b", PRECIS),
        ("a@b", "\u{ff41}@b", PRECIS),
        ("\u{fc}.b", "xn--tda.b", PRECIS),
        ("xn--tda.b", "XN--tda.b", true),
        // Prepared it would be the same: 7 bytes that become 2.
        ("\u{1d6}", "\u{ff35}\u{308}\u{304}", PRECIS),
    ] {
        // What is ours is prepared: with the tables no A-label is.
        if Jid::parse(ours).is_ok_and(|jid| jid.as_str() == ours) {
            assert_eq!(same_address(ours, theirs), same, "{ours} {theirs}");
        }
    }
    let bare = |text: &'static str| prepared_bare(text);
    assert!(matches!(
        bare("room@muc.b"),
        Some(Cow::Borrowed("room@muc.b"))
    ));
    assert_eq!(bare("Room@muc.b").as_deref(), Some("room@muc.b"));
    assert_eq!(bare("room@muc.b.").as_deref(), Some("room@muc.b"));
    assert_eq!(bare("r\u{d6}om@muc.b").as_deref(), Some("r\u{f6}om@muc.b"));
    assert_eq!(bare("R@a@b"), None);
}

#[test]
fn l3_addresses_cannot_be_confused() {
    assert_eq!(
        Jid::parse("Room@MUC.Example").unwrap(),
        Jid::parse("room@muc.example").unwrap()
    );
    assert_ne!(
        Jid::parse("r@m/Nick").unwrap(),
        Jid::parse("r@m/nick").unwrap()
    );
    assert_eq!(parts("room@muc/a/b").2.unwrap(), "a/b");
    assert_eq!(
        Jid::parse("a@b@c"),
        Err(JidError::Forbidden(JidPart::Domain, '@'))
    );
    for c in [
        '\u{2044}', '\u{ff0f}', '\u{ff20}', '\u{212a}', '\u{3002}', '\u{85}', '\u{a0}',
    ] {
        for (text, part) in [
            (format!("a{c}b@c"), JidPart::Local),
            (format!("a{c}b"), JidPart::Domain),
        ] {
            // With the tables it is named as what it would have become.
            let shown = match c {
                '\u{ff0f}' if PRECIS => '/',
                '\u{ff20}' if PRECIS => '@',
                c => c,
            };
            assert_eq!(Jid::parse(&text), Err(JidError::Forbidden(part, shown)));
        }
    }
    for c in [
        '\0',
        '\u{1b}',
        '\u{7f}',
        '\u{9b}',
        '\u{fffe}',
        '\u{fdd0}',
        '\u{10ffff}',
    ] {
        assert_eq!(
            Jid::parse(&format!("a@b/{c}")),
            Err(JidError::Forbidden(JidPart::Resource, c))
        );
    }
    assert!(Jid::parse("a@b/\u{2044}\u{ff20} \u{212a}").is_ok());
    for c in "\"&':<>\u{7f}\t".chars() {
        assert!(Jid::parse(&format!("a{c}@b")).is_err());
    }
}

#[test]
fn parts_are_bounded_after_preparation() {
    let long = "x".repeat(1023);
    assert!(Jid::parse(&format!("{long}@{long}/{long}")).is_ok());
    for text in [
        format!("{long}x@b"),
        format!("{long}x"),
        format!("a@b/{long}x"),
    ] {
        assert!(matches!(Jid::parse(&text), Err(JidError::TooLong(_))));
    }
    // U+023A is two bytes, its lower case U+2C65 three.
    let grows = "\u{23a}".repeat(400);
    assert_eq!(
        Jid::parse(&format!("{grows}@b")),
        Err(JidError::TooLong(JidPart::Local))
    );
    assert_eq!(
        Jid::parse(&"\u{fc}.".repeat(342)),
        Err(JidError::TooLong(JidPart::Domain))
    );
}

#[test]
fn a_label_beyond_ascii_is_no_longer_than_the_dns_has_them() {
    let long = "\u{fc}".repeat(100);
    let with = Err(JidError::LongLabel);
    becomes(&long, if PRECIS { with } else { Ok(&long) });
    // What is ASCII either way is only bounded as a part.
    becomes(&"x".repeat(100), Ok(&"x".repeat(100)));
}

#[test]
fn a_domain_may_be_an_address_of_the_internet() {
    assert_eq!(parts("a@127.0.0.1").1, "127.0.0.1");
    assert_eq!(parts("a@[2001:DB8::1]/x").1, "[2001:db8::1]");
    for bad in [
        "[::1",
        "[::1]x",
        "[1.2.3.4]",
        "[]",
        "[fe80::1%25eth0]",
        "::1",
    ] {
        assert!(Jid::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_final_dot_is_dropped_and_only_one() {
    assert_eq!(parts("a@example.org.").1, "example.org");
    assert_eq!(Jid::parse("a@example.org.."), Err(JidError::EmptyLabel));
    assert_eq!(Jid::parse(".example.org"), Err(JidError::EmptyLabel));
    assert_eq!(Jid::parse("a@."), Err(JidError::Empty(JidPart::Domain)));
}

#[test]
fn parts_put_together_are_not_cut_again() {
    let user = "me@example.org";
    assert_eq!(
        BareJid::new(Some(user), "example.org"),
        Err(JidError::Forbidden(JidPart::Local, '@'))
    );
    assert!(BareJid::new(Some("a/b"), "c").is_err());
    assert!(BareJid::new(Some("a"), "c/d").is_err());
    assert_eq!(BareJid::parse("a@b/c"), Err(JidError::UnexpectedResource));
}

#[test]
fn conversions_lose_nothing_but_the_resource() {
    let jid: Jid = "a@b/c".parse().unwrap();
    let bare = BareJid::from(&jid);
    assert!(!jid.is_bare() && Jid::from(&bare).is_bare());
    assert_eq!(
        (bare.as_str(), bare.local(), bare.domain()),
        ("a@b", Some("a"), "b")
    );
    assert_eq!(bare.with_resource("c").unwrap(), jid);
    assert_eq!(
        format!("{jid} {jid:?} {:6}|", Jid::from(bare)),
        "a@b/c \"a@b/c\" a@b   |"
    );
    assert_eq!(
        JidError::Forbidden(JidPart::Local, '\u{1b}').to_string(),
        "the localpart must not contain '\\u{1b}'"
    );
}

/// Text of every kind that the rules speak of.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9._@/-]{1,3}",
        2 => "\\PC",
        1 => any::<char>().prop_map(String::from),
        2 => prop::sample::select(alloc::vec![
            "xn--", "XN--nxa", "\u{ff21}", "\u{ff0e}", "\u{ff20}", "\u{308}", "\u{200d}",
            "\u{200c}", "\u{94d}", "\u{b7}", "\u{30fb}", "\u{660}", "\u{6f0}", "\u{5d0}",
            "\u{3a3}", "\u{130}", "\u{1e9e}", "\u{212a}", "\u{13a0}", "\u{1100}\u{1161}",
            "\u{345}", "\u{2126}", "\u{1f916}", "\u{a0}", "\u{3000}", "[::1]",
        ])
        .prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// What a text is by the rules that take no tables.
fn plain(text: &str) -> Option<String> {
    let (local, domain, resource) = split(text);
    let mut out = String::new();
    if let Some(local) = local {
        push_lower(&mut out, local, JidPart::Local, |_| true).ok()?;
        out.push('@');
    }
    push_lower(&mut out, without_final_dot(domain), JidPart::Domain, |_| {
        true
    })
    .ok()?;
    if let Some(resource) = resource {
        out.push('/');
        out.push_str(resource);
    }
    Some(out)
}

proptest! {
    #[test]
    fn preparing_twice_is_preparing_once(text in text()) {
        if let Ok(jid) = Jid::parse(&text) {
            let again = Jid::parse(jid.as_str()).unwrap();
            prop_assert_eq!(&again, &jid);
            prop_assert_eq!(jid.to_string(), jid.as_str());
            let bare = again.bare();
            prop_assert_eq!(bare.as_str(), jid.bare_str());
            prop_assert_eq!(bare.local(), jid.local());
            let dns = BareJid::new(bare.local(), &bare.ascii_domain());
            prop_assert_eq!(dns.as_ref(), Ok(&bare));
            let whole = BareJid::new(jid.local(), jid.domain()).unwrap();
            let whole = match jid.resource() {
                Some(resource) => whole.with_resource(resource).unwrap(),
                None => whole.into(),
            };
            prop_assert_eq!(whole, jid);
        }
    }

    #[test]
    fn parts_are_bounded_whatever_was_written(text in text(), times in 1_usize..400) {
        let texts = [text.repeat(times), format!("{}@b/{}", text.repeat(times), text)];
        for jid in texts.iter().filter_map(|text| Jid::parse(text).ok()) {
            for part in [jid.local(), Some(jid.domain()), jid.resource()].into_iter().flatten() {
                prop_assert!((1..=1023).contains(&part.len()));
            }
        }
    }

    /// Two are equal if their texts are, in order and in hash as well.
    #[test]
    fn equal_is_what_prepares_alike(one in text(), two in text(), cases in any::<u64>()) {
        // The same, in other letters here and there.
        let other: String = one
            .chars()
            .enumerate()
            .map(|(at, c)| match cases >> (at % 64) & 1 {
                1 => c.to_ascii_uppercase(),
                _ => c,
            })
            .collect();
        for theirs in [&one, &two, &other] {
            let (Ok(ours), Ok(jid)) = (Jid::parse(&one), Jid::parse(theirs)) else {
                continue;
            };
            let same = ours.as_str() == jid.as_str();
            prop_assert_eq!(ours == jid, same);
            prop_assert_eq!(ours.cmp(&jid).is_eq(), same);
            prop_assert_eq!(same_address(ours.as_str(), theirs), same, "{} {}", ours, theirs);
            prop_assert_eq!(same_address(jid.as_str(), &one), same);
        }
        if let Ok(ours) = BareJid::parse(&one) {
            let prepared = prepared_bare(&one);
            prop_assert_eq!(prepared.as_deref(), Some(ours.as_str()));
            let theirs = Jid::parse(&two).is_ok_and(|theirs| theirs.as_str() == ours.as_str());
            prop_assert_eq!(same_address(ours.as_str(), &two), theirs);
        }
    }

    /// With tables and without, ASCII is the same; and what is one address without is
    /// one with them, so that what a build without them wrote down is read by the other.
    #[test]
    fn tables_tell_apart_nothing_that_was_equal(text in text()) {
        let Some(plain) = plain(&text) else { return Ok(()) };
        let Ok(jid) = Jid::parse(&text) else { return Ok(()) };
        if text.is_ascii() && !text.to_ascii_lowercase().contains("xn--") {
            prop_assert_eq!(jid.as_str(), &plain);
        }
        if let Ok(of_plain) = Jid::parse(&plain) {
            prop_assert_eq!(of_plain, jid);
        }
    }

    #[test]
    fn anything_may_be_tried(text in any::<String>()) {
        let _ = Jid::parse(&text);
        let _ = prepared_bare(&text);
        let _ = same_address("a@b", &text);
    }
}
