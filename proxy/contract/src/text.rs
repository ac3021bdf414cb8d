//! Text for people.

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

/// A text that others wrote, without what would steer a terminal or show it in another order.
///
/// ```
/// assert_eq!(llm_contract::plain("ada\u{1b}[2J \u{202e}toor é"), "ada\u{fffd}[2J \u{fffd}toor é");
/// ```
pub fn plain(text: &str) -> String {
    text.replace(steers, "\u{fffd}")
}

/// Controls, and the marks that Unicode has for the direction of text (UAX #9, 2).
fn steers(it: char) -> bool {
    let directs = matches!(it, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}');
    directs || it.is_control()
}
