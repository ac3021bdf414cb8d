//! Definitions as YAML.

use super::{GenerateError, GeneratedFile};
use crate::GROUP;
use serde_json::Value;

const HEAD: &str =
    "# Generated from operator/crd by `make generate`: edit the types there instead.\n";

pub(super) fn file(definition: &Value) -> Result<GeneratedFile, GenerateError> {
    let plural = definition.pointer("/spec/names/plural").and_then(Value::as_str);
    Ok(GeneratedFile {
        name: format!("{GROUP}_{}.yaml", plural.unwrap_or_default()),
        text: format!("{HEAD}{}", serde_saphyr::to_string(definition)?),
    })
}
