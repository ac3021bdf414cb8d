//! Fields that are set and have no effect, of every kind.

use llm_crd::{
    ApiKeySpec, ConditionType, Finding, Ignored, LLMModelSpec, Limits, PassthroughModelSpec, Reason,
};

const NOT_YET: &str = "has no effect in this version";

/// Of a model.
pub(crate) fn of_model(spec: &LLMModelSpec) -> Vec<Ignored> {
    let scaling = spec.scaling.is_some();
    let mut ignored = of_limits(spec.limits.as_ref());
    ignored.extend(not_yet([
        (scaling, "spec.scaling"),
        (spec.routing.is_some(), "spec.routing"),
        (spec.pricing.is_some(), "spec.pricing"),
    ]));
    // Without scaling the number of replicas is what counts.
    let rest =
        spec.ignored().into_iter().filter(|it| !(scaling && it.path == "spec.serving.replicas"));
    ignored.extend(rest);
    ignored
}

/// Of a provider.
pub(crate) fn of_provider(spec: &PassthroughModelSpec) -> Vec<Ignored> {
    let mut ignored = of_limits(spec.limits.as_ref());
    ignored.extend(not_yet([(spec.pricing.is_some(), "spec.pricing")]));
    ignored
}

/// Of a key.
pub(crate) fn of_key(spec: &ApiKeySpec) -> Vec<Ignored> {
    let limits = spec.limits.unwrap_or_default();
    let rows = [
        (limits.requests_per_minute.is_some(), "spec.limits.requestsPerMinute"),
        (limits.tokens_per_minute.is_some(), "spec.limits.tokensPerMinute"),
    ];
    not_yet(rows).collect()
}

/// What to say of a resource; `ignored` is what was found.
pub(crate) fn finding(ignored: &[Ignored]) -> Finding {
    if ignored.is_empty() {
        let message = "every field that is set has its effect";
        return Finding::new(ConditionType::Ignored, Reason::NothingIgnored, message);
    }
    let fields: Vec<_> = ignored.iter().map(|it| format!("{} {}", it.path, it.why)).collect();
    Finding::new(ConditionType::Ignored, Reason::FieldsIgnored, fields.join("; "))
}

fn of_limits(limits: Option<&Limits>) -> Vec<Ignored> {
    let Some(limits) = limits else { return Vec::new() };
    let rows = [
        (limits.requests_per_minute.is_some(), "spec.limits.requestsPerMinute"),
        (limits.tokens_per_minute.is_some(), "spec.limits.tokensPerMinute"),
        (limits.queue.is_some(), "spec.limits.queue"),
        (limits.per_caller.is_some(), "spec.limits.perCaller"),
    ];
    not_yet(rows).collect()
}

fn not_yet<const N: usize>(rows: [(bool, &'static str); N]) -> impl Iterator<Item = Ignored> {
    let set = rows.into_iter().filter(|(set, _)| *set);
    set.map(|(_, path)| Ignored { path, why: NOT_YET })
}
