//! One suite, written once and run on every combination of server (Prosody, ejabberd), security
//! (STARTTLS, direct TLS, clear text over loopback) and way in (the library, the bridge).
//!
//! The name of a test is its combination: `prosody::starttls::bridge::…`. What does not depend on
//! the way in is below `refusals`, `outages`, `resumption`, `doubts` and `logins`. All tests of a kind share their servers
//! and keep to topics of their own.
#![cfg(feature = "cli")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and real processes need a real clock"
)]

#[path = "conformance/backend.rs"]
mod backend;
#[path = "conformance/bridge.rs"]
mod bridge;
#[path = "conformance/cursors.rs"]
mod cursors;
#[path = "conformance/doubts.rs"]
mod doubts;
#[path = "conformance/evictions.rs"]
mod evictions;
#[path = "conformance/logins.rs"]
mod logins;
#[path = "conformance/outages.rs"]
mod outages;
#[path = "conformance/privacy.rs"]
mod privacy;
#[path = "conformance/program.rs"]
mod program;
#[path = "conformance/refusals.rs"]
mod refusals;
#[path = "conformance/resumption.rs"]
mod resumption;
mod support;
#[path = "conformance/talk.rs"]
mod talk;

use std::future::Future;
use std::time::Duration;

use backend::{Security, Target};
use support::{Certificate, Kind, Passwords, Server, ServerOptions};

/// Generous: other tests have the processor at the same time. Nothing waits that long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

/// Fails instead of waiting for ever.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("no end of: {what}"))
}

/// All of them at the same time.
async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|cx| {
        let mut waiting = false;
        for (future, output) in &mut running {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => waiting = true,
                }
            }
        }
        if waiting {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    running
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// Runs a test on this thread.
fn block_on<F: Future>(test: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(test)
}

/// A server that all tests share, if it is installed.
macro_rules! shared {
    ($kind:expr, $options:expr) => {{
        static SERVERS: [std::sync::OnceLock<Option<Server>>; 2] =
            [const { std::sync::OnceLock::new() }; 2];
        let kind: Kind = $kind;
        SERVERS[usize::from(kind == Kind::Ejabberd)]
            .get_or_init(|| Server::start(kind, $options))
            .as_ref()
    }};
}

/// The accounts of those who come at the same moment.
const CROWD: usize = 10;

fn crowd_name(n: usize) -> String {
    format!("crowd{n}")
}

/// What most tests are about.
fn common(kind: Kind) -> Option<&'static Server> {
    static CROWDS: [std::sync::Once; 2] = [const { std::sync::Once::new() }; 2];
    let server = shared!(kind, ServerOptions::default())?;
    CROWDS[usize::from(kind == Kind::Ejabberd)].call_once(|| {
        for n in 0..CROWD {
            server.user(&crowd_name(n), &format!("secret-{}", crowd_name(n)));
        }
    });
    Some(server)
}

/// Its certificate is of another name, and it has no STARTTLS.
fn misnamed(kind: Kind) -> Option<&'static Server> {
    let options = ServerOptions {
        certificate: Certificate::WrongName,
        starttls: false,
        ..ServerOptions::default()
    };
    shared!(kind, options)
}

/// Its certificate has expired, and its rooms are for members only.
fn expired(kind: Kind) -> Option<&'static Server> {
    let options = ServerOptions {
        certificate: Certificate::Expired,
        members_only: true,
        ..ServerOptions::default()
    };
    shared!(kind, options)
}

fn with_sha256(kind: Kind) -> Option<&'static Server> {
    let options = ServerOptions {
        passwords: Passwords::Sha256,
        ..ServerOptions::default()
    };
    shared!(kind, options)
}

fn with_plain(kind: Kind) -> Option<&'static Server> {
    let options = ServerOptions {
        passwords: Passwords::Plain,
        ..ServerOptions::default()
    };
    shared!(kind, options)
}

/// Runs a test of [`talk`] on one combination.
fn on<F: Future<Output = ()>>(kind: Kind, security: Security, test: impl FnOnce(Target) -> F) {
    if let Some(server) = common(kind) {
        block_on(test(Target { server, security }));
    }
}

macro_rules! each_kind {
    ($list:tt) => {
        mod prosody {
            each_security!(Prosody $list);
        }
        mod ejabberd {
            each_security!(Ejabberd $list);
        }
    };
}

macro_rules! each_security {
    ($kind:ident $list:tt) => {
        mod starttls {
            each_backend!($kind StartTls $list);
        }
        mod direct_tls {
            each_backend!($kind DirectTls $list);
        }
        mod loopback {
            each_backend!($kind Loopback $list);
        }
    };
}

macro_rules! each_backend {
    ($kind:ident $security:ident $list:tt) => {
        mod library {
            tests!($kind $security (crate::backend::Library) $list);
        }
        mod bridge {
            tests!($kind $security (crate::bridge::Bridge) $list);
        }
    };
}

macro_rules! tests {
    ($kind:ident $security:ident ($backend:ty) [$($name:ident)*]) => {$(
        #[test]
        fn $name() {
            crate::on(
                crate::Kind::$kind,
                crate::Security::$security,
                crate::talk::$name::<$backend>,
            );
        }
    )*};
}

each_kind! {[
    three_posts_come_back_in_order_under_the_ids_that_post_gave
    a_topic_never_posted_to_has_an_empty_cursor_that_can_be_used
    a_pushed_message_is_the_fetched_one
    a_subscription_from_a_cursor_begins_right_after_it
    two_topics_are_isolated
    a_block_ends_with_the_first_news_or_with_its_time
    four_connections_that_post_25_each_make_100_messages
    different_accounts_meet_in_the_rooms_of_the_rule
    ten_who_come_at_the_same_moment_all_get_in
]}
