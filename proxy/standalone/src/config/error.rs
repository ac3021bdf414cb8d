//! Errors in a configuration, with field and line.

use std::{fmt, path::PathBuf};

/// A field such as `models[1].endpoints[0]`; the whole file if empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<PathSegment>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathSegment {
    Field(String),
    Item(usize),
}

/// Never quotes a value, which may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    pub path: FieldPath,
    /// From 1; `None` until the path is looked up in the file.
    pub line: Option<u64>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// All errors of a file; prints as one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    pub file: PathBuf,
    /// At least one, at most [`ConfigErrors::MAX`].
    pub all: Vec<ConfigError>,
    /// The file and all it refers to: when one of them changes, the errors may be gone.
    pub files: Vec<PathBuf>,
}

impl FieldPath {
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.with(PathSegment::Field(name.to_owned()))
    }

    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.with(PathSegment::Item(index))
    }

    pub fn segments(&self) -> &[PathSegment] {
        &self.0
    }

    fn with(&self, segment: PathSegment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }
}

impl ConfigError {
    pub fn new(path: &FieldPath, message: impl Into<String>) -> Self {
        Self { path: path.clone(), line: None, message: message.into() }
    }

    /// An error of the file as a whole.
    pub fn of_file(message: impl Into<String>) -> Self {
        Self::new(&FieldPath::default(), message)
    }
}

impl ConfigErrors {
    pub const MAX: usize = 100;
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                PathSegment::Field(name) if at == 0 => f.write_str(name)?,
                PathSegment::Field(name) => write!(f, ".{name}")?,
                PathSegment::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "{line}: ")?;
        }
        if !self.path.0.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.all.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            let space = if error.line.is_some() { "" } else { " " };
            write!(f, "{newline}{}:{space}{error}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
