//! The proxies: who they are, what they trust, and what each has in force.

mod tokens;
mod authority;
mod programmed;

pub use authority::{Published, keep, serving};
pub use programmed::{Unsaid, report};
pub use tokens::Tokens;
