//! The custom resource definitions, as installed in a cluster.

use crate::{
    ApiKeyResource, LLMModel, PassthroughModel,
    rule::{at_creation, rule},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

/// Kubernetes' pattern for quantities.
const QUANTITY: &str = concat!(
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))",
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
);

/// The definitions of LLMModel, PassthroughModel and ApiKey, in this order.
///
/// Install these, not `LLMModel::crd()` and the like: those lack the rules for names.
///
/// # Errors
/// If a definition does not survive a round trip through JSON, which these types do not cause.
pub fn definitions() -> Result<[CustomResourceDefinition; 3], serde_json::Error> {
    let service = at_creation(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",
        "metadata.name is used as a Service name: at most 63 lowercase letters, digits and `-`, \
         starting with a letter and not ending with `-`",
    );
    let label = at_creation(
        "size(self.metadata.name) <= 63",
        "metadata.name is used as a label value: at most 63 characters",
    );
    let key_id = rule(
        "self.metadata.name.matches('^[a-z2-7]{12}$')",
        "metadata.name must be the public part of the key: 12 characters of a-z and 2-7",
    );
    let not_itself = rule(
        "!has(self.spec.replaces) || self.spec.replaces.id != self.metadata.name",
        "spec.replaces.id must name another key",
    );
    Ok([
        finish(LLMModel::crd(), json!([service]))?,
        finish(PassthroughModel::crd(), json!([label]))?,
        finish(ApiKeyResource::crd(), json!([key_id, not_itself]))?,
    ])
}

fn finish(
    definition: CustomResourceDefinition,
    rules: Value,
) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut definition = serde_json::to_value(definition)?;
    if let Some(schema) = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        adapt(schema);
        if let Some(root) = schema.as_object_mut() {
            root.remove("title");
            root.insert("x-kubernetes-validations".into(), rules);
        }
    }
    serde_json::from_value(definition)
}

/// Adapts a derived schema to Kubernetes, recursively.
fn adapt(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(adapt),
        Value::Object(object) => {
            adapt_object(object);
            object.values_mut().for_each(adapt);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn adapt_object(object: &mut Map<String, Value>) {
    // As in the first release, nothing is nullable; a null is replaced by the default, if any.
    if object.get("nullable") == Some(&json!(true)) {
        object.remove("nullable");
    }
    // Kubernetes has no unsigned integers.
    if object.get("format").is_some_and(|format| format == "uint32") {
        object.insert("format".into(), json!("int64"));
        object.entry("maximum").or_insert_with(|| json!(u32::MAX));
    }
    // Quantities are the only int-or-string values in these kinds.
    if object.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
        object.insert("anyOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
        object.insert("pattern".into(), json!(QUANTITY));
        object.remove("type");
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = reflow(text);
    }
}

/// Joins the lines of each paragraph.
fn reflow(text: &str) -> String {
    let paragraphs = text.trim().split("\n\n");
    let joined = paragraphs.map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" "));
    joined.collect::<Vec<_>>().join("\n\n")
}
