//! `sim`: simulated worlds, from seeds or from a trace, and what becomes of them.
//!
//! `batch` runs worlds on all cores, `summary` says what came of them, `files` keeps
//! what is needed to see a failure again.

mod batch;
mod files;
mod summary;

use core::cell::RefCell;
use core::time::Duration;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use parley_xmpp::sim::plan::{FaultKind, FaultKinds, Plan, Profile};
use parley_xmpp::sim::{Chart, Timeline, Watch, shrink};
use tokio::time::Instant;

use crate::args::{Common, Sim};
use crate::escape::Line;
use crate::exit::{Exit, Failure};

use batch::{Results, Worlds};
use files::quoted;
use summary::Summary;

/// The most lines of a timeline.
const LINES: usize = 20_000;
/// The most runs that making a plan smaller may take.
const REPLAYS: u32 = 10_000;
/// How often a long run says how far it is, where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(60);

pub(crate) fn run(common: &Common, args: &Sim) -> Result<(), Failure> {
    let worlds = worlds(args)?;
    let several = worlds.count() > 1;
    for file in [&args.html, &args.trace].into_iter().flatten() {
        files::check(file)?;
    }
    let began = Instant::now();
    let results = all(&worlds, args);
    let mut summary = Summary::new(&results, began.elapsed());

    let shown = match results.broken.first_key_value() {
        Some((seed, broken)) => Some((*seed, Some(broken))),
        None if several => None,
        None => Some((worlds.first(), None)),
    };
    let Some((seed, mut shown)) = shown else {
        summary.nothing_to_show(args.html.is_some() || args.trace.is_some() || args.timeline);
        return summary.conclude(common.json);
    };
    let mut plan = worlds.plan(seed);
    let smaller;
    if let (true, Some(broken)) = (args.shrink, shown) {
        plan = shrunk(&plan, broken.rule());
        summary.shrunk(plan.steps.len());
        // It breaks the same rule, but not with the same words.
        let again = Worlds::One(Box::new(plan.clone()));
        smaller = batch::run(&again, Some(1), false, |_, _, _| {});
        shown = smaller.broken.values().next().or(shown);
    }
    // A world that broke no rule is there again with its seed: it needs no file.
    let trace = match (&args.trace, shown) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(_)) => match &args.replay {
            Some(file) if !args.shrink => Some(file.clone()),
            _ => Some(files::unused(&plan)?),
        },
        (None, None) => None,
    };
    if let Some(file) = &trace
        && args.replay.as_ref() != Some(file)
    {
        files::write(file, &plan.to_string())?;
    }
    look(args, &plan, trace.as_deref(), &mut summary)?;
    if let Some(broken) = shown {
        summary.broken(plan.seed, broken, trace.as_deref());
    }
    if args.keep_going {
        summary.all_broken(&results);
    }
    summary.conclude(common.json)
}

/// Runs them all, as far as they are to be run, and says how far it is.
fn all(worlds: &Worlds, args: &Sim) -> Results {
    let bar = bar(worlds.count(), "worlds");
    // Where nobody sees a bar, a line from time to time.
    let mut next_line = Instant::now() + LINE_EVERY;
    let results = batch::run(
        worlds,
        args.jobs,
        args.keep_going,
        |outcome, done, broken| {
            bar.set_position(done);
            // Who lets hours of worlds run wants to look at the first that broke meanwhile.
            if args.keep_going
                && let Some(found) = &outcome.broken
            {
                let (rule, detail) = found.words();
                let line = format!("seed {}: {rule}: {}", outcome.seed, Line(detail));
                bar.suspend(|| crate::say(&line));
            }
            if broken > 0 {
                bar.set_message(format!(", {broken} broke a rule"));
            }
            if bar.is_hidden() && Instant::now() >= next_line {
                next_line = Instant::now() + LINE_EVERY;
                let all = worlds.count();
                crate::say(&format!("{done} of {all} worlds, {broken} broke a rule"));
            }
        },
    );
    bar.finish_and_clear();
    results
}

/// The worlds asked for.
fn worlds(args: &Sim) -> Result<Worlds, Failure> {
    if let Some(file) = &args.replay {
        let text = files::read(file)?;
        let plan = Plan::parse(&text).map_err(|error| {
            let problem = match error.line {
                0 => error.problem.clone(),
                line => format!("line {line}: {}", error.problem),
            };
            Failure::usage(
                format!("{} is no plan of a run: {problem}", file.display()),
                error.remedy,
            )
        })?;
        return Ok(Worlds::One(Box::new(plan)));
    }
    let mut profile = Profile::standard();
    profile.personality = args.personality.map(Into::into);
    if let Some(list) = &args.faults {
        profile.kinds = FaultKinds::parse(list).map_err(|error| {
            Failure::usage(format!("--faults: {}", error.problem), error.remedy)
        })?;
        profile.beyond = named(list);
    }
    if let Some(count) = args.fault_count {
        profile.faults = count;
    }
    if let Some(hosts) = args.hosts {
        profile.hosts = hosts.into();
    }
    if let Some(rooms) = args.rooms {
        profile.rooms = rooms.into();
    }
    if let Some(posts) = args.posts {
        profile.posts = posts;
    }
    let seeds = match (args.seed, &args.seeds) {
        (Some(seed), _) => seed..=seed,
        (None, Some(range)) => range.start..=range.end.saturating_sub(1),
        (None, None) => 0..=99,
    };
    Ok(Worlds::Drawn(seeds, Box::new(profile)))
}

/// The kinds that a list names one by one, or all: who names what the client does not
/// bear wants to see it.
fn named(list: &str) -> FaultKinds {
    let names = list.split(',').map(str::trim);
    names.fold(FaultKinds::none(), |kinds, name| {
        match (name, FaultKind::parse(name)) {
            ("all", _) => FaultKinds::all(),
            (_, Some(kind)) => kinds.with(kind),
            (_, None) => kinds,
        }
    })
}

/// Runs the plan once more for those who want to look at it.
fn look(
    args: &Sim,
    plan: &Plan,
    trace: Option<&Path>,
    summary: &mut Summary,
) -> Result<(), Failure> {
    let chart = Chart::of(plan);
    let timeline = Rc::new(RefCell::new(Timeline::new(LINES)));
    let mut watchers: Vec<Box<dyn Watch>> = Vec::new();
    if args.html.is_some() {
        watchers.push(Box::new(chart.clone()));
    }
    if args.timeline {
        watchers.push(Box::new(Rc::clone(&timeline)));
    }
    if watchers.is_empty() {
        return Ok(());
    }
    let report = batch::caught(|| parley_xmpp::sim::run(plan, Default::default(), watchers));
    if args.timeline {
        for line in timeline.borrow().to_string().lines() {
            summary.line(Line(line).to_string());
        }
    }
    if let Some(file) = &args.html {
        if let Ok(report) = &report {
            chart.judged(&report.violations);
        }
        let again = trace.map_or_else(
            || again(args, plan.seed),
            |trace| format!("parley-xmpp sim --replay {}", quoted(trace)),
        );
        chart.command("Run again", &again);
        files::write(file, &chart.html())?;
        summary.drawn(file);
    }
    Ok(())
}

/// The command for this world, from its seed.
fn again(args: &Sim, seed: u64) -> String {
    if let Some(file) = &args.replay {
        return format!("parley-xmpp sim --replay {}", quoted(file));
    }
    let mut line = format!("parley-xmpp sim --seed {seed}");
    if let Some(personality) = args
        .personality
        .map(parley_xmpp::sim::server::Personality::from)
    {
        line.push_str(&format!(" --personality {personality:?}").to_lowercase());
    }
    if let Some(list) = &args.faults {
        line.push_str(&format!(" --faults {}", quoted(Path::new(list))));
    }
    let numbers = [
        ("fault-count", args.fault_count),
        ("hosts", args.hosts.map(u32::from)),
        ("rooms", args.rooms.map(u32::from)),
        ("posts", args.posts),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            line.push_str(&format!(" --{name} {number}"));
        }
    }
    line
}

/// The plan, as small as it can be made in some thousand runs.
fn shrunk(plan: &Plan, rule: Option<&'static str>) -> Plan {
    let Some(rule) = rule else {
        crate::say("warning: a plan that makes the program panic is not made smaller");
        return plan.clone();
    };
    let bar = bar(REPLAYS.into(), "runs to make the plan smaller");
    let small = shrink(plan, rule, REPLAYS, &mut |progress| {
        bar.set_position(progress.replays.into());
        bar.set_message(format!(", {} decisions left", progress.steps));
    });
    bar.finish_and_clear();
    small
}

/// A bar that shows itself where somebody looks.
fn bar(count: u64, what: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() || count < 2 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(count), ProgressDrawTarget::stderr());
    let template = format!("{{spinner}} {{wide_bar}} {{pos}}/{{len}} {what}{{msg}}, {{elapsed}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// The commands to see a run again, each with what it is for.
fn commands(trace: &Path) -> [(&'static str, String); 3] {
    let replay = format!("parley-xmpp sim --replay {}", quoted(trace));
    let page = quoted(&PathBuf::from(trace).with_extension("html"));
    [
        ("replay", format!("{replay} --timeline")),
        ("draw", format!("{replay} --html {page}")),
        ("shrink", format!("{replay} --shrink --html {page}")),
    ]
}

/// What a broken promise is to the shell.
fn failure(error: String, remedy: String) -> Failure {
    Failure::new(Exit::PromiseBroken, error, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_drawn_although_it_is_beyond() {
        for (list, beyond) in [
            ("standard", "none"),
            ("none", "none"),
            ("standard, drop-later", "drop-later"),
            ("expire,cut", "cut,expire"),
        ] {
            assert_eq!(named(list).to_string(), beyond, "{list}");
        }
        assert_eq!(named("all"), FaultKinds::all());
    }
}
