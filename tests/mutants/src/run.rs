//! Asks the tests about one mutant after the other.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use wait_timeout::ChildExt as _;

use crate::list::Mutant;
use crate::switch::LEFT_OUT;

/// What a mutant may take of memory, in KiB: one that never ends may ask for more and more.
const MEMORY: usize = 4 * 1024 * 1024;

#[derive(Debug)]
pub struct Plan {
    pub copy: PathBuf,
    pub mutants: Vec<Mutant>,
    pub results: PathBuf,
    pub jobs: usize,
    /// Results of before, of which only what survived is asked about.
    pub survivors: Option<PathBuf>,
    pub commands: Vec<String>,
    /// For `cargo test`.
    pub tests: Vec<String>,
}

/// What fails where something is noticed.
#[derive(Debug)]
struct Judge {
    name: String,
    program: String,
    args: Vec<String>,
    /// As long as it may take: five times what it takes, and a little.
    limit: Duration,
}

enum Verdict {
    Held,
    Failed,
    TimeLimit,
}

/// Asks about each mutant that has no line in the results yet.
///
/// # Errors
/// The tests cannot be built, or fail without a mutant.
pub fn run(plan: &Plan) -> Result<()> {
    let mut judges = built(plan)?;
    for command in &plan.commands {
        judges.push(Judge {
            name: command.clone(),
            program: "sh".into(),
            args: vec!["-c".into(), command.clone()],
            limit: Duration::from_secs(3600),
        });
    }
    ensure!(!judges.is_empty(), "no test to ask");
    for judge in &mut judges {
        let began = Instant::now();
        let held = matches!(judge.ask(&plan.copy, 0)?, Verdict::Held);
        ensure!(held, "{} fails without a mutant", judge.name);
        let took = began.elapsed();
        judge.limit = took * 5 + Duration::from_secs(5);
        println!("{}: {took:.1?}", judge.name);
    }
    // Who is fast is asked first.
    judges.sort_by_key(|judge| judge.limit);

    let mut left_out = numbers(&plan.copy.join(LEFT_OUT), |_| true)?;
    if plan.results.exists() {
        left_out.extend(numbers(&plan.results, |_| true)?);
    }
    let asked = match &plan.survivors {
        Some(old) => numbers(old, |verdict| verdict == "survived")?,
        None => (1..=plan.mutants.len()).collect(),
    };
    let asked: Vec<usize> = asked.difference(&left_out).copied().collect();
    let results = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&plan.results)?;
    let (results, next) = (Mutex::new(results), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(&number) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
                let done = next.load(Ordering::Relaxed).min(asked.len());
                let line = asked_about(plan, &judges, number)?;
                println!("{done} of {}: {line}", asked.len());
                let mut results: std::sync::MutexGuard<'_, File> = results
                    .lock()
                    .map_err(|_| anyhow::anyhow!("another job failed"))?;
                writeln!(results, "{line}")?;
            }
            Ok(())
        };
        let jobs: Vec<_> = (0..plan.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        for job in jobs {
            match job.join() {
                Ok(done) => done?,
                Err(_) => bail!("a job panicked"),
            }
        }
        Ok(())
    })
}

fn asked_about(plan: &Plan, judges: &[Judge], number: usize) -> Result<String> {
    let name = plan
        .mutants
        .get(number - 1)
        .map_or("", |mutant| mutant.name.as_str());
    for judge in judges {
        let verdict = match judge.ask(&plan.copy, number)? {
            Verdict::Held => continue,
            Verdict::Failed => "noticed",
            Verdict::TimeLimit => "time limit",
        };
        return Ok(format!("{number}\t{verdict}\t{}\t{name}", judge.name));
    }
    Ok(format!("{number}\tsurvived\t\t{name}"))
}

/// The numbers of the lines of such a verdict.
fn numbers(path: &Path, which: impl Fn(&str) -> bool) -> Result<BTreeSet<usize>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let mut columns = line.split('\t');
        let number = columns.next().and_then(|number| number.parse().ok());
        let number = number.with_context(|| format!("{}: {line}", path.display()))?;
        if columns.next().is_some_and(&which) {
            found.insert(number);
        }
    }
    Ok(found)
}

/// Builds the tests.
fn built(plan: &Plan) -> Result<Vec<Judge>> {
    if plan.tests.is_empty() {
        return Ok(Vec::new());
    }
    let output = Command::new(env!("CARGO"))
        .args(["test", "--no-run", "--message-format=json"])
        .args(&plan.tests)
        .env("RUSTFLAGS", "--cap-lints=warn")
        .current_dir(&plan.copy)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the tests cannot be built");
    let mut judges = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let Some(program) = message["executable"].as_str()
            && message["profile"]["test"] == true
        {
            judges.push(Judge {
                name: message["target"]["name"]
                    .as_str()
                    .unwrap_or_default()
                    .into(),
                program: program.into(),
                args: Vec::new(),
                limit: Duration::from_secs(3600),
            });
        }
    }
    Ok(judges)
}

impl Judge {
    fn ask(&self, copy: &Path, number: usize) -> Result<Verdict> {
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\""))
            .arg(&self.program)
            .args(&self.args)
            .env("PARLEY_MUTANT", number.to_string())
            // That something fails is all that is asked.
            .env("PROPTEST_MAX_SHRINK_ITERS", "0")
            .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
            .env("RUST_BACKTRACE", "0")
            .current_dir(copy)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        match child.wait_timeout(self.limit)? {
            Some(status) if status.success() => Ok(Verdict::Held),
            Some(_) => Ok(Verdict::Failed),
            None => {
                // And what it started.
                let group = format!("-{}", child.id());
                Command::new("kill").args(["-9", "--", &group]).status()?;
                child.wait()?;
                Ok(Verdict::TimeLimit)
            }
        }
    }
}
