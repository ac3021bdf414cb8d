//! Verifies tokens (JWTs) of OIDC issuers found by discovery.
//!
//! A request calls [`Issuers::authenticate`], which does what is cheap first: a digest finds tokens
//! verified before; else the token is parsed, its `iss` picks one configured issuer, its audience
//! and times are checked, and only then a key of that issuer checks the signature. Names and
//! groups are read from verified claims only.
//!
//! A background task per issuer fetches its keys. A request never fetches; a key it does not know
//! (a rotation) makes the task refresh, once for all requests that wait, and seldom enough that
//! made-up keys cannot make us flood the issuer. The last good keys survive any outage.

mod issuer_config;
mod token_error;
mod issuers;
mod token;
mod claims;
mod jwk;
mod ring_provider;
mod discovery;
mod jwks_cache;
mod token_cache;
#[cfg(test)]
mod tests;

pub use claims::VerifiedClaims;
pub use issuer_config::{InvalidIssuer, IssuerConfig};
pub use issuers::{Issuers, VERIFIED_TOKENS_DEFAULT};
pub use token_error::TokenError;
