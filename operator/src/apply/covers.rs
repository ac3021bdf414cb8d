//! Whether an object that is live says all that a plan says.

use crate::quantity::units;
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
    let Some(key) = KEYS.iter().find(|key| wanted.iter().all(|entry| entry.get(**key).is_some())) else {
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
