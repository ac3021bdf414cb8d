//! The operator on a real control plane without nodes: the API server stores, defaults, validates
//! and collects, the controller manager makes pods, and nothing runs them.

mod support;
mod models;
mod takeover;
mod providers;
mod keys;
mod steadiness;
mod faults;
