//! Fields that are set but have no effect, reported in the `Ignored` condition.

use llm_crd::{
    ApiKeySpec, ConditionType, Finding, LLMModelSpec, ModelLimits, PassthroughModelSpec, Reason,
    Source,
};

const NOT_YET: &str = "has no effect in this version";
const NO_HUB: &str = "has no effect: the weights are not downloaded from a hub";

/// Whether a field is set, its path, and why it has no effect.
type Row = (bool, &'static str, &'static str);

/// A field that is set but has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IgnoredField {
    path: &'static str,
    why: &'static str,
}

pub(crate) fn of_model(spec: &LLMModelSpec) -> Vec<IgnoredField> {
    let external = spec.endpoints.as_ref().and_then(|endpoints| endpoints.external.as_ref());
    let pool = spec.advanced.as_ref().and_then(|advanced| advanced.inference_pool.as_ref());
    let model = &spec.model;
    let not_from_hub = model.source != Source::HuggingFace;
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let rows = [
        (spec.scaling.is_some(), "spec.scaling", NOT_YET),
        (spec.routing.is_some(), "spec.routing", NOT_YET),
        (spec.pricing.is_some(), "spec.pricing", NOT_YET),
        (
            external.is_some_and(|external| given(&external.subdomain)),
            "spec.endpoints.external.subdomain",
            "has no effect: all models share one host name",
        ),
        (
            pool.is_some_and(|pool| pool.scheduler_config.is_some()),
            "spec.advanced.inferencePool.schedulerConfig",
            "has no effect: the gateway balances load itself, see spec.routing.policy",
        ),
        (
            spec.resources.gpu.known_accelerator().is_none(),
            "spec.resources.gpu.type",
            "is not one of nvidia, amd, intel and none, and is treated as nvidia",
        ),
        (not_from_hub && given(&model.revision), "spec.model.revision", NO_HUB),
        (not_from_hub && given(&model.auth_secret_name), "spec.model.authSecretName", NO_HUB),
        (not_from_hub && model.preload.is_some(), "spec.model.preload", NO_HUB),
        (not_from_hub && model.files.is_some(), "spec.model.files", NO_HUB),
        (not_from_hub && given(&model.endpoint), "spec.model.endpoint", NO_HUB),
        (
            model.source != Source::Oci && given(&model.image),
            "spec.model.image",
            "has no effect: the weights do not come from an image",
        ),
    ];
    set(of_limits(spec.limits.as_ref()).into_iter().chain(rows))
}

pub(crate) fn of_provider(spec: &PassthroughModelSpec) -> Vec<IgnoredField> {
    let pricing = (spec.pricing.is_some(), "spec.pricing", NOT_YET);
    set(of_limits(spec.limits.as_ref()).into_iter().chain([pricing]))
}

pub(crate) fn of_key(spec: &ApiKeySpec) -> Vec<IgnoredField> {
    let limits = spec.limits.unwrap_or_default();
    set([
        (limits.requests_per_minute.is_some(), "spec.limits.requestsPerMinute", NOT_YET),
        (limits.tokens_per_minute.is_some(), "spec.limits.tokensPerMinute", NOT_YET),
    ])
}

pub(crate) fn finding(ignored: &[IgnoredField]) -> Finding {
    if ignored.is_empty() {
        let message = "every field that is set takes effect";
        return Finding::new(ConditionType::Ignored, Reason::NothingIgnored, message);
    }
    let fields: Vec<_> = ignored.iter().map(|it| format!("{} {}", it.path, it.why)).collect();
    Finding::new(ConditionType::Ignored, Reason::FieldsIgnored, fields.join("; "))
}

fn of_limits(limits: Option<&ModelLimits>) -> [Row; 4] {
    let is_set = |field: fn(&ModelLimits) -> bool| limits.is_some_and(field);
    [
        (is_set(|it| it.requests_per_minute.is_some()), "spec.limits.requestsPerMinute", NOT_YET),
        (is_set(|it| it.tokens_per_minute.is_some()), "spec.limits.tokensPerMinute", NOT_YET),
        (is_set(|it| it.queue.is_some()), "spec.limits.queue", NOT_YET),
        (is_set(|it| it.per_caller.is_some()), "spec.limits.perCaller", NOT_YET),
    ]
}

fn set(rows: impl IntoIterator<Item = Row>) -> Vec<IgnoredField> {
    let set = rows.into_iter().filter(|(is_set, ..)| *is_set);
    set.map(|(_, path, why)| IgnoredField { path, why }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_crd::LLMModel;
    use serde_json::{Value, json};

    /// The paths of the ignored fields of a model with more fields of the spec.
    fn paths(more: &Value) -> Vec<&'static str> {
        let mut spec = json!({
            "model": {"name": "a/b", "source": "huggingface"},
            "resources": {"gpu": {"count": 2}},
            "access": {"public": true},
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let model: LLMModel =
            serde_json::from_value(json!({"metadata": {}, "spec": spec})).unwrap();
        of_model(&model.spec).into_iter().map(|it| it.path).collect()
    }

    #[test]
    fn a_minimal_model_has_no_ignored_fields() {
        assert_eq!(paths(&json!({})), [""; 0]);
    }

    #[test]
    fn fields_without_effect_are_named() {
        assert_eq!(
            paths(&json!({
                "limits": {"concurrency": 1, "tokensPerMinute": 5},
                "scaling": {"maxReplicas": 2},
                "serving": {"replicas": 2},
                "pricing": {"currency": "EUR", "inputPerMillion": 1.0, "outputPerMillion": 1.0},
                "endpoints": {"external": {"subdomain": "x"}},
                "advanced": {"inferencePool": {"schedulerConfig": {"any": "thing"}}},
            })),
            [
                "spec.limits.tokensPerMinute",
                "spec.scaling",
                "spec.pricing",
                "spec.endpoints.external.subdomain",
                "spec.advanced.inferencePool.schedulerConfig",
            ]
        );
    }

    #[test]
    fn an_unknown_type_of_gpu_is_named() {
        for (kind, ignored) in [("nvidia", 0), ("amd", 0), ("a100", 1), ("", 1)] {
            let found = paths(&json!({"resources": {"gpu": {"count": 2, "type": kind}}}));
            assert_eq!(found.len(), ignored, "{kind}");
        }
    }

    #[test]
    fn what_belongs_to_a_hub_has_no_effect_on_an_image() {
        let model = json!({
            "name": "a", "source": "oci", "image": "b", "revision": "c", "authSecretName": "d",
            "preload": false, "endpoint": "https://e.example", "files": {"include": ["f"]},
        });
        assert_eq!(paths(&json!({"model": model})).len(), 5);
    }
}
