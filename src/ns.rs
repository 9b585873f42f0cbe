//! The XML namespaces that are spoken here, each with the document that defines it.

/// Client stanzas. RFC 6120, section 4.8.3.
pub(crate) const CLIENT: &str = "jabber:client";
/// Stanzas between servers. RFC 6120, section 4.8.3.
pub(crate) const SERVER: &str = "jabber:server";
/// The stream element and its features and errors. RFC 6120, section 4.8.1.
pub(crate) const STREAM: &str = "http://etherx.jabber.org/streams";
/// Stream error conditions. RFC 6120, section 4.9.2.
pub(crate) const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Stanza error conditions. RFC 6120, section 8.3.2.
pub(crate) const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// STARTTLS. RFC 6120, section 5.
pub(crate) const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL. RFC 6120, section 6.
pub(crate) const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Channel-binding capability. XEP-0440.
pub(crate) const SASL_CB: &str = "urn:xmpp:sasl-cb:0";
/// Resource binding. RFC 6120, section 7.
pub(crate) const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// Session establishment, obsolete but still required by some. RFC 3921, section 3.
pub(crate) const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// Stream management. XEP-0198.
pub(crate) const SM: &str = "urn:xmpp:sm:3";
/// Stream limits. XEP-0478.
pub(crate) const LIMITS: &str = "urn:xmpp:stream-limits:0";
/// Ping. XEP-0199.
pub(crate) const PING: &str = "urn:xmpp:ping";
/// Service discovery, information. XEP-0030.
pub(crate) const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery, items. XEP-0030.
pub(crate) const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Rooms. XEP-0045.
pub(crate) const MUC: &str = "http://jabber.org/protocol/muc";
/// What a room says about its occupants. XEP-0045.
pub(crate) const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Owner's use cases: unlocking, destroying. XEP-0045.
pub(crate) const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// A room answers self-pings itself. XEP-0410.
pub(crate) const SELF_PING: &str = "http://jabber.org/protocol/muc#self-ping-optimization";
/// Data forms. XEP-0004.
pub(crate) const DATA: &str = "jabber:x:data";
/// Message archive. XEP-0313.
pub(crate) const MAM: &str = "urn:xmpp:mam:2";
/// Result sets. XEP-0059.
pub(crate) const RSM: &str = "http://jabber.org/protocol/rsm";
/// Forwarding. XEP-0297.
pub(crate) const FORWARD: &str = "urn:xmpp:forward:0";
/// Delayed delivery. XEP-0203.
pub(crate) const DELAY: &str = "urn:xmpp:delay";
/// Stanza and origin ids. XEP-0359.
pub(crate) const SID: &str = "urn:xmpp:sid:0";
/// Occupant ids. XEP-0421.
pub(crate) const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// Replies. XEP-0461.
pub(crate) const REPLY: &str = "urn:xmpp:reply:0";
/// Texts for who does not know better. XEP-0428.
pub(crate) const FALLBACK: &str = "urn:xmpp:fallback:0";
/// Namespaces in XML 1.0, the prefix `xml`.
pub(crate) const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// Namespaces in XML 1.0, the prefix `xmlns`.
pub(crate) const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
