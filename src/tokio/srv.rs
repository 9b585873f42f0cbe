//! Which servers to try for a domain, in which order.
//!
//! RFC 6120 section 3.2.1, RFC 2782, XEP-0368 v1.1.0: the records of
//! `_xmpps-client._tcp` and `_xmpp-client._tcp` count as one set. The order is
//! pure; only [`lookup`] asks anybody. Answers are not authenticated (DNSSEC), nor
//! need they be: the certificate is checked for the domain, never for the target, and a
//! target is never the reason to do without TLS.

use alloc::string::String;
use alloc::vec::Vec;

/// One server to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) direct_tls: bool,
}

/// One SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    /// Without the final dot; empty for the root, which means "not available".
    pub(super) target: String,
}

/// What the DNS said about one service of a domain.
pub(super) type Answer = Result<Vec<Record>, String>;

/// At most so many targets are tried: a zone could name any number.
const MOST: usize = 16;

/// The domain says that it has no such service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoService;

/// The servers of `domain` in the order in which to try them.
///
/// Without any record, or where the DNS cannot answer, that is the domain itself
/// on port 5222 (RFC 6120 section 3.2.2); but not where a record exists, even if
/// it only says that there is no service (XEP-0368 v1.1.0 section 5).
pub(super) fn order(
    domain: &str,
    direct: Answer,
    starttls: Answer,
    mut random: impl FnMut() -> u32,
) -> Result<Vec<Target>, NoService> {
    let mut rest: Vec<(Record, bool)> = Vec::new();
    let mut denied = false;
    for (answer, direct_tls) in [(direct, true), (starttls, false)] {
        for record in answer.unwrap_or_default() {
            if record.target.is_empty() {
                denied = true;
            } else {
                rest.push((record, direct_tls));
            }
        }
    }
    if rest.is_empty() {
        let itself = Target {
            host: domain.into(),
            port: 5222,
            direct_tls: false,
        };
        return if denied {
            Err(NoService)
        } else {
            Ok(alloc::vec![itself])
        };
    }
    // Within a priority those without weight come first, so that they have the
    // small chance that RFC 2782 leaves them.
    rest.sort_by_key(|(record, _)| (record.priority, record.weight));
    let mut order = Vec::new();
    while let Some(priority) = rest.first().map(|(record, _)| record.priority) {
        if order.len() == MOST {
            break;
        }
        let same = rest
            .iter()
            .take_while(|(record, _)| record.priority == priority);
        let total: u64 = same
            .clone()
            .map(|(record, _)| u64::from(record.weight))
            .sum();
        // Evenly from 0 to the total, both included.
        let drawn = u64::from(random()).saturating_mul(total.saturating_add(1)) >> 32;
        let mut sum = 0_u64;
        let index = same.enumerate().find_map(|(index, (record, _))| {
            sum = sum.saturating_add(u64::from(record.weight));
            (sum >= drawn).then_some(index)
        });
        let (record, direct_tls) = rest.remove(index.unwrap_or(0));
        order.push(Target {
            host: record.target,
            port: record.port,
            direct_tls,
        });
    }
    Ok(order)
}

#[cfg(feature = "srv")]
pub(super) use dns::lookup;

/// Without a resolver there are no records.
#[cfg(not(feature = "srv"))]
pub(super) async fn lookup(_domain: &str) -> (Answer, Answer) {
    (Ok(Vec::new()), Ok(Vec::new()))
}

#[cfg(feature = "srv")]
mod dns {
    use alloc::format;
    use alloc::string::{String, ToString as _};
    use alloc::vec::Vec;
    use core::future::Future;
    use core::pin::pin;
    use core::task::Poll;
    use core::time::Duration;

    use hickory_resolver::TokioResolver;
    use hickory_resolver::proto::rr::{RData, RecordType};

    use super::{Answer, Record};

    /// For both answers: enough for a second try, and it leaves time to connect.
    const PATIENCE: Duration = Duration::from_secs(8);

    /// Asks the system's name servers for both services of a domain.
    pub(in super::super) async fn lookup(domain: &str) -> (Answer, Answer) {
        match TokioResolver::builder_tokio().and_then(|builder| builder.build()) {
            Ok(resolver) => ask_both(&resolver, domain).await,
            Err(error) => (Err(error.to_string()), Err(error.to_string())),
        }
    }

    pub(super) async fn ask_both(resolver: &TokioResolver, domain: &str) -> (Answer, Answer) {
        let mut direct = pin!(ask(resolver, "_xmpps-client._tcp", domain));
        let mut starttls = pin!(ask(resolver, "_xmpp-client._tcp", domain));
        let (mut first, mut second) = (None, None);
        let both = core::future::poll_fn(|cx| {
            if first.is_none()
                && let Poll::Ready(answer) = direct.as_mut().poll(cx)
            {
                first = Some(answer);
            }
            if second.is_none()
                && let Poll::Ready(answer) = starttls.as_mut().poll(cx)
            {
                second = Some(answer);
            }
            if first.is_some() && second.is_some() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        // One answer without the other is better than none.
        let _ = ::tokio::time::timeout(PATIENCE, both).await;
        let late = || Err(String::from("the name servers did not answer in time"));
        (first.unwrap_or_else(late), second.unwrap_or_else(late))
    }

    async fn ask(resolver: &TokioResolver, service: &str, domain: &str) -> Answer {
        // The final dot keeps the search list of the system out of it.
        let name = format!("{service}.{}.", domain.trim_end_matches('.'));
        match resolver.lookup(name, RecordType::SRV).await {
            Ok(found) => Ok(found
                .answers()
                .iter()
                .filter_map(|record| read(&record.data))
                .collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn read(data: &RData) -> Option<Record> {
        let RData::SRV(srv) = data else { return None };
        let target = srv.target.to_ascii().trim_end_matches('.').into();
        Some(Record {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            target,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn record(priority: u16, weight: u16, target: &str) -> Record {
        Record {
            priority,
            weight,
            port: 5222,
            target: target.into(),
        }
    }

    fn hosts(
        direct: Vec<Record>,
        starttls: Vec<Record>,
        draw: u32,
    ) -> Result<Vec<String>, NoService> {
        let order = order("example.org", Ok(direct), Ok(starttls), || draw)?;
        Ok(order
            .into_iter()
            .map(|target| {
                alloc::format!(
                    "{}{}",
                    target.host,
                    if target.direct_tls { "+" } else { "" }
                )
            })
            .collect())
    }

    #[test]
    fn both_services_are_one_set_by_priority() {
        let order = hosts(
            vec![record(5, 0, "b"), record(20, 0, "d")],
            vec![record(1, 0, "a"), record(10, 0, "c")],
            0,
        );
        assert_eq!(order.unwrap(), ["a", "b+", "c", "d+"]);
    }

    #[test]
    fn weight_decides_within_a_priority() {
        let records = || {
            vec![
                record(1, 0, "never"),
                record(1, 10, "small"),
                record(1, 90, "large"),
            ]
        };
        assert_eq!(
            hosts(vec![], records(), 0).unwrap(),
            ["never", "small", "large"]
        );
        assert_eq!(
            hosts(vec![], records(), u32::MAX).unwrap(),
            ["large", "small", "never"]
        );
        // Drawn evenly, the share of first places follows the weight.
        let mut state = 1u32;
        let mut large = 0;
        for _ in 0..1000 {
            let first = order("x", Ok(vec![]), Ok(records()), || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state
            });
            large += u32::from(first.unwrap()[0].host == "large");
        }
        assert!((850..950).contains(&large), "{large}");
    }

    #[test]
    fn no_record_means_the_domain_itself() {
        assert_eq!(hosts(vec![], vec![], 0).unwrap(), ["example.org"]);
        let order = order(
            "example.org",
            Err("timeout".into()),
            Err("timeout".into()),
            || 0,
        )
        .unwrap();
        assert_eq!(
            order,
            [Target {
                host: "example.org".into(),
                port: 5222,
                direct_tls: false
            }]
        );
    }

    #[test]
    fn a_dot_means_no_service_and_forbids_guessing() {
        assert_eq!(hosts(vec![record(0, 0, "")], vec![], 0), Err(NoService));
        assert_eq!(
            hosts(vec![record(0, 0, "")], vec![record(0, 0, "")], 0),
            Err(NoService)
        );
        assert_eq!(
            hosts(vec![record(0, 0, "")], vec![record(0, 0, "a")], 0).unwrap(),
            ["a"]
        );
    }

    #[test]
    fn a_zone_cannot_name_servers_without_end() {
        let many = (0..100).map(|n| record(n, 0, "h")).collect();
        assert_eq!(hosts(many, vec![], 0).unwrap().len(), MOST);
    }

    /// A name server for loopback that knows one record and denies all others.
    #[cfg(feature = "srv")]
    async fn name_server(known: &'static [u8], rdata: &'static [u8]) -> u16 {
        let socket = ::tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        ::tokio::spawn(async move {
            let mut query = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut query).await {
                let end = 12
                    + query[12..length]
                        .iter()
                        .position(|byte| *byte == 0)
                        .unwrap()
                    + 5;
                let question = query[12..end].to_ascii_lowercase();
                let found = question.windows(known.len()).any(|part| part == known);
                let mut reply = query[..2].to_vec();
                reply.extend([
                    0x84,
                    if found { 0 } else { 3 },
                    0,
                    1,
                    0,
                    u8::from(found),
                    0,
                    0,
                    0,
                    0,
                ]);
                reply.extend(&query[12..end]);
                if found {
                    reply.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60, 0, rdata.len() as u8]);
                    reply.extend(rdata);
                }
                socket.send_to(&reply, from).await.unwrap();
            }
        });
        port
    }

    #[cfg(feature = "srv")]
    #[::tokio::test]
    async fn records_come_from_the_name_server() {
        use hickory_resolver::TokioResolver;
        use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
        use hickory_resolver::net::runtime::TokioRuntimeProvider;

        let known = b"\x0d_xmpps-client\x04_tcp\x07example\x04test\0";
        let rdata = b"\0\x05\0\x07\x01\xbb\x02im\x07example\x04test\0";
        let mut connection = ConnectionConfig::udp();
        connection.port = name_server(known, rdata).await;
        let server = NameServerConfig::new([127, 0, 0, 1].into(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, vec![], vec![server]);
        let resolver = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .build()
            .unwrap();
        let (direct, starttls) = dns::ask_both(&resolver, "example.test").await;
        let record = Record {
            priority: 5,
            weight: 7,
            port: 443,
            target: "im.example.test".into(),
        };
        assert_eq!(direct, Ok(vec![record]));
        assert_eq!(starttls, Ok(vec![]));
    }
}
