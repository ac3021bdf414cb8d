//! The proxies: who they are, what they trust, and what each has in force.

mod tokens;
mod authority;
mod programmed;
mod used;

pub use authority::{NAME as AUTHORITY, Published, keep, serving};
pub use programmed::{Unsaid, report};
pub use tokens::Tokens;
pub use used::note_uses;
