//! Labels of the edge's objects, and accessors for JSON manifests.

use crate::labels::MANAGED_BY;
use serde_json::{Map, Value, json};

const NAME: (&str, &str) = ("app.kubernetes.io/name", "shared-tls");
const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "routing");

/// The labels of all objects of the edge.
pub(super) fn labels() -> Value {
    let labels = [MANAGED_BY, NAME, COMPONENT].map(|(label, value)| (label.into(), json!(value)));
    Value::Object(Map::from_iter(labels))
}

/// The selector for these labels.
pub(super) fn selector() -> String {
    [MANAGED_BY, NAME, COMPONENT].map(|(label, value)| format!("{label}={value}")).join(",")
}

/// Whether the operator created an object.
pub(super) fn is_ours(object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels");
    labels.and_then(|it| text(it, MANAGED_BY.0)) == Some(MANAGED_BY.1)
}

pub(super) fn name(object: &Value) -> &str {
    object.get("metadata").and_then(|it| text(it, "name")).unwrap_or_default()
}

pub(super) fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

/// The list at a pointer; empty if absent.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    list(status, "/conditions").iter().find(|it| text(it, "type") == Some(kind))
}
