//! The definitions of the three kinds, as a cluster gets them.

use crate::{
    ApiKeyResource, LLMModel, PassthroughModel,
    rule::{at_creation, rule},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

/// What Kubernetes accepts as a quantity.
const QUANTITY: &str = concat!(
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))",
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$",
);

/// The definitions of LLMModel, PassthroughModel and ApiKey, in this order.
///
/// These are what is installed. `LLMModel::crd()` and its like are what they are made from, and
/// lack the rules over names.
///
/// # Errors
/// None that these types can cause.
pub fn definitions() -> Result<[CustomResourceDefinition; 3], serde_json::Error> {
    let service = at_creation(
        "self.metadata.name.matches('^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$')",
        "metadata.name becomes the name of a Service: at most 63 lower-case letters, digits and \
         `-`, the first a letter, the last no `-`",
    );
    let label = at_creation(
        "size(self.metadata.name) <= 63",
        "metadata.name becomes the value of a label: at most 63 characters",
    );
    let key_id = rule(
        "self.metadata.name.matches('^[a-z2-7]{12}$')",
        "metadata.name must be the public part of the key: 12 characters of a-z and 2-7",
    );
    let itself = rule(
        "!has(self.spec.replaces) || self.spec.replaces.id != self.metadata.name",
        "spec.replaces.id must be the name of another key",
    );
    Ok([
        finish(LLMModel::crd(), json!([service]))?,
        finish(PassthroughModel::crd(), json!([label]))?,
        finish(ApiKeyResource::crd(), json!([key_id, itself]))?,
    ])
}

fn finish(
    definition: CustomResourceDefinition,
    rules: Value,
) -> Result<CustomResourceDefinition, serde_json::Error> {
    let mut definition = serde_json::to_value(definition)?;
    if let Some(schema) = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        tune(schema);
        if let Some(root) = schema.as_object_mut() {
            root.remove("title");
            root.insert("x-kubernetes-validations".into(), rules);
        }
    }
    serde_json::from_value(definition)
}

/// Makes a derived schema say what ours are to say, all the way down.
fn tune(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(tune),
        Value::Object(object) => {
            tune_object(object);
            object.values_mut().for_each(tune);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn tune_object(object: &mut Map<String, Value>) {
    // As in the first release nothing may be null; where there is a default, a null gives way to it.
    if object.get("nullable") == Some(&json!(true)) {
        object.remove("nullable");
    }
    // Kubernetes knows no unsigned integers.
    if object.get("format").is_some_and(|format| format == "uint32") {
        object.insert("format".into(), json!("int64"));
        object.entry("maximum").or_insert_with(|| json!(u32::MAX));
    }
    // Quantities are the only such values in these kinds.
    if object.get("x-kubernetes-int-or-string") == Some(&json!(true)) {
        object.insert("anyOf".into(), json!([{"type": "integer"}, {"type": "string"}]));
        object.insert("pattern".into(), json!(QUANTITY));
        object.remove("type");
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = unwrap(text);
    }
}

/// Joins the lines of each paragraph.
fn unwrap(text: &str) -> String {
    let paragraphs = text.trim().split("\n\n");
    let joined = paragraphs.map(|lines| lines.split_whitespace().collect::<Vec<_>>().join(" "));
    joined.collect::<Vec<_>>().join("\n\n")
}
