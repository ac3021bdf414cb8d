//! What the edge's objects have in common, and how two JSON values compare.

use crate::labels::MANAGED_BY;
use serde_json::{Map, Value, json};

const NAME: (&str, &str) = ("app.kubernetes.io/name", "shared-tls");
const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "routing");

/// The labels of everything the edge makes.
pub(super) fn labels() -> Value {
    let labels = [MANAGED_BY, NAME, COMPONENT].map(|(label, value)| (label.into(), json!(value)));
    Value::Object(Map::from_iter(labels))
}

/// Selects what carries them.
pub(super) fn selector() -> String {
    [MANAGED_BY, NAME, COMPONENT].map(|(label, value)| format!("{label}={value}")).join(",")
}

/// Whether the operator made an object.
pub(super) fn is_ours(object: &Value) -> bool {
    let labels = object.pointer("/metadata/labels");
    labels.and_then(|it| text(it, MANAGED_BY.0)) == Some(MANAGED_BY.1)
}

/// The name of an object.
pub(super) fn name(object: &Value) -> &str {
    object.get("metadata").and_then(|it| text(it, "name")).unwrap_or_default()
}

/// A field that holds text.
pub(super) fn text<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get(field).and_then(Value::as_str)
}

/// A field that holds a list; an absent one is empty.
pub(super) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether an object already says everything that another one says. Fields that only the live one
/// has were filled in by the API server or belong to somebody else; lists are compared whole.
pub(super) fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(field, wanted)| live.get(field).is_some_and(|live| covers(live, wanted))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        (live, wanted) => live == wanted,
    }
}

/// The condition of a type, among the conditions of a status.
pub(super) fn condition<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    list(status, "/conditions").iter().find(|it| text(it, "type") == Some(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_added_does_not_matter_and_what_somebody_changed_does() {
        let wanted = json!({"spec": {"names": ["a", "b"], "issuer": {"name": "i"}}});
        for (live, covered) in [
            (json!({"spec": {"names": ["a", "b"], "issuer": {"name": "i", "kind": "K"}}}), true),
            (json!({"spec": {"names": ["a", "b", "c"], "issuer": {"name": "i"}}}), false),
            (json!({"spec": {"names": ["b", "a"], "issuer": {"name": "i"}}}), false),
            (json!({"spec": {"names": ["a", "b"]}}), false),
        ] {
            assert_eq!(covers(&live, &wanted), covered, "{live}");
        }
    }
}
