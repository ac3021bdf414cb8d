//! The entries through which callers reach the proxies: the certificate for both host names and,
//! with Gateways of the platform, their listeners, the grants these need, and one route from each
//! listener to the proxies.
//!
//! There is one edge per installation, reconciled by the leader: it observes, plans, applies, and
//! publishes whether each entry is ready, which is reported in the status of models. Listeners and
//! fields of others are left byte for byte. cert-manager and the Gateway API may be missing, or be
//! installed later.

pub mod settings;
mod run;
mod observed;
mod observe;
mod manifest;
mod certificate;
mod grants;
mod listeners;
mod http_routes;
mod plan;
mod apply;
mod readiness;
mod watch;
mod debounce;

pub use readiness::{EdgeState, Readiness};
pub use run::run;

#[cfg(test)]
mod tests;
