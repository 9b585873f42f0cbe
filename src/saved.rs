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
use crate::limits::XmlLimits;
use crate::ns;
use crate::xml::{Frame, Framer, check_text};

const VERSION: &str = "ss1";

/// The header of a stream as the stanzas stand in it: they were written without a namespace of
/// their own (RFC 6120, section 4.8.2).
const HEADER: &[u8] = b"<stream:stream xmlns='jabber:client' \
    xmlns:stream='http://etherx.jabber.org/streams'>";

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
///
/// Nor does it hold how the session was logged in: who resumes it logs in anew, as its own
/// configuration has it. That PLAIN is not used where SCRAM was (XEP-0474 v0.5.0, Business
/// Rules) is known to one engine only; for all processes it is
/// [`Config::allow_plain`](crate::Config::allow_plain) left off, as it is by default.
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
        // These are written again, as data: what XML cannot carry was never in them.
        for text in [&*nick, &*id] {
            check_text(text).ok()?;
        }
        let mut reader = StanzaReader::new()?;
        let mut stanzas = Vec::new();
        for part in parts {
            let stanza = URL_SAFE_NO_PAD.decode(part).ok()?.into_boxed_slice();
            // It is written to the stream as it is: a check that is no secret does not vouch
            // for that, so it has to be what a stream can bear.
            if !reader.is_stanza(&stanza) {
                return None;
            }
            stanzas.push(stanza);
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

/// Reads stanzas as who is sent them on a stream does.
struct StanzaReader(Framer);

impl StanzaReader {
    /// What was saved was within the limits of a post, which the text does not have: so each
    /// stanza may be as long as the text. What is in one is bounded as in a peer's.
    fn new() -> Option<Self> {
        let mut framer = Framer::new(XmlLimits {
            stanza_bytes: SavedSession::MAX_BYTES,
            value_bytes: SavedSession::MAX_BYTES,
            ..XmlLimits::default()
        });
        let (read, open) = framer.push(HEADER);
        (read == HEADER.len() && matches!(open, Some(Ok(Frame::Open(_))))).then_some(Self(framer))
    }

    /// Whether that is one stanza (RFC 6120, section 8) and nothing else, before it or behind.
    /// After one that is not, no other is.
    fn is_stanza(&mut self, bytes: &[u8]) -> bool {
        let (read, found) = self.0.push(bytes);
        read == bytes.len()
            && bytes.first() == Some(&b'<')
            && matches!(found, Some(Ok(Frame::Stanza(stanza)))
                if ["message", "presence", "iq"].iter().any(|name| stanza.is(name, ns::CLIENT)))
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
    use crate::xml::Writer;
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
    }

    /// It began and ended like one, and went out as it was: text of a session that another
    /// program had its hands on ended the stream, and wrote what XMPP forbids.
    #[test]
    fn what_is_not_one_whole_stanza_is_not_resumed() {
        let stanza = "<message to='a'><body>b</body></message>";
        for evil in [
            "",
            " ",
            "text",
            "</stream:stream>",
            "<messages/></stream:stream>\u{1}<!-- x --><a>",
            "<messages/>",
            "<message/><message/>",
            "<message/>\n",
            "\n<message/>",
            "<message/></stream:stream>",
            "<message/>text>",
            "<message",
            "<message>",
            "<message></presence>",
            "<message a='1' a='2'/>",
            "<message>\u{1}</message>",
            "<message>&nbsp;</message>",
            "<message><!-- x --></message>",
            "<message><p:a/></message>",
            "<message xmlns='jabber:server'/>",
            "<iq xmlns='urn:example'/>",
            "<stream:message/>",
            "<?xml version='1.0'?><message/>",
            "\u{feff}<message/>",
        ] {
            for stanzas in [&[evil][..], &[stanza, evil], &[evil, stanza]] {
                let stanzas = stanzas.iter().map(|s| s.as_bytes().into()).collect();
                let text = SavedSession { stanzas, ..saved() }.to_string();
                let read = SavedSession::parse(&text);
                assert_eq!(read, Err(SavedSessionError::Damaged), "{evil:?}");
            }
        }
        let mut torn = saved();
        torn.stanzas.push((*b"<message>\xc3</message>").into());
        let torn = SavedSession::parse(&torn.to_string());
        assert_eq!(torn, Err(SavedSessionError::Damaged));
        for (nick, id) in [("a\u{1}", "i"), ("a", "i\u{fffe}")] {
            let (nick, id) = (nick.into(), id.into());
            let text = SavedSession {
                nick,
                id,
                ..saved()
            }
            .to_string();
            let read = SavedSession::parse(&text);
            assert_eq!(read, Err(SavedSessionError::Damaged));
        }
    }

    /// The last that fits can be read; one byte more, and it is not to be written.
    #[test]
    fn what_fits_can_be_read_and_what_is_longer_cannot() {
        let mut saved = saved();
        let (mut stanza, end) = (b"<message>".to_vec(), b"</message>");
        // Below the limit by what the text has besides, and by what is rounded.
        let left = SavedSession::MAX_BYTES - saved.text_bytes() - 1;
        stanza.resize(left / 4 * 3 - end.len(), b'x');
        stanza.extend_from_slice(end);
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

    fn any_stanza() -> impl Strategy<Value = Vec<u8>> {
        let name = proptest::sample::select(&["message", "presence", "iq"][..]);
        let parts = proptest::option::of("\\PC{0,20}");
        (name, parts.clone(), "\\PC{0,60}", parts).prop_map(|(name, to, text, child)| {
            let mut stanza = Vec::new();
            let mut writer = Writer::new(&mut stanza);
            writer.start(name);
            if let Some(to) = to {
                writer.attr("to", &to);
            }
            writer.text(&text);
            if let Some(child) = child {
                writer.start("body").text(&child).end();
            }
            writer.end();
            writer.finish().unwrap();
            stanza
        })
    }

    /// How many children a stream has that is this after its header, and that ends here, to
    /// another parser; `None` where it is none.
    fn children(of: &[u8]) -> Option<usize> {
        use rxml::Parse as _;
        let document = [HEADER, of, b"</stream:stream>"].concat();
        let mut parser = rxml::Parser::new();
        let (mut rest, mut depth, mut children) = (&document[..], 0, 0);
        while let Some(event) = parser.parse(&mut rest, true).ok()? {
            match event {
                rxml::Event::StartElement(..) => {
                    children += usize::from(depth == 1);
                    depth += 1;
                }
                rxml::Event::EndElement(_) => depth -= 1,
                rxml::Event::Text(_, text) if depth == 1 && !text.trim().is_empty() => {
                    return None;
                }
                _ => {}
            }
        }
        Some(children)
    }

    fn any_session() -> impl Strategy<Value = SavedSession> {
        let stanza = any_stanza();
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
                let stanzas = stanzas.into_iter().map(|s| s.into());
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
        fn a_byte_that_was_changed_is_noticed(
            saved in any_session(),
            at in any::<proptest::sample::Index>(),
            byte in 0x20_u8..0x7f,
        ) {
            let mut text = saved.to_string().into_bytes();
            let at = at.index(text.len());
            let was = core::mem::replace(&mut text[at], byte);
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(SavedSession::parse(&text).is_ok(), was == byte, "{}", text);
        }

        /// Also where whoever changed it wrote the check anew.
        #[test]
        fn whatever_was_changed_what_is_read_is_one_stanza_each(
            mut saved in any_session(),
            stanza in any_stanza(),
            at in any::<proptest::sample::Index>(),
            byte in prop_oneof![
                any::<u8>(),
                proptest::sample::select(&b"<>/&;'=: \n]!?\x01a"[..]),
            ],
        ) {
            let mut stanza = stanza;
            let at = at.index(stanza.len());
            stanza[at] = byte;
            let is_one = children(&stanza) == Some(1);
            saved.stanzas.push(stanza.clone().into());
            match SavedSession::parse(&saved.to_string()) {
                Ok(read) => {
                    prop_assert!(is_one, "{:?}", String::from_utf8_lossy(&stanza));
                    let all = read.stanzas.concat();
                    prop_assert_eq!(children(&all), Some(read.stanzas.len()));
                }
                Err(error) => prop_assert_eq!(error, SavedSessionError::Damaged),
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "(ss1\\.)?[A-Za-z0-9._-]{0,120}") {
            let _ = SavedSession::parse(&text);
        }
    }
}
