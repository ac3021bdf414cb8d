//! What we ask an upstream to tell of a stream's tokens, and what of it the client must not see.

use crate::{
    stage::{accept::Operation, read::scan::UsageAsked},
    tables::RouteEntry,
    usage::{Hide, Shape},
};
use llm_contract::Upstream;

/// What to ask for, and what to hide: exactly what the client did not ask for.
///
/// A model server is asked for the total in every event, so that a stream which is cut can be
/// counted. A provider is asked for the total at the end: it may refuse vLLM's own option. The
/// other protocols tell their usage unasked.
pub fn hiding(operation: &Operation, route: &RouteEntry, asked: UsageAsked) -> (UsageAsked, Hide) {
    let is_served = matches!(route.route.upstream, Upstream::Served(_));
    let wanted = match (operation.shape, is_served) {
        (Shape::Chat | Shape::Completions | Shape::Audio, true) => UsageAsked::Continuous,
        (Shape::Chat | Shape::Completions, false) => UsageAsked::Yes,
        _ => UsageAsked::No,
    };
    let hide = match (asked, wanted) {
        (UsageAsked::No, UsageAsked::Yes) => Hide::UsageChunk,
        (UsageAsked::No, UsageAsked::Continuous) => Hide::UsageEverywhere,
        (UsageAsked::Yes, UsageAsked::Continuous) => Hide::ContinuousOnly,
        _ => Hide::Nothing,
    };
    (wanted, hide)
}
