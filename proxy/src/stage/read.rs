//! What is asked? The whole body, kept so that it can be sent to several endpoints.

pub mod body_budget;
pub mod prompt;
pub mod scan;

pub use body_budget::{BodyBudget, BodyLimits};
pub use prompt::Prompt;
