//! Whether an object that is live says all that a plan says.

use crate::resources::quantity::units;
use serde_json::{Map, Value};

/// Fields below which numbers are quantities, which the API server writes in a form of its own.
const QUANTITIES: &[&str] = &["requests", "limits", "sizeLimit"];
/// Fields that name the entries of a list, so that others may add entries of their own.
const KEYS: &[&str] = &["uid", "name", "mountPath"];

/// Whether what is live says all that is wanted. What is only live was filled in by the API
/// server, or belongs to somebody else.
pub fn covers(live: &Value, wanted: &Value) -> bool {
    says(live, wanted, false)
}

fn says(live: &Value, wanted: &Value, quantity: bool) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted.iter().all(|(field, wanted)| {
            let quantity = quantity || QUANTITIES.contains(&field.as_str());
            match live.get(field) {
                Some(live) => says(live, wanted, quantity),
                None => is_empty(wanted),
            }
        }),
        (Value::Array(live), Value::Array(wanted)) => lists(live, wanted, quantity),
        (Value::String(live), Value::String(wanted)) if quantity => same_quantity(live, wanted),
        (live, wanted) => live == wanted,
    }
}

fn lists(live: &[Value], wanted: &[Value], quantity: bool) -> bool {
    if wanted.is_empty() {
        return live.is_empty();
    }
    let Some(key) = KEYS.iter().find(|key| wanted.iter().all(|entry| entry.get(**key).is_some()))
    else {
        return live.len() == wanted.len()
            && live.iter().zip(wanted).all(|(live, wanted)| says(live, wanted, quantity));
    };
    wanted.iter().all(|wanted| {
        let mut entries = live.iter().filter(|live| live.get(key) == wanted.get(key));
        entries.any(|live| says(live, wanted, quantity))
    })
}

/// The API server leaves out what is empty.
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
