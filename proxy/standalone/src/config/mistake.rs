//! What is wrong with a file, where, and in which line.

use std::{fmt, path::PathBuf};

/// A field of the file, such as `models[1].endpoints[0]`; the whole file if empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

/// One step from a value to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the field of this name.
    Field(String),
    /// To the item at this place, from 0.
    Item(usize),
}

/// One thing that is wrong. It never quotes a value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where.
    pub path: FieldPath,
    /// The line, from 1, if the text is known.
    pub line: Option<u64>,
    /// What is wrong, and what to write instead.
    pub message: String,
}

/// Everything that is wrong with a file; printed one per line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// The file.
    pub file: PathBuf,
    /// At least one, at most [`Mistakes::MAX`].
    pub all: Vec<Mistake>,
    /// The file and all it refers to: when one of them changes, the mistakes may be gone.
    pub files: Vec<PathBuf>,
}

impl FieldPath {
    /// The field of this name in the value that this path leads to.
    #[must_use]
    pub fn field(&self, name: &str) -> Self {
        self.step(Step::Field(name.to_owned()))
    }

    /// The item at this place in the list that this path leads to.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.step(Step::Item(index))
    }

    /// The steps from the file to the field.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    fn step(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }
}

impl Mistake {
    /// A mistake whose line is not known yet.
    pub fn new(path: &FieldPath, message: impl Into<String>) -> Self {
        Self { path: path.clone(), line: None, message: message.into() }
    }
}

impl Mistakes {
    /// How many mistakes are reported at a time.
    pub const MAX: usize = 100;
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if at == 0 => f.write_str(name)?,
                Step::Field(name) => write!(f, ".{name}")?,
                Step::Item(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Mistake {
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

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, mistake) in self.all.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            let space = if mistake.line.is_some() { "" } else { " " };
            write!(f, "{newline}{}:{space}{mistake}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
