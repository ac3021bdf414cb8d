//! CEL rules of the schemas, and schemas of texts that stand in several places.
//!
//! The API server checks a rule on an update only if the value it stands at has changed. So a rule
//! that came after the first release stands as low as it can; where it needs several fields it is
//! [`ratcheted`]: a stored object that breaks it stays editable elsewhere.

use llm_contract::{Group, ModelId};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// The most ids in a list of them.
const MODEL_IDS_MAX: usize = 1000;
/// The most groups in a list of them.
const GROUPS_MAX: usize = 1000;
/// The most patterns in a list of them.
const PATTERNS_MAX: usize = 100;
/// The longest name of a Kubernetes object, in bytes.
const NAME_BYTES_MAX: usize = 253;

/// A rule that is checked whenever the value it stands at has changed.
pub(crate) fn rule(rule: &str, message: &str) -> Value {
    json!({"rule": rule, "message": message})
}

/// A rule over some fields of an object that is checked when one of them has changed.
pub(crate) fn ratcheted(rule: &str, fields: &[&str], message: &str) -> Value {
    let same = fields.iter().map(|field| {
        // Optional values could be compared at once, but the server cannot tell what that costs.
        format!(
            "has(self.{field}) == has(oldSelf.value().{field}) && \
             (!has(self.{field}) || self.{field} == oldSelf.value().{field})"
        )
    });
    let same = same.collect::<Vec<_>>().join(" && ");
    let rule = format!("({rule}) || oldSelf.hasValue() && {same}");
    json!({"rule": rule, "message": message, "optionalOldSelf": true})
}

/// A rule that is checked when an object is made, and never again.
pub(crate) fn at_creation(rule: &str, message: &str) -> Value {
    let rule = format!("oldSelf.hasValue() || ({rule})");
    json!({"rule": rule, "message": message, "optionalOldSelf": true})
}

/// That a length of time is neither shorter nor longer than these.
pub(crate) fn duration(min: &str, max: &str) -> Value {
    let text =
        format!("duration(self) >= duration('{min}') && duration(self) <= duration('{max}')");
    rule(&text, &format!("must be from {min} to {max}"))
}

/// That a text is a model id.
pub(crate) fn is_model_id() -> Value {
    let max = ModelId::BYTES_MAX;
    rule(
        &format!(r"self.matches('^[!#-\\[\\]-~]{{1,{max}}}$')"),
        &format!("must be 1 to {max} visible ASCII characters, without quotes and backslashes"),
    )
}

/// The schema of a model id.
pub(crate) fn model_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": ModelId::BYTES_MAX,
        "x-kubernetes-validations": [is_model_id()],
    })
}

/// The schema of a list of model ids.
pub(crate) fn model_ids(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": MODEL_IDS_MAX, "items": model_id(generator)})
}

/// The schema of a list of groups.
pub(crate) fn groups(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": GROUPS_MAX,
        "items": {"type": "string", "minLength": 1, "maxLength": Group::BYTES_MAX},
    })
}

/// The schema of a list of patterns of file names.
pub(crate) fn patterns(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": PATTERNS_MAX,
        "items": {"type": "string", "minLength": 1, "maxLength": 256},
    })
}

/// The schema of the name of another object.
pub(crate) fn object_name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": NAME_BYTES_MAX,
        "x-kubernetes-validations": [rule(
            "self.matches('^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$')",
            "must be the name of an object: lower-case letters, digits, `-` and `.`",
        )],
    })
}

/// The schema of a moment: RFC 3339 in this millennium, so that whoever reads it can.
pub(crate) fn moment(_: &mut SchemaGenerator) -> Schema {
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
