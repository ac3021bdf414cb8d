//! Include and exclude patterns, as `hf download` understands them.
//!
//! `*` crosses folders, and a pattern that ends with `/` matches everything below.

use crate::name::FilePath;
use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use std::str::FromStr;

const PATTERN_BYTES_MAX: usize = 256;

#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    glob: Glob,
}

/// Selects files that match an `include` pattern, if there is any, and no `exclude` pattern.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

#[derive(Debug, thiserror::Error)]
pub enum InvalidPattern {
    #[error("a pattern is 1 to {PATTERN_BYTES_MAX} bytes long")]
    Length,
    #[error("not a pattern such as `*.safetensors`")]
    Glob(#[source] globset::Error),
}

impl Filter {
    pub(crate) fn new(include: &[Pattern], exclude: &[Pattern]) -> Result<Self, InvalidPattern> {
        let include = if include.is_empty() { None } else { Some(set(include)?) };
        Ok(Self { include, exclude: set(exclude)? })
    }

    pub(crate) fn matches(&self, path: &FilePath) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(path))
            && !self.exclude.is_match(path)
    }
}

fn set(patterns: &[Pattern]) -> Result<GlobSet, InvalidPattern> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(pattern.glob.clone());
    }
    set.build().map_err(InvalidPattern::Glob)
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        if !(1..=PATTERN_BYTES_MAX).contains(&text.len()) {
            return Err(InvalidPattern::Length);
        }
        let glob = if text.ends_with('/') { format!("{text}*") } else { text.to_owned() };
        let glob = GlobBuilder::new(&glob).backslash_escape(false).build();
        Ok(Self { text: text.to_owned(), glob: glob.map_err(InvalidPattern::Glob)? })
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

    fn matches(include: &[&str], exclude: &[&str], path: &str) -> bool {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let (include, exclude): (Vec<_>, Vec<_>) = (patterns(include), patterns(exclude));
        Filter::new(&include, &exclude).unwrap().matches(&path.to_owned().try_into().unwrap())
    }

    #[test]
    fn patterns_match_as_in_hf_download() {
        for (include, exclude, path, expected) in [
            (&[] as &[&str], &[] as &[&str], "a/b.bin", true),
            (&["*.json"], &[], "a/b.json", true),
            (&["*.json"], &[], "a/b.bin", false),
            (&[], &["original/"], "original/a/b.pth", false),
            (&["*.json", "*.bin"], &["a/*"], "a/b.json", false),
            (&["model-0000[1-2]*"], &[], "model-00002-of-4.bin", true),
            (&["a\\b"], &[], "a\\b", true),
        ] {
            assert_eq!(matches(include, exclude, path), expected, "{include:?} {exclude:?} {path}");
        }
    }
}
