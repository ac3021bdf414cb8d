//! Fields that a plan sets to null, which must be absent.
//!
//! Server-side apply removes what we wrote, but not what the API server defaulted. A separate merge
//! patch removes such a field, together with its siblings so that the result is valid.

use serde_json::{Map, Value};

/// The merge patch that removes live fields that must be absent; `None` if there are none.
pub(super) fn removals(live: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(live), Value::Object(wanted)) = (live, wanted) else { return None };
    let is_unwanted = |(field, wanted): (&String, &Value)| {
        wanted.is_null() && live.get(field).is_some_and(|live| !live.is_null())
    };
    if wanted.iter().any(is_unwanted) {
        return Some(Value::Object(wanted.clone()));
    }
    let below = wanted
        .iter()
        .filter_map(|(field, wanted)| Some((field.clone(), removals(live.get(field)?, wanted)?)));
    let patch: Map<_, _> = below.collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

pub(super) fn without_nulls(value: Value) -> Value {
    let Value::Object(fields) = value else { return value };
    let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(fields.map(|(field, value)| (field, without_nulls(value))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_that_must_be_absent_is_removed_together_with_its_siblings() {
        let wanted = json!({"spec": {"replicas": 1, "strategy": {"type": "Recreate", "rollingUpdate": null}}});
        let live = json!({"spec": {"replicas": 2, "strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}});
        let patch = json!({"spec": {"strategy": {"type": "Recreate", "rollingUpdate": null}}});
        assert_eq!(removals(&live, &wanted), Some(patch));
        let live = json!({"spec": {"replicas": 2, "strategy": {"type": "Recreate"}}});
        assert_eq!(removals(&live, &wanted), None);
        let written = json!({"spec": {"replicas": 1, "strategy": {"type": "Recreate"}}});
        assert_eq!(without_nulls(wanted), written);
    }
}
