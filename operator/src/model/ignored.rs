//! Fields that are set and have no effect yet.

use llm_crd::{Ignored, LLMModelSpec};

const NOT_YET: &str = "has no effect in this version";

/// What is set and has no effect.
pub(super) fn ignored(spec: &LLMModelSpec) -> Vec<Ignored> {
    let limits = spec.limits.as_ref();
    let scaling = spec.scaling.is_some();
    let rows = [
        (
            limits.is_some_and(|it| it.requests_per_minute.is_some()),
            "spec.limits.requestsPerMinute",
        ),
        (limits.is_some_and(|it| it.tokens_per_minute.is_some()), "spec.limits.tokensPerMinute"),
        (limits.is_some_and(|it| it.queue.is_some()), "spec.limits.queue"),
        (limits.is_some_and(|it| it.per_caller.is_some()), "spec.limits.perCaller"),
        (scaling, "spec.scaling"),
        (spec.routing.is_some(), "spec.routing"),
        (spec.pricing.is_some(), "spec.pricing"),
    ];
    let set = rows.into_iter().filter(|(set, _)| *set);
    let mut ignored: Vec<_> = set.map(|(_, path)| Ignored { path, why: NOT_YET }).collect();
    // Without scaling the number of replicas is what counts.
    let rest =
        spec.ignored().into_iter().filter(|it| !(scaling && it.path == "spec.serving.replicas"));
    ignored.extend(rest);
    ignored
}
