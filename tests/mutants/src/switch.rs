//! Writes the mutants into the sources, each behind a switch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{BinOp, Block, Expr, Signature, UnOp};

use crate::list::{Genre, Mutant, Position};

/// Where the copy has what cannot be switched: a number and the reason on each line.
pub const LEFT_OUT: &str = "not-switched.tsv";

/// Which mutant is on, of which the sources ask; and of which they asked, where that is wanted.
const SWITCH: &str = "
//! Written by tests/mutants: which of the mutants is on, and which were come by.
extern crate std;

use core::sync::atomic::{AtomicBool, Ordering};
use std::io::Write as _;
use std::sync::OnceLock;

pub(crate) fn on(mutant: u32) -> bool {
    static ON: OnceLock<(u32, Option<std::fs::File>)> = OnceLock::new();
    static REACHED: [AtomicBool; 1 + COUNT] = [const { AtomicBool::new(false) }; 1 + COUNT];
    let (on, reached) = ON.get_or_init(|| {
        let said = std::env::var(\"PARLEY_MUTANT\").ok();
        let reached = std::env::var_os(\"PARLEY_REACHED\").map(|path| {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            file.expect(\"a file for what is reached\")
        });
        (said.and_then(|said| said.parse().ok()).unwrap_or(0), reached)
    });
    if let Some(mut file) = reached.as_ref()
        && !REACHED[mutant as usize].swap(true, Ordering::Relaxed)
    {
        // One write for a line, whoever else writes.
        file.write_all(std::format!(\"{mutant}\\n\").as_bytes()).expect(\"a line is written\");
    }
    *on == mutant
}

const COUNT: usize = ";

/// Rewrites the sources of a copy until they compile.
///
/// # Errors
/// The copy has been rewritten before, or does not compile for a reason that is none of a
/// mutant's.
pub fn switch(copy: &Path, mutants: &[Mutant]) -> Result<()> {
    let lib = copy.join("src/lib.rs");
    let switch = copy.join("src/mutant.rs");
    ensure!(!switch.exists(), "{}: rewritten already", copy.display());
    let text = std::fs::read_to_string(&lib)?;
    std::fs::write(&lib, format!("{text}\npub(crate) mod mutant;\n"))?;
    std::fs::write(&switch, format!("{SWITCH}{};\n", mutants.len()))?;

    let files: BTreeSet<&str> = mutants.iter().map(|mutant| mutant.file.as_str()).collect();
    let mut sources = BTreeMap::new();
    for file in files {
        let path = copy.join(file);
        let text = std::fs::read_to_string(&path).with_context(|| file.to_owned())?;
        sources.insert(file, (path, text));
    }
    let mut left_out = BTreeMap::new();
    let mut callers = BTreeSet::new();
    loop {
        for (file, (path, text)) in &sources {
            let written = rewrite(file, text, mutants, &mut left_out);
            std::fs::write(path, written.with_context(|| (*file).to_owned())?)?;
        }
        for Caller { file, function } in &callers {
            let path = copy.join(file);
            let text = std::fs::read_to_string(&path).with_context(|| file.clone())?;
            let (constant, other) = (format!("const fn {function}"), format!("fn {function}"));
            std::fs::write(path, text.replace(&constant, &other))?;
        }
        let Refused { mutants, calls } = refused(copy)?;
        let more = callers.len();
        callers.extend(calls);
        if mutants.is_empty() {
            if callers.len() == more {
                break;
            }
            continue;
        }
        println!("{} that do not compile: {mutants:?}", mutants.len());
        for number in mutants {
            let before = left_out.insert(number, "does not compile, behind a switch");
            ensure!(
                before.is_none(),
                "{number} does not compile, and is left out"
            );
        }
    }
    let mut lines = String::new();
    for (number, why) in &left_out {
        let name = number.checked_sub(1).and_then(|at| mutants.get(at));
        let name = name.map_or("", |mutant| mutant.name.as_str());
        writeln!(lines, "{number}\t{why}\t{name}")?;
    }
    std::fs::write(copy.join(LEFT_OUT), lines)?;
    let switched = mutants.len() - left_out.len();
    println!("{switched} switched, {} not: {LEFT_OUT}", left_out.len());
    Ok(())
}

/// What the compiler does not take.
#[derive(Debug, Default)]
struct Refused {
    mutants: BTreeSet<usize>,
    /// Constant functions that call one that is none any more, with a mutant in it.
    calls: BTreeSet<Caller>,
}

/// A function, and the file that it is in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Caller {
    file: String,
    function: String,
}

/// Which constant function it is that calls what is none.
fn caller(copy: &Path, span: &serde_json::Value) -> Option<Caller> {
    let file = span["file_name"].as_str()?;
    let line = usize::try_from(span["line_start"].as_u64()?).ok()?;
    let text = std::fs::read_to_string(copy.join(file)).ok()?;
    let lines: Vec<&str> = text.lines().take(line).collect();
    let mut names = lines.iter().rev().filter_map(|line| {
        let (_, rest) = line.split_once("const fn ")?;
        rest.split(['(', '<']).next()
    });
    Some(Caller {
        file: file.into(),
        function: names.next()?.into(),
    })
}

fn refused(copy: &Path) -> Result<Refused> {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--lib", "--message-format=json", "--quiet"])
        .env("RUSTFLAGS", "--cap-lints=warn")
        .current_dir(copy)
        .output()?;
    let mut refused = Refused::default();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let message = &message["message"];
        if message["level"] != "error" {
            continue;
        }
        let spans = message["spans"].as_array().into_iter().flatten();
        let number = spans
            .filter(|span| span["is_primary"] == true)
            .find_map(of_mutant);
        let in_constant = message["message"].as_str().is_some_and(|said| {
            said.starts_with("cannot call non-const") && said.ends_with("in constant functions")
        });
        let mut spans = message["spans"].as_array().into_iter().flatten();
        if let Some(number) = number {
            refused.mutants.insert(number);
        } else if in_constant && let Some(caller) = spans.find_map(|span| caller(copy, span)) {
            refused.calls.insert(caller);
        } else if !message["spans"].as_array().is_none_or(Vec::is_empty) {
            bail!(
                "of no mutant: {}",
                message["rendered"].as_str().unwrap_or_default()
            );
        }
    }
    ensure!(
        output.status.success() || !refused.mutants.is_empty() || !refused.calls.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(refused)
}

/// Whose code that is: the mutant whose number stands right before it, or last before it in the
/// line.
fn of_mutant(span: &serde_json::Value) -> Option<usize> {
    let text = span["text"][0]["text"].as_str()?;
    let start = usize::try_from(span["text"][0]["highlight_start"].as_u64()?).ok()?;
    let end = usize::try_from(span["text"][0]["highlight_end"].as_u64()?).ok()?;
    let before: String = text.chars().take(start.saturating_sub(1)).collect();
    let within: String = text
        .chars()
        .take(end)
        .skip(start.saturating_sub(1))
        .collect();
    let number = |text: &str, mark: &str| -> Option<usize> {
        let (_, rest) = text.rsplit_once(mark)?;
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        rest.get(..digits)?.parse().ok()
    };
    let operator = before.trim_end().strip_suffix("*/");
    operator
        .and_then(|before| number(before, "/*"))
        .or_else(|| number(&within, "/*"))
        .or_else(|| number(&before, "mutant::on("))
        .or_else(|| number(&within, "mutant::on("))
}

/// Something of the text that is written in another way.
#[derive(Debug)]
struct Edit {
    range: Range<usize>,
    what: What,
}

#[derive(Debug)]
enum What {
    /// What stands between is written, with its own edits, around an operator, for each another.
    Binary {
        left: Range<usize>,
        op: Range<usize>,
        right: Range<usize>,
        others: Vec<(usize, String)>,
    },
    /// An operator that can be off.
    Unary {
        operand: Range<usize>,
        number: usize,
    },
    /// A condition that can be always true, or never.
    Guard {
        always: Option<usize>,
        never: Option<usize>,
    },
    /// A structure, of which fields can be left to its base.
    Fields(Vec<(usize, Range<usize>)>),
    /// Another text, where nothing or something was.
    Text(String),
}

struct Finder<'m> {
    by_place: BTreeMap<(Genre, Position), Vec<(usize, &'m Mutant)>>,
    edits: Vec<Edit>,
    left_out: &'m mut BTreeMap<usize, &'static str>,
    /// Within what is computed by the compiler.
    constant: bool,
    /// Within a `match` that has an arm for all that no other takes.
    has_rest: bool,
}

fn rewrite(
    file: &str,
    text: &str,
    mutants: &[Mutant],
    left_out: &mut BTreeMap<usize, &'static str>,
) -> Result<String> {
    let tree = syn::parse_file(text)?;
    let mut by_place: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (i, mutant) in mutants.iter().enumerate() {
        if mutant.file == file {
            let place = (mutant.genre, mutant.span.start);
            by_place.entry(place).or_default().push((i + 1, mutant));
        }
    }
    let mut finder = Finder {
        by_place,
        edits: Vec::new(),
        left_out,
        constant: false,
        has_rest: false,
    };
    finder.visit_file(&tree);
    for (number, _) in finder.by_place.into_values().flatten() {
        let why = "not found in the source";
        finder.left_out.entry(number).or_insert(why);
    }
    let mut edits = finder.edits;
    // The outer one before those in it, what is put before something before that.
    edits.sort_by_key(|edit| (edit.range.start, std::cmp::Reverse(edit.range.end)));
    edits.sort_by_key(|edit| (edit.range.start, !edit.range.is_empty()));
    let mut written = String::new();
    render(text, 0..text.len(), &edits, None, &mut written);
    Ok(written)
}

/// Writes a part of the text with the edits in it; `within` is the edit that it is a part of.
fn render(text: &str, part: Range<usize>, edits: &[Edit], within: Option<usize>, out: &mut String) {
    let mut at = part.start;
    for (i, edit) in edits.iter().enumerate() {
        let inside = edit.range.start >= at && edit.range.end <= part.end;
        if !inside || within.is_some_and(|within| i <= within) {
            continue;
        }
        out.push_str(&text[at..edit.range.start]);
        at = edit.range.end;
        let inner = |range: &Range<usize>, out: &mut String| {
            render(text, range.clone(), edits, Some(i), out);
        };
        match &edit.what {
            What::Text(text) => out.push_str(text),
            What::Binary {
                left,
                op,
                right,
                others,
            } => {
                out.push('(');
                for (number, other) in others {
                    let _ = write!(out, "if crate::mutant::on({number}) {{ ");
                    inner(left, out);
                    let _ = write!(out, " /*{number}*/ {other} ");
                    inner(right, out);
                    out.push_str(" } else ");
                }
                out.push_str("{ ");
                inner(left, out);
                let _ = write!(out, " {} ", &text[op.clone()]);
                inner(right, out);
                out.push_str(" })");
            }
            What::Unary { operand, number } => {
                let _ = write!(out, "(if crate::mutant::on({number}) {{ ");
                inner(operand, out);
                let _ = write!(
                    out,
                    " }} else {{ {} ",
                    &text[edit.range.start..operand.start]
                );
                inner(operand, out);
                out.push_str(" })");
            }
            What::Fields(fields) => {
                let Range { start, end } = edit.range;
                out.push('(');
                for (number, field) in fields {
                    let _ = write!(out, "if crate::mutant::on({number}) {{ ");
                    inner(&(start..field.start), out);
                    inner(&(field.end..end), out);
                    out.push_str(" } else ");
                }
                out.push_str("{ ");
                inner(&edit.range, out);
                out.push_str(" })");
            }
            What::Guard { always, never } => {
                let on = |number: &Option<usize>| match number {
                    Some(number) => format!("crate::mutant::on({number})"),
                    None => "false".into(),
                };
                let _ = write!(out, "!{} && ({} || (", on(never), on(always));
                inner(&edit.range, out);
                out.push_str("))");
            }
        }
    }
    out.push_str(&text[at..part.end]);
}

impl<'m> Finder<'m> {
    /// The mutants there, if they can be switched.
    fn take(
        &mut self,
        genre: Genre,
        span: Span,
        no: Option<&'static str>,
    ) -> Vec<(usize, &'m Mutant)> {
        let place = (genre, Position::from(span.start()));
        let found = self.by_place.remove(&place).unwrap_or_default();
        let no = no.or(self.constant.then_some("a constant"));
        if let Some(why) = no {
            for (number, _) in &found {
                self.left_out.entry(*number).or_insert(why);
            }
        }
        let left_out = &self.left_out;
        let switched = |(number, _): &(usize, &Mutant)| !left_out.contains_key(number);
        found.into_iter().filter(switched).collect()
    }

    fn edit(&mut self, range: Range<usize>, what: What) {
        self.edits.push(Edit { range, what });
    }

    /// A function: other values that it gives, and no constant one if anything in it is switched.
    fn function(&mut self, sig: &Signature, body: &Block, inner: impl FnOnce(&mut Self)) {
        let before = self.edits.len();
        if let Some(first) = body.stmts.first() {
            let found = self.take(Genre::FnValue, first.span(), None);
            let mut text = String::new();
            for (number, mutant) in found {
                let none = mutant
                    .function
                    .as_ref()
                    .is_none_or(|f| f.return_type.is_empty());
                let value = if none { "" } else { &mutant.replacement };
                // There is no prelude of `std`.
                let value = value.replace("vec![", "alloc::vec![");
                let _ = write!(
                    text,
                    "\nif crate::mutant::on({number}) {{ return {}; }}",
                    value.replace('\n', " ")
                );
            }
            if !text.is_empty() {
                let at = body.brace_token.span.open().byte_range().end;
                text.push('\n');
                self.edit(at..at, What::Text(text));
            }
        }
        inner(self);
        if let (Some(constness), true) = (sig.constness, self.edits.len() > before) {
            self.edit(constness.span.byte_range(), What::Text(String::new()));
        }
    }

    fn constant(&mut self, inner: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.constant, true);
        inner(self);
        self.constant = before;
    }
}

/// Whether a condition binds something.
fn has_let(expr: &Expr) -> bool {
    match expr {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block, |finder| {
            visit::visit_item_fn(finder, item)
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block, |finder| {
            visit::visit_impl_item_fn(finder, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(body) = &item.default {
            self.function(&item.sig, body, |finder| {
                visit::visit_trait_item_fn(finder, item)
            });
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.constant(|finder| visit::visit_item_const(finder, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.constant(|finder| visit::visit_item_static(finder, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.constant(|finder| visit::visit_impl_item_const(finder, item));
    }

    fn visit_type(&mut self, item: &'ast syn::Type) {
        self.constant(|finder| visit::visit_type(finder, item));
    }

    fn visit_expr_binary(&mut self, expr: &'ast syn::ExprBinary) {
        let binds =
            matches!(expr.op, BinOp::And(_)) && (has_let(&expr.left) || has_let(&expr.right));
        let no = binds.then_some("a condition with let");
        let found = self.take(Genre::BinaryOperator, expr.op.span(), no);
        if !found.is_empty() {
            let others = found.into_iter();
            let others = others.map(|(number, mutant)| (number, mutant.replacement.clone()));
            self.edit(
                expr.span().byte_range(),
                What::Binary {
                    left: expr.left.span().byte_range(),
                    op: expr.op.span().byte_range(),
                    right: expr.right.span().byte_range(),
                    others: others.collect(),
                },
            );
        }
        visit::visit_expr_binary(self, expr);
    }

    fn visit_expr_unary(&mut self, expr: &'ast syn::ExprUnary) {
        if let UnOp::Not(_) | UnOp::Neg(_) = expr.op {
            for (number, _) in self.take(Genre::UnaryOperator, expr.op.span(), None) {
                let operand = expr.expr.span().byte_range();
                self.edit(expr.span().byte_range(), What::Unary { operand, number });
            }
        }
        visit::visit_expr_unary(self, expr);
    }

    fn visit_expr_struct(&mut self, expr: &'ast syn::ExprStruct) {
        let mut fields = Vec::new();
        for pair in expr.fields.pairs() {
            let (field, comma) = (pair.value(), pair.punct());
            let mut range = field.span().byte_range();
            range.end = comma.map_or(range.end, |comma| comma.span().byte_range().end);
            let found = self.take(Genre::StructField, field.span(), None);
            fields.extend(found.into_iter().map(|(number, _)| (number, range.clone())));
        }
        if !fields.is_empty() {
            self.edit(expr.span().byte_range(), What::Fields(fields));
        }
        visit::visit_expr_struct(self, expr);
    }

    fn visit_expr_match(&mut self, expr: &'ast syn::ExprMatch) {
        let mut arms = expr.arms.iter();
        let has_rest = arms.any(|arm| arm.guard.is_none() && matches!(arm.pat, syn::Pat::Wild(_)));
        let before = std::mem::replace(&mut self.has_rest, has_rest);
        visit::visit_expr_match(self, expr);
        self.has_rest = before;
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let no = (!self.has_rest).then_some("does not compile: no other arm takes it");
        for (number, _) in self.take(Genre::MatchArm, arm.span(), no) {
            let at = arm.pat.span().byte_range().end;
            let guard = format!(" if !crate::mutant::on({number})");
            self.edit(at..at, What::Text(guard));
        }
        if let Some((_, guard)) = &arm.guard {
            let found = self.take(Genre::MatchArmGuard, guard.span(), None);
            if !found.is_empty() {
                let by = |value: &str| {
                    let mut found = found.iter();
                    found
                        .find(|(_, mutant)| mutant.replacement == value)
                        .map(|found| found.0)
                };
                let (always, never) = (by("true"), by("false"));
                self.edit(guard.span().byte_range(), What::Guard { always, never });
            }
        }
        visit::visit_arm(self, arm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list::{Function, Span};

    fn mutant(genre: Genre, line: usize, column: usize, replacement: &str) -> Mutant {
        Mutant {
            name: String::new(),
            file: "f".into(),
            function: Some(Function {
                return_type: "-> bool".into(),
            }),
            span: Span {
                start: Position { line, column },
            },
            replacement: replacement.into(),
            genre,
        }
    }

    fn rewritten(text: &str, mutants: &[Mutant]) -> (String, Vec<usize>) {
        let mut left_out = BTreeMap::new();
        let text = rewrite("f", text, mutants, &mut left_out).expect("a source");
        syn::parse_file(&text).expect("still a source");
        (text, left_out.into_keys().collect())
    }

    #[test]
    fn operators_are_nested() {
        let (text, left_out) = rewritten(
            "fn f() -> bool { a == b && !c }",
            &[
                mutant(Genre::BinaryOperator, 1, 20, "!="),
                mutant(Genre::BinaryOperator, 1, 25, "||"),
                mutant(Genre::UnaryOperator, 1, 28, ""),
            ],
        );
        assert!(left_out.is_empty(), "{left_out:?}");
        let equal = "(if crate::mutant::on(1) { a /*1*/ != b } else { a == b })";
        let not = "(if crate::mutant::on(3) { c } else { ! c })";
        assert_eq!(
            text,
            format!(
                "fn f() -> bool {{ (if crate::mutant::on(2) {{ {equal} /*2*/ || {not} }} \
                 else {{ {equal} && {not} }}) }}"
            )
        );
    }

    #[test]
    fn values_arms_and_guards() {
        let (text, left_out) = rewritten(
            "const fn f(x: u8) -> bool {\n match x { 1 => true, 2 if y => z, _ => z }\n}",
            &[
                mutant(Genre::FnValue, 2, 2, "true"),
                mutant(Genre::MatchArm, 2, 12, ""),
                mutant(Genre::MatchArmGuard, 2, 28, "true"),
                mutant(Genre::MatchArmGuard, 2, 28, "false"),
            ],
        );
        assert!(left_out.is_empty(), "{left_out:?}");
        assert_eq!(
            text,
            " fn f(x: u8) -> bool {\nif crate::mutant::on(1) { return true; }\n\n match x { \
             1 if !crate::mutant::on(2) => true, \
             2 if !crate::mutant::on(4) && (crate::mutant::on(3) || (y)) => z, _ => z }\n}"
        );
    }

    #[test]
    fn fields_of_the_base() {
        let (text, left_out) = rewritten(
            "fn f() -> S { S { a: b == c, d, ..self.e } }",
            &[
                mutant(Genre::StructField, 1, 19, ""),
                mutant(Genre::BinaryOperator, 1, 24, "!="),
                mutant(Genre::StructField, 1, 30, ""),
            ],
        );
        assert!(left_out.is_empty(), "{left_out:?}");
        let equal = "(if crate::mutant::on(2) { b /*2*/ != c } else { b == c })";
        assert_eq!(
            text,
            format!(
                "fn f() -> S {{ (if crate::mutant::on(1) {{ S {{  d, ..self.e }} }} \
                 else if crate::mutant::on(3) {{ S {{ a: {equal},  ..self.e }} }} \
                 else {{ S {{ a: {equal}, d, ..self.e }} }}) }}"
            )
        );
    }

    #[test]
    fn an_arm_goes_where_another_takes_what_it_took() {
        let (text, left_out) = rewritten(
            "fn f() -> bool { match x { _ if y => z, A => true, B => match q { 1 => a, _ => b } } }",
            &[
                mutant(Genre::MatchArm, 1, 41, ""),
                mutant(Genre::MatchArm, 1, 52, ""),
                mutant(Genre::MatchArm, 1, 67, ""),
            ],
        );
        assert_eq!(left_out, [1, 2]);
        assert!(text.contains("match q { 1 if !crate::mutant::on(3) => a, _ => b }"));
    }

    #[test]
    fn what_cannot_be_switched_is_said() {
        let source = "const A: u8 = 1 + 2;\nfn f() -> bool { if let Some(x) = y && x == z { q } }";
        let (text, left_out) = rewritten(
            source,
            &[
                mutant(Genre::BinaryOperator, 1, 17, "-"),
                mutant(Genre::BinaryOperator, 2, 37, "||"),
                mutant(Genre::BinaryOperator, 2, 42, "!="),
                mutant(Genre::StructField, 2, 50, ""),
            ],
        );
        assert_eq!(left_out, [1, 2, 4]);
        assert!(text.contains("&& (if crate::mutant::on(3) { x /*3*/ != z } else { x == z }) {"));
    }
}
