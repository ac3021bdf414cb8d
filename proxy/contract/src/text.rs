//! Text for people, and types that serde reads as text.

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

/// Replaces control and bidirectional characters with U+FFFD.
///
/// ```
/// assert_eq!(llm_contract::plain("ada\u{1b}[2J \u{202e}toor é"), "ada\u{fffd}[2J \u{fffd}toor é");
/// ```
pub fn plain(text: &str) -> String {
    text.replace(is_unsafe, "\u{fffd}")
}

/// Control characters, and the directional formatting characters of UAX #9, section 2.
fn is_unsafe(it: char) -> bool {
    let is_directional = matches!(it, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}');
    is_directional || it.is_control()
}

/// The conversions behind `#[serde(try_from = "String", into = "String")]`: `parse` and `Display`.
macro_rules! serde_as_text {
    ($type:ty, $error:ty) => {
        impl TryFrom<String> for $type {
            type Error = $error;
            fn try_from(text: String) -> Result<Self, $error> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    };
}

/// `serde_as_text`, `Display` and `Debug` of a newtype of `Arc<str>`.
macro_rules! str_newtype {
    ($type:ident, $error:ty) => {
        $crate::text::serde_as_text!($type, $error);

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

pub(crate) use {serde_as_text, str_newtype};
