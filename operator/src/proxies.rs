//! The proxies: how they authenticate, what they trust, and what each has in force.

mod token_review;
mod certificate_authority;
mod rollout_status;
mod last_used;

pub use certificate_authority::{AuthorityStore, NAME as AUTHORITY, maintain, serving_certificate};
pub use last_used::record_last_used;
pub use rollout_status::{PendingReports, report};
pub use token_review::TokenReviewer;
