//! Server-side apply of plans, and pruning of objects that a plan no longer contains.
//!
//! Fields of other managers stay as they are, fields of ours are corrected. An object that already
//! matches its plan is not written. Nothing here depends on a kind.

mod applier;
mod covers;
mod error;
mod managers;
mod object;
mod removals;
mod request;

pub use applier::{Applier, Plan};
pub use covers::covers;
pub use error::{ApplyError, ObjectRef};
pub use object::{Object, short_hash};
pub(crate) use request::{delete, force_apply};
