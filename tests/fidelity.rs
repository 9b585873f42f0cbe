//! One suite of scenarios for the model server and for those that it is a model of:
//! what a client sees is compared, stanza by stanza.
//!
//! `tests/fidelity/shapes` holds what Prosody and ejabberd were seen to do, so that
//! the model can be compared where neither is installed; where they are, they are
//! compared with it themselves. `PARLEY_XMPP_RECORD=1` writes it anew, and
//! `PARLEY_XMPP_SCENARIO` plays only scenarios with that in their name. Where the
//! model differs is listed, with the reason, in `tests/fidelity/differences.md`.
#![cfg(feature = "sim")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used,
    clippy::panic,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "helpers of tests fail by panicking"
)]

#[path = "fidelity/client.rs"]
mod client;
#[path = "fidelity/difference.rs"]
mod difference;
#[path = "fidelity/node.rs"]
mod node;
#[path = "fidelity/record.rs"]
mod record;
#[path = "fidelity/scenarios/mod.rs"]
mod scenarios;
#[path = "fidelity/scram.rs"]
mod scram;
#[path = "fidelity/shape.rs"]
mod shape;
#[path = "fidelity/stage.rs"]
mod stage;
mod support;
#[path = "fidelity/wire.rs"]
mod wire;

use std::panic::{AssertUnwindSafe, catch_unwind};

use difference::Difference;
use scenarios::Scenario;
use stage::{Stage, Step};
use support::{Kind, Server, ServerOptions};
use wire::{Backend, ModelBackend};

/// The scenarios that are wanted.
fn wanted() -> Vec<Scenario> {
    let part = std::env::var("PARLEY_XMPP_SCENARIO").unwrap_or_default();
    let mut all = scenarios::all();
    all.retain(|(name, _)| name.contains(&part));
    all
}

/// Plays a scenario as far as it goes.
fn play(backend: &dyn Backend, (name, scenario): Scenario) -> Vec<Step> {
    let mut stage = Stage::new(backend, name);
    let end = catch_unwind(AssertUnwindSafe(|| scenario(&mut stage)));
    match end {
        Ok(()) => stage.finish(),
        Err(why) => {
            let why = why.downcast_ref::<String>().cloned();
            stage.stopped(&why.unwrap_or_default());
            stage.steps
        }
    }
}

/// Plays all on a real server, and compares with what was seen before.
fn check_server(kind: Kind) {
    let options = ServerOptions {
        starttls: false,
        ..ServerOptions::default()
    };
    let Some(server) = Server::start(kind, options) else {
        return;
    };
    let record = std::env::var("PARLEY_XMPP_RECORD").is_ok_and(|value| value == "1");
    let mut changed = String::new();
    for scenario in wanted() {
        let seen = play(&server, scenario);
        if let Some(step) = seen.iter().find(|step| step.name == "stopped") {
            changed.push_str(&format!("{}: {}", scenario.0, step.text));
        }
        if record {
            record::write(kind, scenario.0, &seen);
        }
        let place = format!("{} / {}", record::server(kind), scenario.0);
        for difference in difference::compare(&place, &record::read(kind, scenario.0), &seen) {
            changed.push_str(&format!("\n{difference}"));
        }
    }
    assert!(
        changed.is_empty(),
        "{kind} is not (any more) as recorded (-: recorded, +: now):\n{changed}",
    );
}

/// Plays all on the model, and compares with what the server was seen to do.
fn check_model(kind: Kind) {
    let model = ModelBackend::new(kind);
    let mut known: Vec<Difference> = difference::listed();
    let mut new = String::new();
    let wanted = wanted();
    for &scenario in &wanted {
        let seen = play(&model, scenario);
        let place = format!("{} / {}", record::server(kind), scenario.0);
        for difference in difference::compare(&place, &record::read(kind, scenario.0), &seen) {
            match known.iter().position(|listed| *listed == difference) {
                Some(at) => drop(known.remove(at)),
                None => new.push_str(&format!("\n{difference}")),
            }
        }
        let own = format!("{place} / ");
        for gone in known.iter().filter(|listed| listed.place.starts_with(&own)) {
            new.push_str(&format!("\nlisted, but it is not so:\n{gone}"));
        }
    }
    assert!(
        new.is_empty(),
        "the model differs from {kind} (-: {kind}, +: the model):\n{new}"
    );
}

#[test]
fn prosody_is_as_recorded() {
    check_server(Kind::Prosody);
}

#[test]
fn ejabberd_is_as_recorded() {
    check_server(Kind::Ejabberd);
}

#[test]
fn the_model_of_prosody_differs_only_as_listed() {
    check_model(Kind::Prosody);
}

#[test]
fn the_model_of_ejabberd_differs_only_as_listed() {
    check_model(Kind::Ejabberd);
}

/// Nothing is recorded or listed of a scenario that is not played.
#[test]
fn what_is_recorded_is_played() {
    let mut names: Vec<String> = scenarios::all().iter().map(|(n, _)| (*n).into()).collect();
    names.sort();
    for kind in Kind::ALL {
        assert_eq!(record::recorded(kind), names);
    }
    for difference in difference::listed() {
        let mut parts = difference.place.split(" / ");
        let server = parts.next().unwrap_or_default();
        assert!(Kind::ALL.iter().any(|kind| record::server(*kind) == server));
        let scenario = parts.next().unwrap_or_default().to_owned();
        assert!(names.contains(&scenario), "{}", difference.place);
    }
}
