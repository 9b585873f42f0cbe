//! What a server offers in `<stream:features/>` (RFC 6120, section 4.3.2).

use alloc::vec::Vec;

use crate::ns;
use crate::xml::Element;

/// The features that decide something, as far as they are offered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Features<'a> {
    /// STARTTLS is offered; `true` if it is required.
    pub(crate) starttls: Option<bool>,
    /// All of them: XEP-0474 hashes each that was offered, so that who leaves one out takes
    /// the offer for one that was tampered with. The limits on a stanza bound them.
    pub(crate) mechanisms: Vec<&'a str>,
    /// Channel-binding types (XEP-0440), all likewise; `None` if none are announced.
    pub(crate) bindings: Option<Vec<&'a str>>,
    pub(crate) bind: bool,
    /// The legacy session is offered and not optional.
    pub(crate) session: bool,
    pub(crate) stream_management: bool,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) idle_seconds: Option<u64>,
}

impl<'a> Features<'a> {
    pub(crate) fn read(features: Element<'a>) -> Self {
        let mut read = Self::default();
        for feature in features.children() {
            match (feature.name(), feature.ns()) {
                ("starttls", ns::TLS) => {
                    read.starttls = Some(feature.child("required", ns::TLS).is_some());
                }
                ("mechanisms", ns::SASL) => {
                    read.mechanisms = feature
                        .children()
                        .filter(|child| child.is("mechanism", ns::SASL))
                        .map(|mechanism| mechanism.text())
                        .collect();
                }
                ("sasl-channel-binding", ns::SASL_CB) => {
                    read.bindings = Some(
                        feature
                            .children()
                            .filter(|child| child.is("channel-binding", ns::SASL_CB))
                            .filter_map(|binding| binding.attr("type"))
                            .collect(),
                    );
                }
                ("bind", ns::BIND) => read.bind = true,
                ("session", ns::SESSION) => {
                    read.session = feature.child("optional", ns::SESSION).is_none();
                }
                ("sm", ns::SM) => read.stream_management = true,
                ("limits", ns::LIMITS) => {
                    let number = |name| {
                        feature
                            .child(name, ns::LIMITS)
                            .and_then(|n| n.text().trim().parse().ok())
                    };
                    read.max_bytes = number("max-bytes");
                    read.idle_seconds = number("idle-seconds");
                }
                _ => {}
            }
        }
        read
    }
}
