//! SCRAM against real servers, by how they keep passwords.

use parley_xmpp::tokio::Client;

use crate::backend::{Backend as _, Security, Target};
use crate::bridge::Bridge;
use crate::support::{Kind, Server};
use crate::{block_on, common, soon, with_plain, with_sha256};

/// Logs in over each security with the mechanism that is the strongest which the server has.
fn logs_in(server: Option<&'static Server>, mechanism: &str) {
    let Some(server) = server else { return };
    block_on(async {
        for security in [Security::Loopback, Security::StartTls, Security::DirectTls] {
            let target = Target { server, security };
            let client = soon("connect", Client::connect(target.settings("alice")))
                .await
                .expect("to connect");
            let login = client.login();
            assert_eq!(login.tls, security != Security::Loopback);
            assert_eq!(login.mechanism, mechanism, "{login:?}");
            assert_eq!(login.channel_binding, None);
            assert!(
                login.offered.iter().any(|name| name == mechanism),
                "{login:?}"
            );
            let plus: Vec<_> = login
                .offered
                .iter()
                .filter(|name| name.ends_with("-PLUS"))
                .collect();
            // It means tls-unique, without a word about it, which TLS 1.3 does not have and which
            // nobody should use over TLS 1.2: so none of these is chosen. Prosody offers none.
            if server.kind() == Kind::Ejabberd && login.tls {
                assert!(!plus.is_empty(), "{login:?}");
                assert!(login.announced_bindings.is_empty(), "{login:?}");
            } else {
                assert!(plus.is_empty(), "{login:?}");
            }
            soon("close", client.close()).await;
            Bridge::connect(&target, "bob").await.close().await;
        }
    });
}

#[test]
fn prosody_sha_1() {
    logs_in(common(Kind::Prosody), "SCRAM-SHA-1");
}

#[test]
fn prosody_sha_256() {
    logs_in(with_sha256(Kind::Prosody), "SCRAM-SHA-256");
}

#[test]
fn prosody_all_that_it_has() {
    logs_in(with_plain(Kind::Prosody), "SCRAM-SHA-256");
}

#[test]
fn ejabberd_sha_1() {
    logs_in(common(Kind::Ejabberd), "SCRAM-SHA-1");
}

#[test]
fn ejabberd_sha_256() {
    logs_in(with_sha256(Kind::Ejabberd), "SCRAM-SHA-256");
}

#[test]
fn ejabberd_sha_512() {
    logs_in(with_plain(Kind::Ejabberd), "SCRAM-SHA-512");
}
