//! Request bodies: scanned without building a tree, edited in place.

pub mod json;
pub mod multipart;
pub mod edits;
