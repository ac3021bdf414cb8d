//! Who is calling: API keys and tokens of OIDC issuers.

pub mod key_verifier;
pub mod key_usage;
pub mod oidc;
