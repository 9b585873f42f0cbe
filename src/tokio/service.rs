//! Where a server is, as users write it.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// Where to find the server of an account. Says nothing about who it is: that is
/// always the account's domain.
///
/// ```
/// use parley_xmpp::tokio::Service;
///
/// let parse = |text: &str| text.parse::<Service>().unwrap();
/// assert_eq!(parse("xmpp://[::1]"), Service::Tcp { host: "::1".into(), port: 5222 });
/// assert_eq!(parse("xmpps://im.example.org"), Service::DirectTls { host: "im.example.org".into(), port: 5223 });
/// assert_eq!(parse("example.org"), Service::Domain("example.org".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// `xmpp://host[:5222]`, or `host:port`: TCP, then TLS by STARTTLS.
    Tcp {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// `xmpps://host[:5223]`: TLS from the first byte (XEP-0368 v1.1.0).
    DirectTls {
        /// A name or an address, an IPv6 one without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A bare name: the servers that its SRV records name (RFC 6120 section
    /// 3.2.1, XEP-0368). Without the feature `srv`, and where there are no
    /// records, the name itself on port 5222 (RFC 6120 section 3.2.2).
    Domain(String),
}

impl Service {
    /// Whether it is on this machine by its text alone: `localhost`, or a loopback address.
    ///
    /// A name that merely resolves to such an address is not: who answers for the DNS could
    /// point it at any port of this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let (Self::Tcp { host, .. } | Self::DirectTls { host, .. } | Self::Domain(host)) = self;
        is_loopback(host)
    }
}

/// The same, of a host.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.to_canonical().is_loopback())
}

impl FromStr for Service {
    type Err = ServiceError;

    fn from_str(text: &str) -> Result<Self, ServiceError> {
        let text = text.trim();
        let fail = |why| {
            Err(ServiceError {
                text: text.to_owned(),
                why,
            })
        };
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text),
        };
        let direct = match scheme.as_deref() {
            None | Some("xmpp") => false,
            Some("xmpps") => true,
            Some(_) => {
                return fail("the scheme must be xmpp:// (STARTTLS) or xmpps:// (direct TLS)");
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.is_empty() {
            return fail("there is no host in it");
        }
        if rest.contains('@') {
            return fail("it names an account, but the server's address is wanted");
        }
        if rest.contains(|c: char| {
            matches!(c, '/' | '?' | '#' | '\\') || c.is_whitespace() || c.is_control()
        }) {
            return fail("after the host and the port nothing may follow");
        }
        let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
            let Some((host, after)) = inner.split_once(']') else {
                return fail("the bracket is not closed");
            };
            if host.parse::<core::net::Ipv6Addr>().is_err() {
                return fail("what stands in brackets is not an IPv6 address");
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return fail("after the bracket only a port may follow"),
            }
        } else {
            match rest.split_once(':') {
                Some((_, port)) if port.contains(':') => {
                    return fail("an IPv6 address must stand in brackets, as in xmpp://[::1]:5222");
                }
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            }
        };
        if host.is_empty() {
            return fail("there is no host in it");
        }
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(port)) if port != 0 => Some(port),
            Some(_) => return fail("the port must be a number from 1 to 65535"),
        };
        let host = host.to_owned();
        Ok(match (direct, scheme, port) {
            (true, _, port) => Self::DirectTls {
                host,
                port: port.unwrap_or(5223),
            },
            (false, None, None) if host.parse::<IpAddr>().is_err() => Self::Domain(host),
            (false, _, port) => Self::Tcp {
                host,
                port: port.unwrap_or(5222),
            },
        })
    }
}

/// Writes what [`Service::from_str`] reads back to the same.
impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Tcp { host, port } => ("xmpp", host, port),
            Self::DirectTls { host, port } => ("xmpps", host, port),
            Self::Domain(domain) => return f.write_str(domain),
        };
        write!(f, "{scheme}://{}", HostPort(host, *port))
    }
}

/// A host and a port, an IPv6 address in brackets.
pub(super) struct HostPort<'a>(pub(super) &'a str, pub(super) u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') {
            write!(f, "[{}]:{}", self.0, self.1)
        } else {
            write!(f, "{}:{}", self.0, self.1)
        }
    }
}

/// A text that is not the address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the service {:?} is not an address: {}",
            self.text, self.why
        )
    }
}

impl core::error::Error for ServiceError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;

    #[test]
    fn what_users_write_is_read() {
        let tcp = |host: &str, port| Service::Tcp {
            host: host.into(),
            port,
        };
        let tls = |host: &str, port| Service::DirectTls {
            host: host.into(),
            port,
        };
        for (text, service) in [
            ("xmpp://127.0.0.1:5222", tcp("127.0.0.1", 5222)),
            ("xmpp://localhost", tcp("localhost", 5222)),
            ("xmpp://localhost/", tcp("localhost", 5222)),
            ("XMPP://localhost:1", tcp("localhost", 1)),
            ("xmpp://[::1]:15222", tcp("::1", 15222)),
            ("[::1]", tcp("::1", 5222)),
            ("[::1]:7", tcp("::1", 7)),
            ("127.0.0.1", tcp("127.0.0.1", 5222)),
            ("localhost:5222", tcp("localhost", 5222)),
            ("xmpps://h", tls("h", 5223)),
            (" xmpps://[2001:db8::1]:443 ", tls("2001:db8::1", 443)),
            ("example.org", Service::Domain("example.org".into())),
        ] {
            let read: Service = text.parse().unwrap();
            assert_eq!(read, service, "{text}");
            assert_eq!(
                read.to_string().parse::<Service>().unwrap(),
                service,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        for (text, word) in [
            ("", "no host"),
            ("xmpp://", "no host"),
            ("xmpp://:5222", "no host"),
            ("tcp://h", "scheme"),
            ("http://h:80", "scheme"),
            ("::1", "brackets"),
            ("xmpp://::1:5222", "brackets"),
            ("xmpp://[::1", "not closed"),
            ("xmpp://[localhost]", "not an IPv6"),
            ("xmpp://[::1]5222", "only a port"),
            ("xmpp://h:0", "1 to 65535"),
            ("xmpp://h:65536", "1 to 65535"),
            ("xmpp://h:", "1 to 65535"),
            ("xmpp://h/room", "nothing may follow"),
            ("xmpp://h?x", "nothing may follow"),
            ("ana@example.org", "account"),
            ("a b", "nothing may follow"),
        ] {
            let error = text.parse::<Service>().unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
    }
}
