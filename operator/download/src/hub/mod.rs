//! The hub: the files of a repository, and their bytes.
//!
//! A branch or tag is resolved to a commit once, and every file is requested at that commit. The
//! hub redirects large files to other hosts; the token is sent to the hub alone.

mod access;
mod error;
mod listing;
mod retry;
mod client;

pub(crate) use access::{HubEndpoint, HubToken, InvalidHubEndpoint, InvalidHubToken};
pub(crate) use client::Hub;
pub(crate) use error::HubError;
pub(crate) use listing::{FILES_MAX, InvalidListing, parse_path};
pub(crate) use retry::RetryPolicy;
