//! The types that the gateway's programs share: routes, access, keys, and the push protocol.
//!
//! A document is parsed once, into [`Table`] or a [`push::Resource`]; one that does not parse
//! changes nothing, and the caller keeps the last good one. Nothing here reads a clock, a file or
//! the network.

#![warn(missing_docs)]

mod access;
mod issuer;
mod key;
mod model;
mod provider;
mod resource;
mod route;
mod secret;
mod settings;
mod table;
mod text;
mod timeouts;
pub mod push;

pub use access::{Access, Group, InvalidAccess, InvalidGroup};
pub use issuer::{InvalidIssuer, Issuer, is_loopback};
pub use key::{
    Hashing, InvalidKey, InvalidKeyHash, InvalidKeyRecord, KeyHash, KeyId, KeyRecord, KeyState,
    Owner, Pepper, SecretKey,
};
pub use model::{InvalidModelId, ModelId, ModelPattern};
pub use provider::{Authorities, Credential, CredentialHeader, InvalidProvider, Provider};
pub use resource::{InvalidResourceName, ResourceName, ResourcePattern};
pub use route::{Entries, InvalidRoute, RequestLimits, Route, RouteMatch, Served, Upstream};
pub use secret::Secret;
pub use settings::{CorsOrigins, InvalidSettings, Settings};
pub use table::{InvalidTable, Table, document};
pub use text::{Chain, plain};
pub use timeouts::{InvalidTimeouts, Timeouts};
