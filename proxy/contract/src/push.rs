//! The push protocol: the route table as a set of named documents with a digest.
//!
//! The operator holds the [`Documents`] it compiled, a proxy those it received. Equal sets have
//! equal digests, whichever replica compiled them in whichever order, so a [`Change`] can start
//! from any of them and costs what it changes.

pub mod wire;
mod documents;
mod chunks;
mod resource;
mod redacted;

pub use chunks::UpdateChunks;
pub use documents::{Change, Digest, DocumentHash, Documents, InvalidChange};
pub use redacted::{RedactedResource, RedactedTable, RefusedResource};
pub use resource::{InvalidResource, Kind, Name, Resource, redacted};
pub(crate) use resource::{parse_issuer, parse_route};
