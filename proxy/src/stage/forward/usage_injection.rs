//! Requests the usage of streams from upstreams, and hides from clients what they did not request.

use crate::{
    stage::{accept::Operation, read::scan::UsageAsked},
    tables::RouteEntry,
    usage::{Hide, Shape},
};
use llm_contract::Upstream;

/// The usage to request of an upstream, and what of it to hide.
///
/// Model servers report the total in every event, so that a stream that is cut can be counted.
/// Providers report it at the end only, since they may reject vLLM's own option. The other
/// protocols always report their usage.
pub fn usage_injection(
    operation: &Operation,
    route: &RouteEntry,
    asked: UsageAsked,
) -> (UsageAsked, Hide) {
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
