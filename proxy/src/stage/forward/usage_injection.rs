//! Requests the usage of streams from upstreams, and hides from clients what they did not request.

use crate::{
    stage::{accept::Operation, read::scan::UsageReporting},
    tables::RouteEntry,
    usage::{UsageFilter, UsageFormat},
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
    asked: UsageReporting,
) -> (UsageReporting, UsageFilter) {
    let is_served = matches!(route.route.upstream, Upstream::Served(_));
    let wanted = match (operation.usage_format, is_served) {
        (UsageFormat::Chat | UsageFormat::Completions | UsageFormat::Audio, true) => {
            UsageReporting::Continuous
        }
        (UsageFormat::Chat | UsageFormat::Completions, false) => UsageReporting::Total,
        _ => UsageReporting::Off,
    };
    let filter = match (asked, wanted) {
        (UsageReporting::Off, UsageReporting::Total) => UsageFilter::FinalChunk,
        (UsageReporting::Off, UsageReporting::Continuous) => UsageFilter::All,
        (UsageReporting::Total, UsageReporting::Continuous) => UsageFilter::ContinuousOnly,
        _ => UsageFilter::Off,
    };
    (wanted, filter)
}
