//! `demo`: a server, two who post and one who follows, while links are cut and the
//! server is killed; and an account of it that is verified.

mod account;
mod plan;
mod play;
mod show;

use std::io::Write as _;

use parley_xmpp::embedded::{EmbeddedServer, EmbeddedSetup};
use parley_xmpp::sim::server::{Personality, ServerSetup};
use serde_json::json;

use self::account::Account;
use self::play::{AUTHORS, DELAY, FOLLOWER, TOPIC, play};
use self::show::Show;
use crate::args::{self, Common};
use crate::exit::{Exit, Failure, from_write};
use crate::output::to_json;
use crate::signals;
use crate::surroundings::invocation;

/// The password of the accounts of the demo's server, which lives in this process.
const PASSWORD: &str = "demo";

pub(crate) async fn run(common: &Common, args: &args::Demo) -> Result<(), Failure> {
    let server = start().await?;
    let posts = args.posts as usize;
    let show = Show::new(posts * AUTHORS.len(), common.json);
    show.line(&format!(
        "A server in this process, on {}; nothing leaves this machine.\n\
         {} and {} post {posts} messages each, {FOLLOWER} follows (seed {}).\n",
        server.address(),
        AUTHORS[0],
        AUTHORS[1],
        args.seed
    ));
    let outcome = tokio::select! {
        outcome = play(&server, args.seed, posts, &show) => outcome,
        () = signals::stop() => Err(Failure::new(
            Exit::NotDecided,
            "the demo was stopped before its end",
            "let it come to its end: it takes less than a minute",
        )),
    };
    show.finish();
    let outcome = outcome?;
    let account = Account::of(&outcome.evidence);
    if common.json {
        print(&to_json(&show::object(&account, &outcome)))?;
    } else {
        print(show::text(&account, &outcome).trim_end_matches('\n'))?;
    }
    judge(&account, args.seed)?;
    if !common.json {
        print(&go_on())?;
    }
    if args.keep {
        keep(&server, common.json).await?;
    }
    server.close().await;
    Ok(())
}

/// An account that does not add up is a failure of the program, whatever else it said.
fn judge(account: &Account, seed: u64) -> Result<(), Failure> {
    if account.adds_up() {
        return Ok(());
    }
    let wrong = account.faults.len();
    Err(Failure::new(
        Exit::PromiseBroken,
        format!("the account does not add up: {wrong} wrong"),
        format!("please report it, with all of the output and the seed, {seed}"),
    ))
}

async fn start() -> Result<EmbeddedServer, Failure> {
    let mut setup = ServerSetup::new(Personality::Prosody, "parley.local");
    for name in AUTHORS.iter().chain([&FOLLOWER]) {
        setup = setup.account(name, PASSWORD);
    }
    EmbeddedServer::start(EmbeddedSetup::new(setup).delay(DELAY))
        .await
        .map_err(|error| {
            Failure::new(
                Exit::Machine,
                format!("the demo's server cannot start: {error}"),
                "is the loopback interface up, and may this process open sockets?",
            )
        })
}

/// The commands to go on with by hand.
fn go_on() -> String {
    let program = invocation();
    format!(
        "\nTo go on by hand, a server in one terminal:\n\
         \x20 {program} serve\n\
         and in another:\n\
         \x20 {program} post {TOPIC} hello\n\
         \x20 {program} fetch {TOPIC} --since ''\n\
         \x20 {program} tail {TOPIC}"
    )
}

/// Leaves the server running, for whoever wants to look at what was said.
async fn keep(server: &EmbeddedServer, json: bool) -> Result<(), Failure> {
    let (program, address) = (invocation(), server.address());
    let name = format!("parley-xmpp-demo-{}.pem", std::process::id());
    let file = std::env::temp_dir().join(name);
    crate::serve::write_ca(&file, server.ca_pem())?;
    let said = if json {
        let object = json!({ "serving": { "address": address.to_string(), "caFile": file } });
        print(&to_json(&object))
    } else {
        print(&format!(
            "\nThe demo's server goes on until Ctrl-C. What was said:\n\
             \x20 {program} fetch {TOPIC} --since '' --service xmpp://{address} \\\n\
             \x20   -u {FOLLOWER} --password {PASSWORD} --ca-file {}",
            file.display()
        ))
    };
    if said.is_ok() {
        signals::stop().await;
    }
    let _ = std::fs::remove_file(&file);
    said
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) => from_write(&error).map_or(Ok(()), Err),
    }
}

#[cfg(test)]
mod tests {
    use super::account::{Evidence, Heard, Posted, Said, Told};
    use super::*;
    use crate::exit::Exit;

    /// One post, which the follower was given.
    fn right() -> Evidence {
        let said = Said {
            id: "id-1".into(),
            nick: "ana".into(),
            body: "ana 1".into(),
        };
        Evidence {
            archive: vec![said.clone()],
            posts: vec![Posted {
                nick: "ana".into(),
                number: 1,
                body: "ana 1".into(),
                told: vec![Told::Committed(Some("id-1".into()))],
            }],
            heard: vec![Heard::Message(said.clone())],
            fetched: Some(vec![said]),
        }
    }

    #[test]
    fn an_account_that_does_not_add_up_is_a_failure() {
        assert!(judge(&Account::of(&right()), 1).is_ok());
        type Change = fn(&mut Evidence);
        let wrong: [Change; 5] = [
            |e| e.posts[0].told.clear(),
            |e| e.posts[0].told = vec![Told::NotSent],
            |e| e.heard.clear(),
            |e| e.heard.push(e.heard[0].clone()),
            |e| e.fetched = None,
        ];
        for change in wrong {
            let mut evidence = right();
            change(&mut evidence);
            let account = Account::of(&evidence);
            let failure = judge(&account, 41).expect_err("it does not add up");
            assert_eq!(failure.exit, Exit::PromiseBroken, "{account:?}");
            assert!(failure.remedy.contains("41"), "{}", failure.remedy);
            let told = failure.render(true);
            assert!(told.contains("\"exit\":7"), "{told}");
        }
    }
}
