//! Asks what the tests would not notice, without a build for each question.
//!
//! `cargo mutants --list --json` says what could be changed. Here all of that is compiled into one
//! program, in a copy of the repository, and the environment says which one is on: the tests are
//! built once. What cannot be switched (a constant, a condition with `let`, what does not compile)
//! is listed, for cargo-mutants itself.
//!
//! ```text
//! git worktree add --detach /tmp/switched && cp Cargo.lock /tmp/switched
//! cargo mutants --list --json -f 'src/room/**/*.rs' >/tmp/mutants.json
//! mutants="cargo run --release --manifest-path tests/mutants/Cargo.toml --"
//! $mutants switch /tmp/switched /tmp/mutants.json
//! $mutants run /tmp/switched /tmp/mutants.json results.tsv -- --lib --test=rooms --test=cursors
//! ```
//!
//! Before the first question each test runs once alone, without a mutant, and it is taken down how
//! long that takes and which mutants it comes by. About a mutant only those are asked, the fast ones
//! first, until one fails; what no test comes by has survived without a question.
//!
//! `run` goes on where it stopped: what `results.tsv` has is not asked again. With `--survivors
//! OLD.tsv` only what survived there is asked, say with more tests or with a command of its own
//! (`--command 'target/release/parley-xmpp sim --seeds 0..300'`, which the mutant is told by the
//! environment too).
//!
//! # What is another than with cargo-mutants
//!
//! There an operator is replaced in the text, so that `a && b && c` with its first `&&` turned is
//! `a || (b && c)`. Here the tree stays as it is: `(a || b) && c`.

#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "how long a test takes is what the limit is made of"
)]

mod list;
mod run;
mod suite;
mod switch;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: parley-xmpp-mutants switch COPY LIST
       parley-xmpp-mutants run COPY LIST RESULTS [--jobs N] [--survivors OLD] [--command COMMAND]... [-- CARGO TEST ARGUMENTS]

COPY     a copy of the repository, that is changed
LIST     what `cargo mutants --list --json` printed for the same sources
RESULTS  a line for each mutant: its number, what came of it, by what, its name
";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args {
        ["switch", copy, list] => switch::switch(Path::new(copy), &list::read(Path::new(list))?),
        ["run", copy, list, results, ref rest @ ..] => {
            let mut plan = run::Plan {
                copy: PathBuf::from(copy),
                mutants: list::read(Path::new(list))?,
                results: PathBuf::from(results),
                jobs: 1,
                survivors: None,
                commands: Vec::new(),
                tests: Vec::new(),
            };
            let mut rest = rest.iter();
            while let Some(&option) = rest.next() {
                let mut value = || {
                    rest.next()
                        .copied()
                        .with_context(|| format!("{option}: what?"))
                };
                match option {
                    "--jobs" => plan.jobs = value()?.parse().context("--jobs: how many?")?,
                    "--survivors" => plan.survivors = Some(PathBuf::from(value()?)),
                    "--command" => plan.commands.push(value()?.to_owned()),
                    "--" => plan.tests = rest.by_ref().map(|&arg| arg.to_owned()).collect(),
                    other => bail!("{other}: no such option\n{USAGE}"),
                }
            }
            run::run(&plan)
        }
        _ => bail!("{USAGE}"),
    }
}
