//! What is kept of a post whose fate is not known, so that it can be found out
//! later: in the next minute, or by another process.
//!
//! Its text is opaque, `pt1.` and then URL-safe characters and dots, so that it
//! survives files, shells and JSON. It ends with a check against truncation; it is
//! not signed, and says nothing that its holder may not know.
//!
//! It holds no time of day: the core has no clock to read one from. The place in
//! the archive that it names is the time that counts.

use alloc::string::String;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::ids::{ArchiveId, Cursor};
use crate::jid::BareJid;
use crate::limits::Limits;

const VERSION: &str = "pt1";

/// Stands behind the parts of a token whose post no archive may have kept.
const UNKEPT: &str = "unkept";

/// A post whose fate is not known. [`Engine::resolve`](crate::Engine::resolve)
/// decides later, in this process or another.
///
/// Its text is [`Display`](fmt::Display)ed and [`parse`](Self::parse)d.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PostToken {
    pub(crate) room: BareJid,
    pub(crate) origin_id: String,
    /// A place in the archive that the post can only come after; `None` if the
    /// room had not said any when the post left.
    pub(crate) anchor: Option<Cursor>,
    /// The archive may not have kept it: that it is not there proves nothing.
    pub(crate) unkept: bool,
    /// The nick that it was sent under.
    pub(crate) nick: String,
    /// The lasting id of the occupant that sent it (XEP-0421), if the room gives one.
    pub(crate) occupant_id: Option<String>,
}

impl PostToken {
    /// No text of a token is longer.
    pub const MAX_BYTES: usize = 16 * 1024;

    /// The room that it was posted to.
    #[must_use]
    pub const fn room(&self) -> &BareJid {
        &self.room
    }

    /// The id that the post carries, as its id and its origin-id (XEP-0359).
    #[must_use]
    pub fn origin_id(&self) -> &str {
        &self.origin_id
    }

    /// A place in the room's archive that it can only come after, if one is known.
    #[must_use]
    pub const fn anchor(&self) -> Option<&Cursor> {
        self.anchor.as_ref()
    }

    /// The nick that it was posted under.
    #[must_use]
    pub fn nick(&self) -> &str {
        &self.nick
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// [`TokenError`], if that cannot have written it.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim_ascii();
        if text.len() > Self::MAX_BYTES {
            return Err(TokenError::Damaged);
        }
        let (version, _) = text.split_once('.').ok_or(TokenError::NoToken)?;
        if !version.starts_with("pt") {
            return Err(TokenError::NoToken);
        }
        if version != VERSION {
            return Err(TokenError::Version);
        }
        let (content, check) = text.rsplit_once('.').ok_or(TokenError::Damaged)?;
        if check != checksum(content) {
            return Err(TokenError::Damaged);
        }
        Self::read(content).ok_or(TokenError::Damaged)
    }

    fn read(content: &str) -> Option<Self> {
        let mut parts = content.split('.').skip(1);
        let mut next = || parts.next().and_then(decode);
        let (room, origin_id, anchor, nick, occupant_id) =
            (next()?, next()?, next()?, next()?, next()?);
        let room = BareJid::parse(room.as_deref()?).ok()?;
        // What a request is made of, or compared with, has to be sound.
        let origin_id = origin_id.filter(|id| ArchiveId::new(id).is_some())?;
        // Only compared: a room gives nicks that we would not ask for.
        let nick = nick.filter(|nick| Limits::is_nick(nick))?;
        let anchor = match anchor {
            Some(anchor) => Some(Cursor::parse(&anchor)?),
            None => None,
        };
        let unkept = match parts.next() {
            None => false,
            Some(UNKEPT) => true,
            Some(_) => return None,
        };
        parts.next().is_none().then_some(Self {
            room,
            origin_id,
            anchor,
            unkept,
            nick,
            occupant_id: occupant_id.filter(|id| id.len() <= ArchiveId::MAX_BYTES),
        })
    }

    /// Whose a message of the room is, if it has the id of the post.
    pub(crate) fn whose(&self, id: &str, nick: &str, occupant_id: Option<&str>) -> Option<Whose> {
        let us = (self.nick.as_str(), self.occupant_id.as_deref());
        (self.origin_id == id).then(|| Whose::between(us, (nick, occupant_id)))
    }
}

/// Whose a message is that has the id of a post of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// It is the post.
    Ours,
    /// It is the post, said under a nick that we had only then, or a copy. Nobody else knew the
    /// id before the room said it: so the post is not absent, wherever it lies.
    Copied,
}

impl Whose {
    /// Decides by nick and occupant-id, of us and of who said it.
    ///
    /// The id alone proves nothing, for anybody can copy it. The lasting id is nobody else's
    /// (XEP-0421), under whatever nick; without one the nick was ours alone while we had it.
    pub(crate) fn between(us: (&str, Option<&str>), them: (&str, Option<&str>)) -> Self {
        let same = match (us.1, them.1) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => us.0 == them.0,
        };
        if same { Self::Ours } else { Self::Copied }
    }
}

impl fmt::Display for PostToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::from(VERSION);
        for part in [
            Some(self.room.as_str()),
            Some(self.origin_id.as_str()),
            self.anchor.as_ref().map(Cursor::as_str),
            Some(self.nick.as_str()),
            self.occupant_id.as_deref(),
        ] {
            text.push('.');
            match part {
                // Not the same as an empty one.
                None => text.push('~'),
                Some(part) => URL_SAFE_NO_PAD.encode_string(part, &mut text),
            }
        }
        if self.unkept {
            text.push('.');
            text.push_str(UNKEPT);
        }
        let check = checksum(&text);
        write!(f, "{text}.{check}")
    }
}

impl core::str::FromStr for PostToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        Self::parse(text)
    }
}

/// A part of the text: `None` where it is none, `Some(None)` where it is absent.
#[allow(
    clippy::option_option,
    reason = "a part that is damaged is not one that is absent"
)]
fn decode(part: &str) -> Option<Option<String>> {
    if part == "~" {
        return Some(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    String::from_utf8(bytes).ok().map(Some)
}

fn checksum(content: &str) -> String {
    let digest = Sha256::digest(content);
    URL_SAFE_NO_PAD.encode(digest.first_chunk::<6>().unwrap_or(&[0; 6]))
}

/// A text that is no [`PostToken`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenError {
    /// It is something else.
    NoToken,
    /// It was written by another version of this library.
    Version,
    /// It was cut short or changed.
    Damaged,
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoToken => "that is not the token of a post",
            Self::Version => "the token was written by another version of this program",
            Self::Damaged => "the token was cut short or changed",
        })
    }
}

impl core::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    fn token() -> PostToken {
        PostToken {
            room: BareJid::parse("ops@muc.parley.local").unwrap(),
            origin_id: "abc".to_string(),
            anchor: Some(Cursor::Beginning),
            unkept: false,
            nick: "ana \u{20ac}".to_string(),
            occupant_id: None,
        }
    }

    #[test]
    fn a_token_survives_its_text() {
        for anchor in [None, Some(Cursor::Beginning), Cursor::parse("a.b ~")] {
            for (occupant_id, unkept) in [(None, false), (Some("x".to_string()), true)] {
                let mut token = token();
                token.anchor.clone_from(&anchor);
                token.occupant_id = occupant_id;
                token.unkept = unkept;
                let text = token.to_string();
                assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{text}");
                assert_eq!(PostToken::parse(&text), Ok(token.clone()));
                assert_eq!(alloc::format!(" {text}\n").parse(), Ok(token));
            }
        }
    }

    #[test]
    fn the_longest_fits() {
        let long = "x".repeat(1023);
        let token = PostToken {
            room: BareJid::parse(&alloc::format!("{long}@muc.parley.local")).unwrap(),
            origin_id: "x".repeat(1024),
            anchor: Cursor::parse(&"x".repeat(1024)),
            unkept: true,
            nick: long,
            occupant_id: Some("x".repeat(1024)),
        };
        let text = token.to_string();
        assert!(text.len() < PostToken::MAX_BYTES / 2, "{}", text.len());
        assert_eq!(PostToken::parse(&text), Ok(token));
    }

    #[test]
    fn what_is_no_token_says_why() {
        let text = token().to_string();
        assert_eq!(PostToken::parse(""), Err(TokenError::NoToken));
        assert_eq!(PostToken::parse("1730.x"), Err(TokenError::NoToken));
        assert_eq!(
            PostToken::parse(&text.replace("pt1", "pt2")),
            Err(TokenError::Version)
        );
        for end in 4..text.len() {
            let cut = text.get(..end).unwrap();
            assert_eq!(PostToken::parse(cut), Err(TokenError::Damaged));
        }
        assert_eq!(
            PostToken::parse(&"pt1.".repeat(10_000)),
            Err(TokenError::Damaged)
        );
    }

    #[test]
    fn the_post_is_known_by_its_id_and_by_who_said_it() {
        let mut token = token();
        let (ours, copied) = (Some(Whose::Ours), Some(Whose::Copied));
        let nick = "ana \u{20ac}";
        assert_eq!(token.whose("abc", nick, Some("x")), ours);
        assert_eq!(token.whose("abc", "bob", None), copied);
        assert_eq!(token.whose("abd", nick, None), None);
        token.occupant_id = Some("y".to_string());
        assert_eq!(token.whose("abc", nick, None), ours);
        assert_eq!(token.whose("abc", nick, Some("x")), copied);
        assert_eq!(token.whose("abc", "bob", Some("y")), ours);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(pt1\\.)?[A-Za-z0-9._~-]{0,80}") {
            let _ = PostToken::parse(&text);
        }
    }
}
