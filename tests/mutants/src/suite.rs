//! The tests that are asked: what they are, how long each takes, and which mutants it comes by.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use wait_timeout::ChildExt as _;

/// What a mutant may take of memory, in KiB: one that never ends may ask for more and more.
const MEMORY: usize = 4 * 1024 * 1024;
/// As long as a test without a mutant may take.
const LONGEST: Duration = Duration::from_secs(3600);

/// A program of tests, as `cargo test` builds it.
#[derive(Debug)]
pub struct Program {
    pub name: String,
    path: String,
}

/// One test.
#[derive(Debug)]
pub struct Test {
    /// Which of the programs has it.
    pub program: usize,
    pub name: String,
    pub took: Duration,
    /// The mutants that it comes by.
    pub reached: BTreeSet<usize>,
}

/// What came of asking.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Held,
    /// By which test, where one says so.
    Failed(String),
    TimeLimit,
}

/// Builds the programs.
///
/// # Errors
/// They cannot be built.
pub fn build(copy: &Path, arguments: &[String]) -> Result<Vec<Program>> {
    if arguments.is_empty() {
        return Ok(Vec::new());
    }
    let output = Command::new(env!("CARGO"))
        .args(["test", "--no-run", "--message-format=json"])
        .args(arguments)
        .env("RUSTFLAGS", "--cap-lints=warn")
        .current_dir(copy)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the tests cannot be built");
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let Some(path) = message["executable"].as_str()
            && message["profile"]["test"] == true
        {
            let name = message["target"]["name"].as_str().unwrap_or_default();
            programs.push(Program {
                name: name.into(),
                path: path.into(),
            });
        }
    }
    Ok(programs)
}

/// Runs each test alone, without a mutant, and says what it takes and what it comes by.
///
/// # Errors
/// One fails.
pub fn record(copy: &Path, programs: &[Program], jobs: usize) -> Result<Vec<Test>> {
    let mut tests = Vec::new();
    for (program, Program { path, .. }) in programs.iter().enumerate() {
        for name in listed(copy, path)? {
            tests.push(Test {
                program,
                name,
                took: Duration::ZERO,
                reached: BTreeSet::new(),
            });
        }
    }
    println!("{} tests: which mutants each comes by", tests.len());
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    parallel(jobs, || {
        while let Some(test) = tests.get(next.fetch_add(1, Ordering::Relaxed)) {
            let file = scratch("reached")?;
            let began = Instant::now();
            let program = &programs[test.program];
            let verdict = program.ask(copy, &[&test.name], Asked::Reach(&file), LONGEST)?;
            let took = began.elapsed();
            ensure!(
                verdict == Verdict::Held,
                "{}: {} fails without a mutant",
                program.name,
                test.name
            );
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            let reached = text.lines().filter_map(|line| line.parse().ok()).collect();
            let _ = std::fs::remove_file(&file);
            let mut done = done.lock().map_err(|_| anyhow::anyhow!("a job panicked"))?;
            let key = (test.program, test.name.clone());
            done.insert(key, (took, reached));
        }
        Ok(())
    })?;
    let mut done = done
        .into_inner()
        .map_err(|_| anyhow::anyhow!("a job panicked"))?;
    for test in &mut tests {
        if let Some(seen) = done.remove(&(test.program, test.name.clone())) {
            (test.took, test.reached) = seen;
        }
    }
    // Who is fast is asked first.
    tests.sort_by_key(|test| test.took);
    Ok(tests)
}

/// Asks about one mutant the tests that come by it, those first that take the least.
///
/// # Errors
/// A program cannot be started.
pub fn ask(copy: &Path, programs: &[Program], tests: &[Test], mutant: usize) -> Result<Verdict> {
    let mut left = tests.iter().filter(|test| test.reached.contains(&mutant));
    let mut next = left.next();
    // A process for each test would take longer than most tests do; all in one would run to its
    // end where the first has noticed.
    let mut budget = Duration::from_millis(200);
    while let Some(first) = next {
        let mut batch: BTreeMap<usize, (Duration, Vec<&str>)> = BTreeMap::new();
        let mut sum = Duration::ZERO;
        let mut test = first;
        loop {
            sum += test.took;
            let (took, names) = batch.entry(test.program).or_default();
            *took += test.took;
            names.push(&test.name);
            next = left.next();
            match next {
                Some(more) if sum + more.took <= budget => test = more,
                _ => break,
            }
        }
        budget *= 2;
        for (program, (took, names)) in batch {
            let limit = took * 5 + Duration::from_secs(5);
            let program = &programs[program];
            match program.ask(copy, &names, Asked::About(mutant), limit)? {
                Verdict::Held => {}
                Verdict::Failed(test) => {
                    return Ok(Verdict::Failed(format!("{} {test}", program.name)));
                }
                Verdict::TimeLimit => return Ok(Verdict::TimeLimit),
            }
        }
    }
    Ok(Verdict::Held)
}

/// Does the same in so many threads.
///
/// # Errors
/// One of them fails.
pub fn parallel(jobs: usize, work: impl Fn() -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let jobs: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(&work)).collect();
        for job in jobs {
            match job.join() {
                Ok(done) => done?,
                Err(_) => bail!("a job panicked"),
            }
        }
        Ok(())
    })
}

/// Runs a command, with such a mutant on.
///
/// # Errors
/// It cannot be started.
pub fn command(copy: &Path, command: &str, mutant: usize, limit: Duration) -> Result<Verdict> {
    let args = ["-c", command];
    let verdict = run(
        copy,
        "sh",
        &args,
        Asked::About(mutant),
        limit,
        Stdio::null(),
    )?;
    Ok(match verdict {
        Verdict::Failed(_) => Verdict::Failed(command.into()),
        other => other,
    })
}

#[derive(Clone, Copy)]
enum Asked<'a> {
    About(usize),
    /// No mutant, but which there are, into that file.
    Reach(&'a Path),
}

impl Program {
    fn ask(
        &self,
        copy: &Path,
        tests: &[&str],
        asked: Asked<'_>,
        limit: Duration,
    ) -> Result<Verdict> {
        let mut args = vec!["--exact", "--test-threads=1"];
        args.extend(tests);
        let said = scratch("said")?;
        let verdict = run(copy, &self.path, &args, asked, limit, File::create(&said)?)?;
        let text = std::fs::read(&said)?;
        std::fs::remove_file(&said)?;
        Ok(match verdict {
            Verdict::Failed(_) => Verdict::Failed(first_failed(&String::from_utf8_lossy(&text))),
            other => other,
        })
    }
}

/// Which test the output says has failed.
fn first_failed(output: &str) -> String {
    let failed = output.lines().find_map(|line| {
        let (name, _) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
        line.ends_with("FAILED").then(|| name.to_owned())
    });
    // A process that ends within a test says no more than its name.
    failed.unwrap_or_default()
}

fn listed(copy: &Path, path: &str) -> Result<Vec<String>> {
    let output = Command::new(path)
        .args(["--list", "--format=terse"])
        .current_dir(copy)
        .output()?;
    ensure!(output.status.success(), "{path}: what tests has it?");
    let text = String::from_utf8_lossy(&output.stdout);
    let names = text.lines().filter_map(|line| line.strip_suffix(": test"));
    Ok(names.map(str::to_owned).collect())
}

/// A file that nobody else has.
fn scratch(what: &str) -> Result<PathBuf> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("parley-mutants-{}-{what}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    if path.exists() {
        std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
    }
    Ok(path)
}

fn run(
    copy: &Path,
    program: &str,
    args: &[&str],
    asked: Asked<'_>,
    limit: Duration,
    stdout: impl Into<Stdio>,
) -> Result<Verdict> {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -v {MEMORY}; exec \"$0\" \"$@\""))
        .arg(program)
        .args(args);
    match asked {
        Asked::About(mutant) => command.env("PARLEY_MUTANT", mutant.to_string()),
        Asked::Reach(file) => command.env("PARLEY_REACHED", file),
    };
    let mut child = command
        // That something fails is all that is asked.
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1")
        .env("RUST_BACKTRACE", "0")
        .current_dir(copy)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()?;
    match child.wait_timeout(limit)? {
        Some(status) if status.success() => Ok(Verdict::Held),
        Some(_) => Ok(Verdict::Failed(String::new())),
        None => {
            // And what it started.
            let group = format!("-{}", child.id());
            Command::new("kill").args(["-9", "--", &group]).status()?;
            child.wait()?;
            Ok(Verdict::TimeLimit)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_failed_is_read_from_what_is_printed() {
        let output = "running 2 tests\ntest a::b ... ok\ntest c::d - should panic ... FAILED\n\n";
        assert_eq!(first_failed(output), "c::d - should panic");
        assert_eq!(first_failed("test a ... "), "");
    }

    fn test(name: &str, millis: u64, reached: &[usize]) -> Test {
        Test {
            program: 0,
            name: name.into(),
            took: Duration::from_millis(millis),
            reached: reached.iter().copied().collect(),
        }
    }

    /// A program that writes down what it is asked, and fails where it is asked for `bad`.
    fn noting(dir: &Path) -> Program {
        use std::os::unix::fs::PermissionsExt;
        let path = dir.join("tests.sh");
        let script = "#!/bin/sh\necho \"$PARLEY_MUTANT $*\" >>asked\n\
                      case \"$*\" in *bad*) echo 'test bad ... FAILED'; exit 101;; *slow*) sleep 60;; esac\n";
        std::fs::write(&path, script).expect("a script");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("a program");
        Program {
            name: "lib".into(),
            path: path.to_str().expect("a path").into(),
        }
    }

    #[test]
    fn only_who_comes_by_a_mutant_is_asked_and_the_fast_first() {
        let dir = scratch("dir").expect("a name");
        std::fs::create_dir(&dir).expect("a directory");
        let programs = [noting(&dir)];
        let tests = [
            test("a", 10, &[7]),
            test("b", 20, &[8]),
            test("c", 30, &[7]),
            test("bad", 300, &[7, 9]),
            test("never", 300, &[7]),
        ];
        let asked = |mutant| ask(&dir, &programs, &tests, mutant).expect("asked");
        assert_eq!(asked(7), Verdict::Failed("lib bad".into()));
        assert_eq!(asked(8), Verdict::Held);
        assert_eq!(asked(10), Verdict::Held);
        let asked = std::fs::read_to_string(dir.join("asked")).expect("notes");
        let exact = "--exact --test-threads=1";
        assert_eq!(
            asked,
            format!("7 {exact} a c\n7 {exact} bad\n8 {exact} b\n")
        );
        std::fs::remove_dir_all(&dir).expect("gone");
    }
}
