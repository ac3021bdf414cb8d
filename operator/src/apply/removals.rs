//! Fields that a plan wants to be absent.
//!
//! Server-side apply removes what we wrote, and not what the API server filled in. A null in a plan
//! says that a field must not be there; it is taken out by a patch of its own, together with what
//! stands beside it, so that what results makes sense.

use serde_json::{Map, Value};

/// The patch that takes out what is live and must not be; `None` if there is nothing.
pub(super) fn removals(live: &Value, wanted: &Value) -> Option<Value> {
    let (Value::Object(live), Value::Object(wanted)) = (live, wanted) else { return None };
    let unwanted = |(field, wanted): (&String, &Value)| {
        wanted.is_null() && live.get(field).is_some_and(|live| !live.is_null())
    };
    if wanted.iter().any(unwanted) {
        return Some(Value::Object(wanted.clone()));
    }
    let below = wanted
        .iter()
        .filter_map(|(field, wanted)| Some((field.clone(), removals(live.get(field)?, wanted)?)));
    let patch: Map<_, _> = below.collect();
    (!patch.is_empty()).then_some(Value::Object(patch))
}

/// The same without what must not be there.
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
    fn what_must_not_be_there_is_taken_out_with_what_stands_beside_it() {
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
