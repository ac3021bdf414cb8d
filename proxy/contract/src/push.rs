//! The route table as a set of named documents, so that a change costs what it changes.
//!
//! The operator holds a [`Documents`] of what it compiled, a proxy one of what it has in force.
//! Equal sets have equal digests, whichever replica compiled them and in whichever order.

#[cfg(feature = "push")]
pub mod wire;
mod documents;
#[cfg(feature = "push")]
mod chunks;
mod resource;
mod redacted;

#[cfg(feature = "push")]
pub use chunks::UpdateChunks;
pub use documents::{Change, Digest, DocumentHash, Documents, InvalidChange};
pub use redacted::{RedactedResource, RedactedTable, RefusedResource};
pub use resource::{InvalidResource, Kind, Name, Resource, redacted};
