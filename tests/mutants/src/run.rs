//! Asks the tests about one mutant after the other.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::list::Mutant;
use crate::suite::{self, Program, Test, Verdict};
use crate::switch::LEFT_OUT;

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

/// All that is asked about a mutant.
struct Judges {
    programs: Vec<Program>,
    tests: Vec<Test>,
    /// With what each may take.
    commands: Vec<(String, Duration)>,
}

/// Asks about each mutant that has no line in the results yet.
///
/// # Errors
/// The tests cannot be built, or fail without a mutant.
pub fn run(plan: &Plan) -> Result<()> {
    let programs = suite::build(&plan.copy, &plan.tests)?;
    let tests = suite::record(&plan.copy, &programs, plan.jobs)?;
    let mut commands = Vec::new();
    for command in &plan.commands {
        let began = Instant::now();
        let limit = Duration::from_secs(3600);
        let held = suite::command(&plan.copy, command, 0, limit)? == Verdict::Held;
        ensure!(held, "{command} fails without a mutant");
        let took = began.elapsed();
        commands.push((command.clone(), took * 5 + Duration::from_secs(5)));
    }
    ensure!(!(tests.is_empty() && commands.is_empty()), "no test to ask");
    let all: Duration = tests.iter().map(|test| test.took).sum();
    println!("{all:.0?} for all of them");
    let judges = Judges {
        programs,
        tests,
        commands,
    };

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
    suite::parallel(plan.jobs, || {
        while let Some(&number) = asked.get(next.fetch_add(1, Ordering::Relaxed)) {
            let done = next.load(Ordering::Relaxed).min(asked.len());
            let line = judges.ask(plan, number)?;
            println!("{done} of {}: {line}", asked.len());
            let mut results: MutexGuard<'_, File> = results
                .lock()
                .map_err(|_| anyhow::anyhow!("another job failed"))?;
            writeln!(results, "{line}")?;
        }
        Ok(())
    })
}

impl Judges {
    fn ask(&self, plan: &Plan, number: usize) -> Result<String> {
        let name = number.checked_sub(1).and_then(|at| plan.mutants.get(at));
        let name = name.map_or("", |mutant| mutant.name.as_str());
        let mut verdict = suite::ask(&plan.copy, &self.programs, &self.tests, number)?;
        for (command, limit) in &self.commands {
            if verdict == Verdict::Held {
                verdict = suite::command(&plan.copy, command, number, *limit)?;
            }
        }
        let reached = self.tests.iter().any(|test| test.reached.contains(&number));
        let (verdict, by) = match verdict {
            Verdict::Failed(by) => ("noticed", by),
            Verdict::TimeLimit => ("time limit", String::new()),
            Verdict::Held if reached => ("survived", String::new()),
            Verdict::Held => ("survived", "no test comes by it".into()),
        };
        Ok(format!("{number}\t{verdict}\t{by}\t{name}"))
    }
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
