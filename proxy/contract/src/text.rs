//! Errors as one line of text.

use std::{error::Error, fmt};

/// Displays an error and its causes on one line, each cause once.
///
/// ```
/// let error = "x".parse::<u8>().unwrap_err();
/// assert_eq!(llm_contract::Chain(&error).to_string(), "invalid digit found in string");
/// ```
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
