//! The XML namespaces that the model speaks, each with the document that defines it.

/// Client stanzas. RFC 6120, section 4.8.3.
pub(super) const CLIENT: &str = "jabber:client";
/// The stream. RFC 6120, section 4.8.1.
pub(super) const STREAM: &str = "http://etherx.jabber.org/streams";
/// Stream error conditions. RFC 6120, section 4.9.2.
pub(super) const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Stanza error conditions. RFC 6120, section 8.3.2.
pub(super) const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// STARTTLS. RFC 6120, section 5.
pub(super) const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL. RFC 6120, section 6.
pub(super) const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Channel-binding capability. XEP-0440.
pub(super) const SASL_CB: &str = "urn:xmpp:sasl-cb:0";
/// Resource binding. RFC 6120, section 7.
pub(super) const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// The legacy session. RFC 3921, section 3.
pub(super) const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// Contact lists. RFC 6121, section 2.
pub(super) const ROSTER: &str = "jabber:iq:roster";
/// Stream management. XEP-0198.
pub(super) const SM: &str = "urn:xmpp:sm:3";
/// Ping. XEP-0199.
pub(super) const PING: &str = "urn:xmpp:ping";
/// Service discovery, information. XEP-0030.
pub(super) const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery, items. XEP-0030.
pub(super) const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Capabilities. XEP-0115.
pub(super) const CAPS: &str = "http://jabber.org/protocol/caps";
/// Rooms. XEP-0045.
pub(super) const MUC: &str = "http://jabber.org/protocol/muc";
/// What a room says about its occupants. XEP-0045.
pub(super) const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Owner's use cases. XEP-0045.
pub(super) const MUC_OWNER: &str = "http://jabber.org/protocol/muc#owner";
/// Administrator's use cases. XEP-0045.
pub(super) const MUC_ADMIN: &str = "http://jabber.org/protocol/muc#admin";
/// Data forms. XEP-0004.
pub(super) const DATA: &str = "jabber:x:data";
/// Message archive. XEP-0313.
pub(super) const MAM: &str = "urn:xmpp:mam:2";
/// The archive's first namespace, which ejabberd still writes.
pub(super) const MAM_OLD: &str = "urn:xmpp:mam:tmp";
/// Result sets. XEP-0059.
pub(super) const RSM: &str = "http://jabber.org/protocol/rsm";
/// Forwarding. XEP-0297.
pub(super) const FORWARD: &str = "urn:xmpp:forward:0";
/// Delayed delivery. XEP-0203.
pub(super) const DELAY: &str = "urn:xmpp:delay";
/// Stanza and origin ids. XEP-0359.
pub(super) const SID: &str = "urn:xmpp:sid:0";
/// Occupant ids. XEP-0421.
pub(super) const OCCUPANT_ID: &str = "urn:xmpp:occupant-id:0";
/// What a stream takes. XEP-0478.
pub(super) const LIMITS: &str = "urn:xmpp:stream-limits:0";
/// Wishes about storing. XEP-0334.
pub(super) const HINTS: &str = "urn:xmpp:hints";
/// Retraction. XEP-0424.
pub(super) const RETRACT: &str = "urn:xmpp:message-retract:1";
/// The attributes `xml:*`. Namespaces in XML 1.0.
pub(super) const XML: &str = "http://www.w3.org/XML/1998/namespace";
