//! Whether a live object already has everything a plan sets.

use crate::resources::units;
use serde_json::{Map, Value};

/// Fields below which numbers are quantities, which the API server normalizes.
const QUANTITIES: &[&str] = &["requests", "limits", "sizeLimit"];
/// Fields that identify list entries, so that others may add entries. A list of references, whose
/// entries have a `kind`, is atomic unless it is keyed by uid.
const KEYS: &[&str] = &["uid", "name", "mountPath"];

/// Whether a live value contains everything wanted. Additional live fields were defaulted by the
/// API server or belong to other managers.
pub fn covers(live: &Value, wanted: &Value) -> bool {
    contains(live, wanted, false)
}

fn contains(live: &Value, wanted: &Value, quantity: bool) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(field, wanted)| {
            let quantity = quantity || QUANTITIES.contains(&field.as_str());
            match live.get(field) {
                Some(live) => contains(live, wanted, quantity),
                None => is_empty(wanted),
            }
        }),
        (Value::Array(live), Value::Array(wanted)) => list_contains(live, wanted, quantity),
        (Value::String(live), Value::String(wanted)) if quantity => same_quantity(live, wanted),
        (live, wanted) => live == wanted,
    }
}

fn list_contains(live: &[Value], wanted: &[Value], quantity: bool) -> bool {
    if wanted.is_empty() {
        return live.is_empty();
    }
    let is_key = |key: &str| {
        let has = |field: &str| wanted.iter().all(|entry| entry.get(field).is_some());
        has(key) && (key == "uid" || !has("kind"))
    };
    let Some(key) = KEYS.iter().find(|key| is_key(key)) else {
        return live.len() == wanted.len()
            && live.iter().zip(wanted).all(|(live, wanted)| contains(live, wanted, quantity));
    };
    wanted.iter().all(|wanted| {
        let mut entries = live.iter().filter(|live| live.get(key) == wanted.get(key));
        entries.any(|live| contains(live, wanted, quantity))
    })
}

/// The API server omits empty values.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(entries) => entries.is_empty(),
        Value::Object(fields) => Map::is_empty(fields),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

fn same_quantity(one: &str, other: &str) -> bool {
    one == other || matches!((units(one), units(other)), (Some(one), Some(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_others_added_does_not_matter_and_what_they_changed_does() {
        let wanted = json!({"spec": {
            "args": ["--model", "x"],
            "containers": [{"name": "vllm", "image": "a", "env": [{"name": "A", "value": "1"}]}],
            "resources": {"limits": {"cpu": "0.5", "memory": "1Gi"}},
            "replicas": 1,
            "ingress": [],
            "unset": null,
        }});
        let live = json!({"spec": {
            "args": ["--model", "x"],
            "containers": [
                {"name": "sidecar"},
                {"name": "vllm", "image": "a", "env": [{"name": "B"}, {"name": "A", "value": "1"}], "x": 1},
            ],
            "resources": {"limits": {"cpu": "500m", "memory": "1024Mi"}},
            "replicas": 1,
            "filled": "in",
        }});
        assert!(covers(&live, &wanted));
        for (path, value) in [
            ("/spec/args", json!(["--model", "y"])),
            ("/spec/args", json!(["--model", "x", "--more"])),
            ("/spec/containers/1/image", json!("b")),
            ("/spec/containers/1/env", json!([])),
            ("/spec/resources/limits/cpu", json!("501m")),
            ("/spec/replicas", json!("1")),
        ] {
            let mut live = live.clone();
            *live.pointer_mut(path).unwrap() = value.clone();
            assert!(!covers(&live, &wanted), "{path} {value}");
        }
    }

    #[test]
    fn fields_are_compared_deeply_and_unkeyed_lists_as_a_whole() {
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

    #[test]
    fn a_list_of_references_is_covered_only_without_additional_entries() {
        let reference = |name: &str| json!({"kind": "Service", "name": name});
        let wanted = json!([reference("a")]);
        assert!(covers(&json!([{"kind": "Service", "name": "a", "weight": 1}]), &wanted));
        assert!(!covers(&json!([reference("a"), reference("b")]), &wanted));
        let owner = |uid: &str| json!({"kind": "LLMModel", "name": "a", "uid": uid});
        assert!(covers(&json!([owner("1"), owner("2")]), &json!([owner("2")])));
    }

    #[test]
    fn an_empty_list_that_is_wanted_is_not_covered_by_one_with_entries() {
        let wanted = json!({"ingress": []});
        assert!(covers(&json!({}), &wanted));
        assert!(!covers(&json!({"ingress": [{}]}), &wanted));
    }

    #[test]
    fn only_quantities_are_compared_by_value() {
        assert!(!covers(&json!({"value": "1000m"}), &json!({"value": "1"})));
        assert!(covers(
            &json!({"requests": {"storage": "1Ti"}}),
            &json!({"requests": {"storage": "1024Gi"}})
        ));
    }
}
