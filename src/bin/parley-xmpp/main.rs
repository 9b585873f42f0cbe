//! `parley-xmpp`: post, fetch, tail, doctor, bridge, sim, serve and demo on the command line.
//!
//! One file a subcommand; [`settings`] says where to connect, [`exit`] how the
//! program ends, [`escape`] and [`output`] what it prints.

#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a program of the std world"
)]

mod args;
mod bridge;
mod connect;
mod demo;
mod doctor;
mod doubts;
mod escape;
mod exit;
mod fetch;
mod lines;
mod lock;
mod output;
mod post;
mod problem;
mod replace;
mod serve;
mod settings;
mod signals;
mod sim;
mod state;
mod surroundings;
mod tail;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;

use args::{Cli, Command};
use exit::{Exit, Failure};

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(error) => return without_arguments(&error),
    };
    let json = cli.common.json;
    log_to_stderr(cli.common.verbose);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.render(json));
            failure.exit.into()
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    // It has neither sockets nor time to wait for.
    if let Command::Sim(args) = &cli.command {
        return sim::run(&cli.common, args);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                Exit::Machine,
                format!("cannot start: {error}"),
                "look at the limits of this process",
            )
        })?;
    let common = cli.common;
    let result = runtime.block_on(async {
        match cli.command {
            Command::Post(args) => post::run(&common, args).await,
            Command::Fetch(args) => fetch::run(&common, args).await,
            Command::Tail(args) => tail::run(&common, args).await,
            Command::Doctor(args) => doctor::run(&common, &args).await,
            Command::Bridge(args) => bridge::run(&common, args).await,
            Command::Sim(args) => sim::run(&common, &args),
            Command::Serve(args) => serve::run(&common, &args).await,
            Command::Demo(args) => demo::run(&common, &args).await,
        }
    });
    // A read of standard input that still waits must not keep us.
    runtime.shutdown_background();
    result
}

/// Help and version are printed as they are, mistakes in the form of all our failures.
fn without_arguments(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Exit::Usage.into()
        }
        _ => {
            let json = std::env::args_os().any(|arg| arg == "--json");
            say(&usage(&error.render().to_string()).render(json));
            Exit::Usage.into()
        }
    }
}

/// Clap's paragraphs as one line of what is wrong and one of what to do.
fn usage(text: &str) -> Failure {
    let mut paragraphs = text
        .split("\n\n")
        .map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let error = paragraphs.next().unwrap_or_default();
    let error = error.strip_prefix("error: ").unwrap_or(&error);
    let mut remedy = String::from("see `parley-xmpp --help`");
    for paragraph in paragraphs {
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            remedy = tip.to_owned();
            break;
        }
        if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            remedy = format!("use it as `{usage}`, see `--help`");
        }
    }
    Failure::usage(error, remedy)
}

/// A line, or several, on standard error. If that is closed, nobody wants to know.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => tracing::Level::WARN,
        1 => tracing::Level::INFO,
        _ => tracing::Level::DEBUG,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        .without_time()
        .with_writer(std::io::stderr)
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn mistakes_of_usage_are_two_lines() {
        for line in [
            "parley-xmpp post",
            "parley-xmpp fetch t --limmit 3",
            "parley-xmpp foo",
            "parley-xmpp fetch t --limit x",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            let said = usage(&error.render().to_string()).render(false);
            assert_eq!(said.lines().count(), 2, "{said}");
            assert!(
                said.starts_with("error: ") && said.contains("\nremedy: "),
                "{said}"
            );
        }
    }
}
