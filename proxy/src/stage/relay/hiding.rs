//! What we ask an upstream to tell of a stream's tokens, and what of it the client must not see.

use crate::{
    stage::{accept::Operation, read::scan::UsageReporting},
    tables::RouteEntry,
    usage::{UsageFilter, UsageFormat},
};
use llm_contract::Upstream;

/// What to ask for, and what to hide: exactly what the client did not ask for.
///
/// A model server is asked for the total in every event, so that a stream which is cut can be
/// counted. A provider is asked for the total at the end: it may refuse vLLM's own option. The
/// other protocols tell their usage unasked.
pub fn hiding(
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
    let hide = match (asked, wanted) {
        (UsageReporting::Off, UsageReporting::Total) => UsageFilter::FinalChunk,
        (UsageReporting::Off, UsageReporting::Continuous) => UsageFilter::All,
        (UsageReporting::Total, UsageReporting::Continuous) => UsageFilter::ContinuousOnly,
        _ => UsageFilter::Off,
    };
    (wanted, hide)
}
