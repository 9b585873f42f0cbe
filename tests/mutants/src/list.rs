//! What could be changed, as cargo-mutants lists it.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One change. Its number is its place in the list, from 1.
#[derive(Clone, Debug, Deserialize)]
pub struct Mutant {
    /// What and where, for people.
    pub name: String,
    /// From the root of the repository.
    pub file: String,
    pub function: Option<Function>,
    pub span: Span,
    pub replacement: String,
    pub genre: Genre,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Function {
    /// With `-> ` before it; nothing if nothing is given.
    pub return_type: String,
}

/// A range of the text: lines and columns of characters, both from 1.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Span {
    pub start: Position,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl From<proc_macro2::LineColumn> for Position {
    fn from(at: proc_macro2::LineColumn) -> Self {
        Self {
            line: at.line,
            column: at.column + 1,
        }
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
pub enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
}

/// Reads a list.
///
/// # Errors
/// The file cannot be read, or is no such list.
pub fn read(path: &Path) -> Result<Vec<Mutant>> {
    let text = std::fs::read(path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| format!("{}: no list", path.display()))
}
