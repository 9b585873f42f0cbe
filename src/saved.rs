//! A session that outlives its process: what it takes to resume its stream (XEP-0198
//! v1.6.3, section 5), as it is kept until then.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use base64::{Engine as _, encoded_len};
use sha2::{Digest as _, Sha256};

use crate::jid::Jid;

const VERSION: &str = "ss1";

/// So much of the digest is the check.
const CHECK_BYTES: usize = 6;

/// A session that was [suspended](crate::Engine::suspend), for
/// [`Engine::resume`](crate::Engine::resume) in this process or another.
///
/// Opaque: its text is [`Display`](fmt::Display)ed and [`parse`](Self::parse)d, `ss1.` and
/// then URL-safe characters and dots, with a check against truncation. It holds the
/// stanzas that the server had not acknowledged, word for word, and the id of the stream,
/// which only its account can use: keep it as private as the messages themselves. It
/// holds no password. `Debug` shows neither.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedSession {
    /// The address that is bound.
    pub(crate) jid: Jid,
    /// The nick for rooms that do not care.
    pub(crate) nick: String,
    /// What names the stream to the server.
    pub(crate) id: Box<str>,
    pub(crate) max: Duration,
    /// Where the server would rather be asked.
    pub(crate) location: Option<Box<str>>,
    /// How many stanzas of the server were handled.
    pub(crate) handled: u32,
    /// How many of ours the server said it handled.
    pub(crate) acked: u32,
    /// Those of ours above that, in order.
    pub(crate) stanzas: Vec<Box<[u8]>>,
}

impl SavedSession {
    /// No text of a session is longer. One that would be is not
    /// [suspended](crate::Engine::suspend) but closed: a part of it would resume a stream that
    /// lacks what its server never had.
    pub const MAX_BYTES: usize = 16 * 1024 * 1024;

    /// The address that the session is bound to.
    #[must_use]
    pub const fn jid(&self) -> &Jid {
        &self.jid
    }

    /// How long the server keeps it, as it said, counted from the suspension.
    #[must_use]
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// Where the server would rather be asked to resume it (XEP-0198 v1.6.3, section 5), as
    /// it wrote it: a host, with a port or without. A host that follows it must verify the
    /// certificate there for the account's domain as anywhere else.
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// Reads what [`Display`](fmt::Display) wrote.
    ///
    /// # Errors
    /// [`SavedSessionError`], if that cannot have written it.
    pub fn parse(text: &str) -> Result<Self, SavedSessionError> {
        let text = text.trim_ascii();
        let (version, _) = text.split_once('.').ok_or(SavedSessionError::NoSession)?;
        if !version.starts_with("ss") {
            return Err(SavedSessionError::NoSession);
        }
        if version != VERSION {
            return Err(SavedSessionError::Version);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(SavedSessionError::Damaged);
        }
        let (content, check) = text.rsplit_once('.').ok_or(SavedSessionError::Damaged)?;
        if check != checksum(content) {
            return Err(SavedSessionError::Damaged);
        }
        Self::read(content).ok_or(SavedSessionError::Damaged)
    }

    /// Whether its text can be [`parse`](Self::parse)d again: it is not too long for that.
    pub(crate) fn fits(&self) -> bool {
        self.text_bytes() <= Self::MAX_BYTES
    }

    /// How long its text is, without writing it.
    fn text_bytes(&self) -> usize {
        let encoded = |bytes: usize| encoded_len(bytes, false).unwrap_or(usize::MAX);
        let dotted = |bytes: usize| encoded(bytes).saturating_add(1);
        let texts = self.texts();
        let texts = texts.iter().map(|text| dotted(text.len()));
        let stanzas = self.stanzas.iter().map(|stanza| dotted(stanza.len()));
        let frame = VERSION.len().saturating_add(dotted(CHECK_BYTES));
        texts.chain(stanzas).fold(frame, usize::saturating_add)
    }

    /// What it consists of in its text, but for the stanzas.
    fn texts(&self) -> [Cow<'_, str>; 7] {
        [
            self.jid.as_str().into(),
            self.nick.as_str().into(),
            (&*self.id).into(),
            self.location.as_deref().unwrap_or_default().into(),
            alloc::format!("{}", self.max.as_secs()).into(),
            alloc::format!("{}", self.handled).into(),
            alloc::format!("{}", self.acked).into(),
        ]
    }

    fn read(content: &str) -> Option<Self> {
        let mut parts = content.split('.').skip(1);
        let mut text = || String::from_utf8(URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok();
        let jid = Jid::parse(&text()?).ok()?;
        jid.resource()?;
        let nick = text()?;
        let id = text()?.into_boxed_str();
        let location = Some(text()?.into_boxed_str()).filter(|location| !location.is_empty());
        let max = Duration::from_secs(text()?.parse().ok()?);
        let handled = text()?.parse().ok()?;
        let acked = text()?.parse().ok()?;
        let mut stanzas = Vec::new();
        for part in parts {
            let stanza = String::from_utf8(URL_SAFE_NO_PAD.decode(part).ok()?).ok()?;
            // What is written as it is has to be what it was.
            let is_stanza = ["<message", "<presence", "<iq"]
                .iter()
                .any(|start| stanza.starts_with(start));
            if !is_stanza || !stanza.ends_with('>') {
                return None;
            }
            stanzas.push(stanza.into_bytes().into_boxed_slice());
        }
        (!id.is_empty()).then_some(Self {
            jid,
            nick,
            id,
            max,
            location,
            handled,
            acked,
            stanzas,
        })
    }
}

impl fmt::Display for SavedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::from(VERSION);
        let texts = self.texts();
        let stanzas = self.stanzas.iter().map(AsRef::as_ref);
        for part in texts.iter().map(|text| text.as_bytes()).chain(stanzas) {
            text.push('.');
            URL_SAFE_NO_PAD.encode_string(part, &mut text);
        }
        let check = checksum(&text);
        write!(f, "{text}.{check}")
    }
}

impl fmt::Debug for SavedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SavedSession")
            .field("jid", &self.jid)
            .field("max", &self.max)
            .field("handled", &self.handled)
            .field("acked", &self.acked)
            .field("stanzas", &self.stanzas.len())
            .finish_non_exhaustive()
    }
}

impl core::str::FromStr for SavedSession {
    type Err = SavedSessionError;

    fn from_str(text: &str) -> Result<Self, SavedSessionError> {
        Self::parse(text)
    }
}

fn checksum(content: &str) -> String {
    let digest = Sha256::digest(content);
    let check = digest.first_chunk::<CHECK_BYTES>();
    URL_SAFE_NO_PAD.encode(check.unwrap_or(&[0; CHECK_BYTES]))
}

/// A text that is no [`SavedSession`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SavedSessionError {
    /// It is something else.
    NoSession,
    /// It was written by another version of this library.
    Version,
    /// It was cut short or changed.
    Damaged,
}

impl fmt::Display for SavedSessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSession => "that is not a saved session",
            Self::Version => "the session was saved by another version of this program",
            Self::Damaged => "the saved session was cut short or changed",
        })
    }
}

impl core::error::Error for SavedSessionError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    fn saved() -> SavedSession {
        SavedSession {
            jid: Jid::parse("ana@parley.local/phone").unwrap(),
            nick: "ana-1".into(),
            id: "secret id".into(),
            max: Duration::from_secs(300),
            location: None,
            handled: u32::MAX,
            acked: 7,
            stanzas: alloc::vec![
                (*b"<message to='a'/>").into(),
                (*b"<iq>\xc3\xbc</iq>").into()
            ],
        }
    }

    #[test]
    fn it_survives_its_text_and_shows_no_secret() {
        for location in [None, Some("h.example:5222".into())] {
            let saved = SavedSession {
                location,
                ..saved()
            };
            let text = saved.to_string();
            assert!(text.bytes().all(|b| b.is_ascii_graphic()), "{text}");
            assert_eq!(SavedSession::parse(&alloc::format!(" {text}\n")), Ok(saved));
        }
        let shown = alloc::format!("{:?}", saved());
        assert!(
            !shown.contains("secret") && !shown.contains("message"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_no_session_says_why() {
        let text = saved().to_string();
        assert_eq!(SavedSession::parse("x"), Err(SavedSessionError::NoSession));
        let other = text.replace("ss1", "ss2");
        assert_eq!(SavedSession::parse(&other), Err(SavedSessionError::Version));
        for end in 4..text.len() {
            let cut = text.get(..end).unwrap();
            assert_eq!(SavedSession::parse(cut), Err(SavedSessionError::Damaged));
        }
        let mut evil = saved();
        evil.stanzas = alloc::vec![(*b"</stream:stream>").into()];
        let evil = SavedSession::parse(&evil.to_string());
        assert_eq!(evil, Err(SavedSessionError::Damaged));
    }

    /// The last that fits can be read; one byte more, and it is not to be written.
    #[test]
    fn what_fits_can_be_read_and_what_is_longer_cannot() {
        let mut saved = saved();
        let mut stanza = b"<message>".to_vec();
        // Below the limit by what the text has besides, and by what is rounded.
        let left = SavedSession::MAX_BYTES - saved.text_bytes() - 1;
        stanza.resize(left / 4 * 3 - 1, b'x');
        stanza.push(b'>');
        saved.stanzas.push(stanza.into_boxed_slice());
        while saved.fits() {
            let text = saved.to_string();
            assert!(text.len() > SavedSession::MAX_BYTES - 16);
            assert_eq!(SavedSession::parse(&text).as_ref(), Ok(&saved));
            saved.nick.push_str("longer");
        }
        let text = saved.to_string();
        assert!(text.len() > SavedSession::MAX_BYTES);
        let read = SavedSession::parse(&text);
        assert_eq!(read, Err(SavedSessionError::Damaged));
    }

    fn any_session() -> impl Strategy<Value = SavedSession> {
        let stanza = "<(message|presence|iq)( [a-z]{1,4}='\\PC{0,20}')?>\\PC{0,60}</x>";
        let stanzas = proptest::collection::vec(stanza, 0..12);
        let location = proptest::option::of("\\PC{1,20}");
        let numbers = (0..=u64::MAX, any::<u32>(), any::<u32>());
        (
            "[a-z]{1,8}",
            "\\PC{0,30}",
            "\\PC{1,30}",
            location,
            numbers,
            stanzas,
        )
            .prop_map(|(resource, nick, id, location, numbers, stanzas)| {
                let (max, handled, acked) = numbers;
                let stanzas = stanzas.into_iter().map(|s| s.into_bytes().into());
                SavedSession {
                    jid: Jid::parse(&alloc::format!("ana@parley.local/{resource}")).unwrap(),
                    nick,
                    id: id.into(),
                    max: Duration::from_secs(max),
                    location: location.map(Into::into),
                    handled,
                    acked,
                    stanzas: stanzas.collect(),
                }
            })
    }

    proptest! {
        #[test]
        fn what_is_written_can_be_read(saved in any_session()) {
            let text = saved.to_string();
            prop_assert_eq!(text.len(), saved.text_bytes());
            prop_assert!(saved.fits());
            prop_assert_eq!(SavedSession::parse(&text), Ok(saved));
        }

        #[test]
        fn no_text_makes_it_panic(text in "(ss1\\.)?[A-Za-z0-9._-]{0,120}") {
            let _ = SavedSession::parse(&text);
        }
    }
}
