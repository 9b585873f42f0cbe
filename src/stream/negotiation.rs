//! The states of a negotiation and the transitions between them.

use alloc::boxed::Box;
use alloc::string::String;

use super::entry::{AwaitBind, AwaitResume, AwaitSession, Unbound, enter};
use super::features::Features;
use crate::config::{ChannelBinding, Config, Plaintext};
use crate::cx::Cx;
use crate::error::StreamCondition;
use crate::event::{Login, OfflineCause, PeerIncompatible, PeerMisbehaved};
use crate::ids::Label;
use crate::jid::{Jid, same_address};
use crate::ns;
use crate::sasl::{self, Authenticated, Exchange, ScramKeys};
use crate::sm;
use crate::xml::{Element, Frame};

/// How the transport under a negotiation is protected.
#[derive(Debug)]
pub(crate) enum Channel {
    Clear { loopback: bool },
    Tls(ChannelBinding),
}

/// What a negotiation needs to know and never changes.
#[derive(Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) config: &'a Config,
    /// The resource to ask for.
    pub(crate) resource: &'a str,
    /// Keys derived at an earlier login.
    pub(crate) keys: Option<&'a ScramKeys>,
    /// The broken stream to resume, if there is one.
    pub(crate) resume: Option<sm::Resume<'a>>,
}

/// A negotiation under way.
#[derive(Debug)]
pub(crate) struct Negotiation {
    state: State,
    login: Login,
}

#[derive(Debug)]
pub(super) enum State {
    Header(AwaitHeader),
    Features(AwaitFeatures),
    Proceed(AwaitProceed),
    Tls(AwaitTls),
    Authenticating(Authenticating),
    Resume(AwaitResume),
    Unbound(Unbound),
    Bind(AwaitBind),
    Session(AwaitSession),
}

/// The stream was opened by us and not yet by the server.
#[derive(Debug)]
pub(super) struct AwaitHeader {
    stage: Stage,
}

/// The server opened its side; its features come next.
#[derive(Debug)]
pub(super) struct AwaitFeatures {
    stage: Stage,
    /// It did so for a domain that is not ours.
    foreign: bool,
}

/// `<starttls/>` was sent.
#[derive(Debug)]
pub(super) struct AwaitProceed;

/// The host is setting up TLS.
#[derive(Debug)]
pub(super) struct AwaitTls;

/// A SASL exchange is under way.
#[derive(Debug)]
pub(super) struct Authenticating {
    exchange: Exchange,
}

/// How far a stream has come when it is (re)started.
#[derive(Debug)]
enum Stage {
    /// Nobody is logged in.
    Open(Channel),
    /// Logged in, the server having proved itself.
    LoggedIn(Authenticated),
}

/// What follows from an input.
#[derive(Debug)]
pub(crate) enum Step {
    Continue,
    /// The input was of no use: what is waited for is the same, until the same time.
    Wait,
    /// The host is to set up TLS; no byte may come before that.
    StartTls,
    /// Key derivation is to be continued by [`Negotiation::work`].
    Work,
    /// The XML stream starts anew with the next byte (RFC 6120, section 4.3.3);
    /// the keys of this login are for the next one.
    LoggedIn(Option<Box<ScramKeys>>),
    /// The stream before this one goes on; so many of our stanzas were handled.
    Resumed(u32, Box<Login>),
    /// It does not, with the number of stanzas that were handled where the server
    /// still knows: [`Negotiation::bind`] is next.
    NotResumed(Option<u32>),
    /// Ready.
    Online(Jid, Box<Login>),
}

pub(super) type Next = Result<(State, Step), OfflineCause>;

/// The right to log in over this channel: made only where the configuration
/// allows it.
struct LoginPermit {
    binding: ChannelBinding,
    secure: bool,
}

impl Negotiation {
    /// Opens the stream over a fresh transport.
    pub(crate) fn start(cx: &mut Cx<'_>, setting: &Setting<'_>, channel: Channel) -> Self {
        let login = Login {
            tls: matches!(channel, Channel::Tls(_)),
            ..Login::default()
        };
        Self {
            state: header(cx, setting, Stage::Open(channel)),
            login,
        }
    }

    /// TLS stands: everything learned before it is forgotten (RFC 6120, section 5.4.3.3).
    pub(crate) fn tls_established(
        &mut self,
        cx: &mut Cx<'_>,
        setting: &Setting<'_>,
        binding: ChannelBinding,
    ) -> bool {
        if !matches!(self.state, State::Tls(AwaitTls)) {
            return false;
        }
        self.login = Login {
            tls: true,
            ..Login::default()
        };
        self.state = header(cx, setting, Stage::Open(Channel::Tls(binding)));
        true
    }

    /// Whether the host is setting up TLS, so that no byte may reach us.
    pub(crate) const fn awaits_tls(&self) -> bool {
        matches!(self.state, State::Tls(AwaitTls))
    }

    /// Takes what the server sent.
    pub(crate) fn on_frame(
        self,
        cx: &mut Cx<'_>,
        setting: &Setting<'_>,
        frame: Frame<'_>,
    ) -> Result<(Self, Step), OfflineCause> {
        let mut login = self.login;
        let (state, step) = match frame {
            Frame::Close => return Err(OfflineCause::PeerClosed),
            Frame::Open(open) => match self.state {
                State::Header(state) => state.on_open(setting, open),
                _ => Err(OfflineCause::PeerMisbehaved(
                    PeerMisbehaved::WrongStreamHeader,
                )),
            },
            Frame::Stanza(element) if element.is("error", ns::STREAM) => {
                return Err(stream_error(element));
            }
            Frame::Stanza(element) => match self.state {
                State::Features(state) => state.on_features(cx, setting, element, &mut login),
                State::Proceed(state) => state.on_answer(element),
                State::Authenticating(state) => state.on_answer(cx, setting, element),
                // Features, TLS and SASL have had their time on this stream.
                State::Resume(_) | State::Bind(_) | State::Session(_)
                    if matches!(element.ns(), ns::STREAM | ns::TLS | ns::SASL) =>
                {
                    unexpected(element)
                }
                State::Resume(state) => state.on_answer(setting, element, &mut login),
                State::Bind(state) => state.on_stanza(cx, setting, element, &mut login),
                State::Session(state) => state.on_stanza(cx, element, &mut login),
                State::Header(_) | State::Tls(_) | State::Unbound(_) => Err(
                    OfflineCause::PeerMisbehaved(PeerMisbehaved::UnexpectedElement),
                ),
            },
        }?;
        Ok((Self { state, login }, step))
    }

    /// Whether the server has been asked to resume a stream and has not answered.
    pub(crate) const fn awaits_resumption(&self) -> bool {
        matches!(self.state, State::Resume(_))
    }

    /// Binds a resource, all that was before being settled.
    pub(crate) fn bind(
        self,
        cx: &mut Cx<'_>,
        setting: &Setting<'_>,
    ) -> Result<(Self, Step), OfflineCause> {
        let login = self.login;
        let (state, step) = match self.state {
            State::Unbound(unbound) => unbound.bind(cx, setting)?,
            state => (state, Step::Wait),
        };
        Ok((Self { state, login }, step))
    }

    /// Goes on with the key derivation, at most `rounds` of it.
    pub(crate) fn work(&mut self, cx: &mut Cx<'_>, rounds: u32) -> Step {
        let State::Authenticating(state) = &mut self.state else {
            return Step::Continue;
        };
        match state.exchange.work(rounds) {
            Some(response) => {
                respond(cx, &response);
                Step::Continue
            }
            None => Step::Work,
        }
    }
}

/// Opens the stream and waits for the server to open its side.
fn header(cx: &mut Cx<'_>, setting: &Setting<'_>, stage: Stage) -> State {
    let domain = setting.config.account.domain();
    cx.out.write(|w| {
        w.declaration();
        w.start("stream:stream")
            .attr("to", domain)
            .attr("version", "1.0");
        w.attr("xmlns", ns::CLIENT).attr("xmlns:stream", ns::STREAM);
    });
    State::Header(AwaitHeader { stage })
}

impl AwaitHeader {
    fn on_open(self, setting: &Setting<'_>, open: Element<'_>) -> Next {
        // RFC 6120 section 4.7.1: the server's `from` is the domain we asked for. It is another
        // where the server has none of that name, and is about to say so: section 4.9.1.3 has
        // the `from` before such an error be "either an authoritative FQDN for the receiving
        // entity or the empty string".
        let domain = setting.config.account.domain();
        let foreign = open
            .attr("from")
            .is_some_and(|from| !same_address(domain, from));
        if open.attr("version").and_then(major).unwrap_or(0) == 0 {
            return Err(OfflineCause::PeerIncompatible(
                PeerIncompatible::LegacyStream,
            ));
        }
        let stage = self.stage;
        Ok((
            State::Features(AwaitFeatures { stage, foreign }),
            Step::Continue,
        ))
    }
}

/// RFC 6120 section 4.7.5: the numbers of a version are numbers, not decimals. Nothing if they
/// are none; the second may be missing.
fn major(version: &str) -> Option<u32> {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let number = |digits: &str| {
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| digits.parse().ok()).flatten()
    };
    number(minor).and_then(|_| number(major))
}

impl AwaitFeatures {
    fn on_features(
        self,
        cx: &mut Cx<'_>,
        setting: &Setting<'_>,
        element: Element<'_>,
        login: &mut Login,
    ) -> Next {
        if self.foreign {
            return Err(OfflineCause::PeerMisbehaved(
                PeerMisbehaved::WrongStreamHeader,
            ));
        }
        if !element.is("features", ns::STREAM) {
            return unexpected(element);
        }
        let features = Features::read(element);
        match self.stage {
            Stage::Open(channel) => match permit(channel, setting.config, &features)? {
                Some(permit) => authenticate(cx, setting, &permit, &features, login),
                None => {
                    cx.out.write(|w| {
                        w.start("starttls").attr("xmlns", ns::TLS).end();
                    });
                    Ok((State::Proceed(AwaitProceed), Step::Continue))
                }
            },
            Stage::LoggedIn(authenticated) => enter(cx, setting, authenticated, &features, login),
        }
    }
}

/// Decides whether to log in over this channel or to ask for TLS first (`None`).
fn permit(
    channel: Channel,
    config: &Config,
    features: &Features<'_>,
) -> Result<Option<LoginPermit>, OfflineCause> {
    let loopback = match channel {
        Channel::Tls(binding) => {
            return Ok(Some(LoginPermit {
                binding,
                secure: true,
            }));
        }
        Channel::Clear { loopback } => loopback,
    };
    let may_stay_clear = loopback && config.plaintext == Plaintext::OnLoopback;
    match features.starttls {
        // RFC 7590 section 3.1: without TLS there is no login, whoever took the
        // offer out of the features.
        None if !may_stay_clear => Err(OfflineCause::PeerIncompatible(PeerIncompatible::NoTls)),
        Some(required) if !may_stay_clear || required => Ok(None),
        // Servers that keep logins for TLS offer no mechanism before it.
        Some(_) if features.mechanisms.iter().all(|m| *m == "PLAIN") => Ok(None),
        _ => Ok(Some(LoginPermit {
            binding: ChannelBinding::default(),
            secure: false,
        })),
    }
}

/// So many mechanisms that were offered are told, and so many types of channel binding.
const OFFERED: usize = 32;
const ANNOUNCED: usize = 8;

fn authenticate(
    cx: &mut Cx<'_>,
    setting: &Setting<'_>,
    permit: &LoginPermit,
    features: &Features<'_>,
    login: &mut Login,
) -> Next {
    let offer = sasl::Offer {
        mechanisms: &features.mechanisms,
        channel_bindings: features.bindings.as_deref(),
    };
    let policy = sasl::Policy {
        secure: permit.secure,
        // XEP-0474 v0.5.0, Business Rules: "Clients MUST pin the fact that they did use some
        // sort of SCRAM mechanism [...] rather than PLAIN once and MUST NOT fall back to
        // PLAIN in future authentications". Keys are what SCRAM leaves behind.
        allow_plain: setting.config.allow_plain && setting.keys.is_none(),
    };
    let choice = sasl::choose(offer, policy, &permit.binding).map_err(OfflineCause::Auth)?;
    login.mechanism = choice.mechanism();
    login.channel_binding = choice.channel_binding();
    login.offered = sasl::named(&features.mechanisms, OFFERED);
    let announced = features.bindings.as_deref().unwrap_or_default();
    login.announced_bindings = sasl::named(announced, ANNOUNCED);
    let (exchange, first) = Exchange::start(
        choice,
        &setting.config.credentials,
        cx.ids.token(Label::ScramNonce),
        setting.config.limits.scram_iterations,
        setting.keys,
    );
    let first = sasl::encode(&first);
    let mechanism = login.mechanism;
    cx.out.write(|w| {
        w.start("auth")
            .attr("xmlns", ns::SASL)
            .attr("mechanism", mechanism)
            .text(&first)
            .end();
    });
    Ok((
        State::Authenticating(Authenticating { exchange }),
        Step::Continue,
    ))
}

fn respond(cx: &mut Cx<'_>, response: &[u8]) {
    cx.out.write(|w| {
        w.start("response").attr("xmlns", ns::SASL);
        // Nothing at all is an element without content here (RFC 6120, section 6.4.3).
        if !response.is_empty() {
            w.text(&sasl::encode(response));
        }
        w.end();
    });
}

impl AwaitProceed {
    fn on_answer(self, element: Element<'_>) -> Next {
        if element.is("proceed", ns::TLS) {
            Ok((State::Tls(AwaitTls), Step::StartTls))
        } else if element.is("failure", ns::TLS) {
            Err(OfflineCause::PeerIncompatible(PeerIncompatible::TlsRefused))
        } else {
            unexpected(element)
        }
    }
}

impl Authenticating {
    fn on_answer(mut self, cx: &mut Cx<'_>, setting: &Setting<'_>, element: Element<'_>) -> Next {
        if element.ns() != ns::SASL {
            return unexpected(element);
        }
        match element.name() {
            "challenge" => {
                match self
                    .exchange
                    .challenge(element.text())
                    .map_err(OfflineCause::Auth)?
                {
                    sasl::Step::Respond(response) => {
                        respond(cx, &response);
                        Ok((State::Authenticating(self), Step::Continue))
                    }
                    sasl::Step::Work => Ok((State::Authenticating(self), Step::Work)),
                }
            }
            "success" => {
                let text = Some(element.text()).filter(|text| !text.is_empty());
                let mut authenticated = self.exchange.success(text).map_err(OfflineCause::Auth)?;
                let keys = authenticated.take_keys().map(Box::new);
                let state = header(cx, setting, Stage::LoggedIn(authenticated));
                Ok((state, Step::LoggedIn(keys)))
            }
            "failure" => {
                // RFC 6120 section 6.4.5: the cause "MUST be communicated in an appropriate child
                // element"; one of another namespace is an application's.
                let condition = element
                    .children()
                    .find(|child| child.ns() == ns::SASL && child.name() != "text");
                let text = element.child("text", ns::SASL).map(|text| text.text());
                Err(OfflineCause::Auth(sasl::failure(
                    condition.map_or("", |condition| condition.name()),
                    text,
                )))
            }
            _ => unexpected(element),
        }
    }
}

fn unexpected(_element: Element<'_>) -> Next {
    Err(OfflineCause::PeerMisbehaved(
        PeerMisbehaved::UnexpectedElement,
    ))
}

/// Reads a `<stream:error/>` (RFC 6120, section 4.9.2).
pub(crate) fn stream_error(error: Element<'_>) -> OfflineCause {
    let mut condition = StreamCondition::UndefinedCondition;
    let mut text: Option<String> = None;
    for child in error
        .children()
        .filter(|child| child.ns() == ns::STREAM_ERRORS)
    {
        if child.name() == "text" {
            text = crate::stanza::prose(child.text());
        } else {
            condition = StreamCondition::from_wire(child.name());
        }
    }
    OfflineCause::StreamError { condition, text }
}

/// Ends our side of a stream, saying why if it is the peer's doing, and what
/// exactly where `detail` has a word for that.
pub(crate) fn write_end(
    cx: &mut Cx<'_>,
    condition: Option<StreamCondition>,
    detail: Option<PeerMisbehaved>,
) {
    if let Some(condition) = condition {
        cx.out.write(|w| {
            w.start("stream:error");
            w.start(condition.as_str())
                .attr("xmlns", ns::STREAM_ERRORS)
                .end();
            if let Some(PeerMisbehaved::HandledCountTooHigh { h, sent }) = detail {
                sm::write_too_high(w, h, sent);
            }
            w.end();
        });
    }
    cx.out.write(|w| {
        w.close("stream:stream");
    });
}
