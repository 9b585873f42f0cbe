//! Which servers to try for a domain, in which order.
//!
//! RFC 6120 section 3.2.1, RFC 2782, XEP-0368 v1.1.0: the records of
//! `_xmpps-client._tcp` and `_xmpp-client._tcp` count as one set. The order is
//! pure; only [`lookup`] asks anybody. Answers are not authenticated (DNSSEC), nor
//! need they be: the certificate is checked for the domain, never for the target.

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
        let itself = Target { host: domain.into(), port: 5222, direct_tls: false };
        return if denied { Err(NoService) } else { Ok(alloc::vec![itself]) };
    }
    // Within a priority those without weight come first, so that they have the
    // small chance that RFC 2782 leaves them.
    rest.sort_by_key(|(record, _)| (record.priority, record.weight));
    let mut order = Vec::new();
    while let Some(priority) = rest.first().map(|(record, _)| record.priority) {
        if order.len() == MOST {
            break;
        }
        let same = rest.iter().take_while(|(record, _)| record.priority == priority);
        let total: u64 = same.clone().map(|(record, _)| u64::from(record.weight)).sum();
        // Evenly from 0 to the total, both included.
        let drawn = (u64::from(random()) * (total + 1)) >> 32;
        let mut sum = 0;
        let index = same.enumerate().find_map(|(index, (record, _))| {
            sum += u64::from(record.weight);
            (sum >= drawn).then_some(index)
        });
        let (record, direct_tls) = rest.remove(index.unwrap_or(0));
        order.push(Target { host: record.target, port: record.port, direct_tls });
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
    use alloc::string::ToString as _;

    use hickory_resolver::TokioResolver;
    use hickory_resolver::proto::rr::{RData, RecordType};

    use super::{Answer, Record};

    /// Asks the system's name servers for both services of a domain.
    pub(in super::super) async fn lookup(domain: &str) -> (Answer, Answer) {
        let resolver = match TokioResolver::builder_tokio().and_then(|builder| builder.build()) {
            Ok(resolver) => resolver,
            Err(error) => return (Err(error.to_string()), Err(error.to_string())),
        };
        let direct = ask(&resolver, "_xmpps-client._tcp", domain).await;
        let starttls = ask(&resolver, "_xmpp-client._tcp", domain).await;
        (direct, starttls)
    }

    pub(super) async fn ask(resolver: &TokioResolver, service: &str, domain: &str) -> Answer {
        // The final dot keeps the search list of the system out of it.
        let name = format!("{service}.{}.", domain.trim_end_matches('.'));
        match resolver.lookup(name, RecordType::SRV).await {
            Ok(found) => Ok(found
                .answers()
                .iter()
                .filter_map(|record| match &record.data {
                    RData::SRV(srv) => Some(Record {
                        priority: srv.priority,
                        weight: srv.weight,
                        port: srv.port,
                        target: srv.target.to_ascii().trim_end_matches('.').into(),
                    }),
                    _ => None,
                })
                .collect()),
            Err(error) if error.is_no_records_found() => Ok(alloc::vec![]),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn record(priority: u16, weight: u16, target: &str) -> Record {
        Record { priority, weight, port: 5222, target: target.into() }
    }

    fn hosts(direct: Vec<Record>, starttls: Vec<Record>, draw: u32) -> Result<Vec<String>, NoService> {
        let order = order("example.org", Ok(direct), Ok(starttls), || draw)?;
        Ok(order.into_iter().map(|target| alloc::format!("{}{}", target.host, if target.direct_tls { "+" } else { "" })).collect())
    }

    #[test]
    fn both_services_are_one_set_by_priority() {
        let order = hosts(vec![record(5, 0, "b"), record(20, 0, "d")], vec![record(1, 0, "a"), record(10, 0, "c")], 0);
        assert_eq!(order.unwrap(), ["a", "b+", "c", "d+"]);
    }

    #[test]
    fn weight_decides_within_a_priority() {
        let records = || vec![record(1, 0, "never"), record(1, 10, "small"), record(1, 90, "large")];
        assert_eq!(hosts(vec![], records(), 0).unwrap(), ["never", "small", "large"]);
        assert_eq!(hosts(vec![], records(), u32::MAX).unwrap(), ["large", "small", "never"]);
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
        let order = order("example.org", Err("timeout".into()), Err("timeout".into()), || 0).unwrap();
        assert_eq!(order, [Target { host: "example.org".into(), port: 5222, direct_tls: false }]);
    }

    #[test]
    fn a_dot_means_no_service_and_forbids_guessing() {
        assert_eq!(hosts(vec![record(0, 0, "")], vec![], 0), Err(NoService));
        assert_eq!(hosts(vec![record(0, 0, "")], vec![record(0, 0, "")], 0), Err(NoService));
        assert_eq!(hosts(vec![record(0, 0, "")], vec![record(0, 0, "a")], 0).unwrap(), ["a"]);
    }

    #[test]
    fn a_zone_cannot_name_servers_without_end() {
        let many = (0..100).map(|n| record(n, 0, "h")).collect();
        assert_eq!(hosts(many, vec![], 0).unwrap().len(), MOST);
    }
}
