//! Which files of a repository are wanted.
//!
//! Patterns mean what they mean to `hf download`: `*` crosses folders, and a pattern that ends
//! with `/` means all that is below.

use crate::name::FilePath;
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use std::str::FromStr;

/// A pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 256;

/// One pattern, as the user wrote it.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    glob: Glob,
}

/// Which files are wanted: those that match an `include` pattern, or all if there is none, and
/// no `exclude` pattern.
#[derive(Debug)]
pub(crate) struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

/// Why a text is no pattern.
#[derive(Debug, thiserror::Error)]
pub enum InvalidPattern {
    /// Nothing to match.
    #[error("a pattern is 1 to {PATTERN_BYTES_MAX} bytes long")]
    Length,
    /// Its form.
    #[error("not a pattern such as `*.safetensors`")]
    Form(#[source] globset::Error),
}

impl Filter {
    pub(crate) fn new(include: &[Pattern], exclude: &[Pattern]) -> Result<Self, globset::Error> {
        let include = if include.is_empty() { None } else { Some(set(include)?) };
        Ok(Self { include, exclude: set(exclude)? })
    }

    pub(crate) fn wants(&self, path: &FilePath) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path))
            && !self.exclude.is_match(path)
    }
}

fn set(patterns: &[Pattern]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(pattern.glob.clone());
    }
    set.build()
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if !(1..=PATTERN_BYTES_MAX).contains(&text.len()) {
            return Err(InvalidPattern::Length);
        }
        let whole = if text.ends_with('/') { format!("{text}*") } else { text.to_owned() };
        let glob = GlobBuilder::new(&whole).backslash_escape(false).build();
        Ok(Self { text: text.to_owned(), glob: glob.map_err(InvalidPattern::Form)? })
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(include: &[&str], exclude: &[&str], path: &str) -> bool {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let (include, exclude): (Vec<_>, Vec<_>) = (patterns(include), patterns(exclude));
        Filter::new(&include, &exclude).unwrap().wants(&path.to_owned().try_into().unwrap())
    }

    #[test]
    fn patterns_mean_what_they_mean_to_hf() {
        for (include, exclude, path, wanted) in [
            (&[] as &[&str], &[] as &[&str], "a/b.bin", true),
            (&["*.json"], &[], "a/b.json", true),
            (&["*.json"], &[], "a/b.bin", false),
            (&[], &["original/"], "original/a/b.pth", false),
            (&["*.json", "*.bin"], &["a/*"], "a/b.json", false),
            (&["model-0000[1-2]*"], &[], "model-00002-of-4.bin", true),
            (&["a\\b"], &[], "a\\b", true),
        ] {
            assert_eq!(wants(include, exclude, path), wanted, "{include:?} {exclude:?} {path}");
        }
    }
}
