//! Files generated from the types: definitions for the chart, reference pages.

mod files;
mod manifest;
mod page;
mod field_table;
mod condition_page;

pub use files::{GenerateError, GeneratedFile, manifests, pages};
