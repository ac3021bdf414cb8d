//! Compiles custom resources into the route table.
//!
//! The compiler is pure: it is given what the cluster holds, in any order, and returns what that
//! changes in the table. The result depends on what exists, not on the order of events, so every
//! replica compiles the same documents; and a change costs no more than what it changes.
//!
//! Resources are written by anyone with access to their namespace. So the table holds nothing of
//! a namespace that is not managed, and a key is valid only for models of its own namespace,
//! unless it is in the operator's: only there are its groups trusted for the models of others.

pub mod feed;
mod compiler;
mod status;
mod id_owners;
mod served;
mod provider;
pub mod key;

pub use compiler::{Compiled, Compiler};
pub use status::{MissingSecret, RouteStatus};
