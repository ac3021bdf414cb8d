//! `ApiKey`: the stored part of an API key.

mod spec;
mod owner;
mod status;

pub use owner::{ApiKeyOwner, OwnerIdentity};
pub use spec::{ApiKeyResource, ApiKeySpec, Replaces};
pub use status::ApiKeyStatus;

#[cfg(test)]
mod tests;
