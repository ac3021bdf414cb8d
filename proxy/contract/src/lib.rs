//! The words the gateway's programs share: who may use which model, where it is served, and
//! which keys are valid.
//!
//! Every document arrives as text, is parsed once into [`Table`], and is trusted from then on.
//! A document that does not parse changes nothing; the caller keeps the last good one. Nothing
//! here reads a clock, a file or the network.

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
pub use issuer::{ClaimPath, InvalidIssuer, Issuer};
pub use key::{
    Hashing, InvalidKey, InvalidKeyHash, InvalidKeyRecord, KeyHash, KeyId, KeyRecord, KeyState,
    Owner, Pepper, SecretKey,
};
pub use model::{InvalidModelId, ModelId, ModelPattern};
pub use provider::{Authorities, Credential, CredentialHeader, InvalidProvider, Provider};
pub use resource::{InvalidResourceName, ResourceName, ResourcePattern};
pub use route::{Entries, InvalidRoute, Limits, Route, RouteMatch, Served, Upstream};
pub use secret::Secret;
pub use settings::{CorsOrigins, InvalidSettings, Settings};
pub use table::{InvalidTable, Table, document};
pub use text::{Chain, plain};
pub use timeouts::{InvalidTimeouts, Timeouts};
