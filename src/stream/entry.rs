//! After the login: the stream before this one is resumed (XEP-0198 v1.6.3,
//! section 5), or a resource bound (RFC 6120, section 7).

use alloc::boxed::Box;

use super::features::Features;
use super::negotiation::{Next, Setting, State, Step};
use crate::cx::{Cx, Purpose};
use crate::event::{Login, OfflineCause, PeerIncompatible, PeerMisbehaved};
use crate::jid::Jid;
use crate::ns;
use crate::planted::{Bug, planted};
use crate::sasl::Authenticated;
use crate::sm;
use crate::stanza::iq::{Iq, Kind};
use crate::stanza::presence;
use crate::xml::Element;

/// The stream before this one is to be resumed.
#[derive(Debug)]
pub(super) struct AwaitResume {
    otherwise: Unbound,
}

/// Logged in, and what there was before is settled: a resource may be bound.
#[derive(Debug)]
pub(super) struct Unbound {
    /// The server is authenticated.
    _proof: Authenticated,
    bind: bool,
    session: bool,
}

/// A resource was asked for.
#[derive(Debug)]
pub(super) struct AwaitBind {
    session: bool,
}

/// The legacy session was asked for.
#[derive(Debug)]
pub(super) struct AwaitSession {
    jid: Jid,
}

/// Asks for what there was before, or for a resource.
pub(super) fn enter(
    cx: &mut Cx<'_>,
    setting: &Setting<'_>,
    proof: Authenticated,
    features: &Features<'_>,
    login: &mut Login,
) -> Next {
    login.stream_management = features.stream_management;
    login.max_bytes = features.max_bytes;
    login.idle_seconds = features.idle_seconds;
    let unbound = Unbound {
        _proof: proof,
        bind: features.bind,
        session: features.session,
    };
    match setting.resume {
        None => unbound.bind(cx, setting),
        Some(resume) if features.stream_management => {
            cx.out.write(|w| sm::write_resume(w, resume));
            let state = AwaitResume { otherwise: unbound };
            Ok((State::Resume(state), Step::Continue))
        }
        Some(_) => Ok((State::Unbound(unbound), Step::NotResumed(None))),
    }
}

impl AwaitResume {
    pub(super) fn on_answer(
        self,
        setting: &Setting<'_>,
        element: Element<'_>,
        login: &mut Login,
    ) -> Next {
        if element.is("resumed", ns::SM) {
            // XEP-0198 section 5: the server MUST include "a 'previd' attribute set
            // to the SM-ID of the former stream".
            let ours = setting.resume.map(|resume| resume.id);
            if element.attr("previd") != ours {
                return Err(OfflineCause::PeerMisbehaved(PeerMisbehaved::ResumedAnother));
            }
            let h = sm::count(element).map_err(OfflineCause::PeerMisbehaved)?;
            login.resumed = true;
            let login = Box::new(core::mem::take(login));
            return Ok((State::Resume(self), Step::Resumed(h, login)));
        }
        if element.is("failed", ns::SM) {
            // "the server MAY also include a 'h' attribute".
            let h = element.attr("h").map(|_| sm::count(element)).transpose();
            let h = h.map_err(OfflineCause::PeerMisbehaved)?;
            // "the server SHOULD allow the client to bind a resource at this point".
            return Ok((State::Unbound(self.otherwise), Step::NotResumed(h)));
        }
        Ok((State::Resume(self), Step::Wait))
    }
}

impl Unbound {
    pub(super) fn bind(self, cx: &mut Cx<'_>, setting: &Setting<'_>) -> Next {
        if !self.bind {
            return Err(OfflineCause::PeerIncompatible(PeerIncompatible::NoBind));
        }
        if planted(Bug::StanzaBeforeBind) {
            cx.out.stanza(presence::write_initial);
        }
        cx.request(Kind::Set, None, Purpose::Bind, |w| {
            w.start("bind").attr("xmlns", ns::BIND);
            w.start("resource").text(setting.resource).end();
            w.end();
        });
        let session = self.session;
        Ok((State::Bind(AwaitBind { session }), Step::Continue))
    }
}

impl AwaitBind {
    pub(super) fn on_stanza(
        self,
        cx: &mut Cx<'_>,
        setting: &Setting<'_>,
        element: Element<'_>,
        login: &mut Login,
    ) -> Next {
        let account = Jid::from(setting.config.account.clone());
        let Some(answer) = answer(cx, element, &account)? else {
            return Ok((State::Bind(self), Step::Wait));
        };
        let bound = answer
            .payload()
            .filter(|bind| bind.is("bind", ns::BIND))
            .and_then(|bind| bind.child("jid", ns::BIND))
            .filter(|jid| jid.children().next().is_none())
            .and_then(|jid| Jid::parse(jid.text()).ok())
            .filter(|jid| jid.resource().is_some())
            .ok_or(OfflineCause::PeerMisbehaved(PeerMisbehaved::MalformedBind))?;
        // RFC 6120 section 7.6.1: another resource than asked for is the server's
        // right. Another account never is.
        if bound.bare_str() != setting.config.account.as_str() {
            return Err(OfflineCause::PeerMisbehaved(
                PeerMisbehaved::BoundToAnotherAccount,
            ));
        }
        if self.session {
            cx.request(Kind::Set, None, Purpose::Session, |w| {
                w.start("session").attr("xmlns", ns::SESSION).end();
            });
            return Ok((State::Session(AwaitSession { jid: bound }), Step::Continue));
        }
        let login = Box::new(core::mem::take(login));
        Ok((State::Bind(self), Step::Online(bound, login)))
    }
}

impl AwaitSession {
    pub(super) fn on_stanza(
        self,
        cx: &mut Cx<'_>,
        element: Element<'_>,
        login: &mut Login,
    ) -> Next {
        if answer(cx, element, &self.jid)?.is_none() {
            return Ok((State::Session(self), Step::Wait));
        }
        let jid = self.jid.clone();
        Ok((
            State::Session(self),
            Step::Online(jid, Box::new(core::mem::take(login))),
        ))
    }
}

/// The answer to our one request; `None` for a stanza that came too early and is
/// of no use yet.
fn answer<'a>(
    cx: &mut Cx<'_>,
    element: Element<'a>,
    us: &Jid,
) -> Result<Option<Iq<'a>>, OfflineCause> {
    if !element.is("iq", ns::CLIENT) {
        return Ok(None);
    }
    let Some(iq) = Iq::parse(element).filter(|iq| matches!(iq.kind, Kind::Result | Kind::Error))
    else {
        return Ok(None);
    };
    if cx.answered(&iq, us).is_none() {
        return Ok(None);
    }
    match iq.kind {
        Kind::Error => Err(OfflineCause::Bind(crate::stanza::error::parse(element))),
        _ => Ok(Some(iq)),
    }
}
