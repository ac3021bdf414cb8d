//! The push protocol: the route table as a set of named documents with a digest.
//!
//! The operator holds the [`Documents`] it compiled, a proxy those it received. Equal sets have
//! equal digests, whichever replica compiled them in whichever order, so a [`Change`] can start
//! from any of them and costs what it changes.

#[cfg(feature = "push")]
pub mod wire;
mod documents;
#[cfg(feature = "push")]
mod encoding;
#[cfg(feature = "push")]
mod chunks;
mod resource;
mod redacted;

#[cfg(feature = "push")]
pub use chunks::UpdateChunks;
pub use documents::{Change, Digest, DocumentHash, Documents, InvalidChange};
pub use redacted::{RedactedResource, RedactedTable, RefusedResource};
pub use resource::{InvalidResource, Kind, Name, Resource, redacted};
pub(crate) use resource::{parse_issuer, parse_route};
