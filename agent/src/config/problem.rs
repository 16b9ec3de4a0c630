//! What can be wrong with a configuration, as a person reads it: one line each, naming the place,
//! the key, what was found, what is allowed and what to do. Never the value of a secret.

use std::fmt;

/// Most problems that are listed; a file of garbage need not print a million lines.
const MOST_LISTED: usize = 100;

/// Where a key was set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// A file's path, or `$NAME` for an environment variable.
    pub source: String,
    /// The line in the file, from 1.
    pub line: Option<u32>,
}

impl Place {
    pub(super) fn file(source: &str, line: u32) -> Self {
        Self { source: source.to_owned(), line: Some(line) }
    }

    pub(super) fn whole(source: &str) -> Self {
        Self { source: source.to_owned(), line: None }
    }

    /// Reads back what `Display` wrote: the merge carries places as text.
    pub(super) fn from_origin(origin: &str) -> Self {
        let parsed = match origin.rsplit_once(':') {
            Some((source, line)) => line.parse().ok().map(|line| Self::file(source, line)),
            None => None,
        };
        parsed.unwrap_or_else(|| Self::whole(origin))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}", self.source),
            None => f.write_str(&self.source),
        }
    }
}

/// How a problem is taken at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// The agent does not start (exit code 78).
    Stops,
    /// The agent starts, ignores the key and shows a fault, so that a configuration may be rolled
    /// out before the package that knows it. `config check` refuses it all the same.
    Ignored,
}

/// One thing that is wrong, with its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File and line, or environment variable.
    pub place: Place,
    /// The dotted path of the key; empty where the whole source is meant.
    pub key: String,
    /// What was found, what is allowed, what to do.
    pub text: String,
    /// Whether it stops the start.
    pub weight: Weight,
}

impl Problem {
    pub(super) fn stops(place: Place, key: &str, text: impl Into<String>) -> Self {
        Self { place, key: key.to_owned(), text: text.into(), weight: Weight::Stops }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.as_str() {
            "" => write!(f, "{}: {}", self.place, self.text),
            key => write!(f, "{}: {key}: {}", self.place, self.text),
        }
    }
}

/// Why a configuration cannot be used: every problem that was found, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn of(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// The problems, in the order of the layers and of their lines.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

/// One line a problem.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().take(MOST_LISTED).enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        if self.problems.len() > MOST_LISTED { f.write_str("\nand more") } else { Ok(()) }
    }
}

impl std::error::Error for ConfigError {}

/// The known key that someone who wrote `typed` most likely meant.
pub(super) fn nearest<'a>(typed: &str, known: &[&'a str]) -> Option<&'a str> {
    let typed: Vec<char> = typed.chars().take(64).collect();
    let spelled: String = typed.iter().collect();
    known
        .iter()
        .map(|candidate| (distance(&typed, candidate), *candidate))
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.len() / 4
                || (spelled.len() >= 3 && candidate.starts_with(&spelled))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
fn distance(typed: &[char], known: &str) -> usize {
    let known: Vec<char> = known.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in typed.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in known.iter().enumerate() {
            let mut best = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == known[j - 1] && typed[i - 1] == *b {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[known.len()]
}
