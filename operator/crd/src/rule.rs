//! CEL validation rules, and schemas that several fields share.
//!
//! On an update the API server evaluates a rule only if the value it is attached to has changed. A
//! rule added after the first release is therefore attached as deep as possible; where it needs
//! several fields it is [`ratcheted`], so that a stored object that violates it can still be edited
//! elsewhere.

use llm_contract::{Group, ModelId};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

const MODEL_IDS_MAX: usize = 1000;
const GROUPS_MAX: usize = 1000;
const PATTERNS_MAX: usize = 100;
/// Kubernetes' limit for object names.
const NAME_BYTES_MAX: usize = 253;

/// A rule that is evaluated whenever the value it is attached to has changed.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// A rule over several fields, evaluated when one of them has changed.
pub(crate) fn ratcheted(rule: &str, fields: &[&str], message: &str) -> Value {
    let same = fields.iter().map(|field| {
        // Comparing optional values directly exceeds the API server's cost estimate.
        format!(
            "has(self.{field}) == has(oldSelf.value().{field}) && \
             (!has(self.{field}) || self.{field} == oldSelf.value().{field})"
        )
    });
    let same = same.collect::<Vec<_>>().join(" && ");
    let rule = format!("({rule}) || oldSelf.hasValue() && {same}");
    json!({"rule": rule, "message": message, "optionalOldSelf": true})
}

/// A rule that is evaluated only when an object is created.
pub(crate) fn at_creation(rule: &str, message: &str) -> Value {
    let rule = format!("oldSelf.hasValue() || ({rule})");
    json!({"rule": rule, "message": message, "optionalOldSelf": true})
}

/// Bounds of a duration, both inclusive.
pub(crate) fn duration(min: &str, max: &str) -> Value {
    let text =
        format!("duration(self) >= duration('{min}') && duration(self) <= duration('{max}')");
    rule(&text, &format!("must be between {min} and {max}"))
}

pub(crate) fn model_id(_: &mut SchemaGenerator) -> Schema {
    let max = ModelId::BYTES_MAX;
    json_schema!({
        "type": "string",
        "maxLength": max,
        "x-kubernetes-validations": [rule(
            &format!(r"self.matches('^[!#-\\[\\]-~]{{1,{max}}}$')"),
            &format!("must be 1 to {max} visible ASCII characters, without quotes or backslashes"),
        )],
    })
}

pub(crate) fn model_ids(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": MODEL_IDS_MAX, "items": model_id(generator)})
}

pub(crate) fn groups(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": GROUPS_MAX,
        "items": {"type": "string", "minLength": 1, "maxLength": Group::BYTES_MAX},
    })
}

pub(crate) fn patterns(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": PATTERNS_MAX,
        "items": {"type": "string", "minLength": 1, "maxLength": 256},
    })
}

pub(crate) fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": NAME_BYTES_MAX,
        "x-kubernetes-validations": [rule(
            "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
            "must be a valid object name: lowercase letters, digits, `-` and `.`",
        )],
    })
}

/// An RFC 3339 timestamp of this millennium, which every reader can parse.
pub(crate) fn timestamp(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "format": "date-time",
        "pattern":
            concat!(
                "^2[0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9]([.][0-9]{1,9})?",
                "(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])$",
            ),
    })
}
