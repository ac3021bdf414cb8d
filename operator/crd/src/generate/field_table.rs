//! Tables of the fields of an object and of the objects nested in it.

use super::{GenerateError, page};
use serde_json::Value;
use std::fmt::Write;

/// Fields whose types Kubernetes documents, with the page that does.
const EXTERNAL_TYPES: [(&str, &str, &str); 5] = [
    ("conditions", "Condition", "conditions.md"),
    (
        "affinity",
        "Affinity",
        concat!(
            "https://kubernetes.io/docs/concepts/scheduling-eviction/",
            "assign-pod-node/#affinity-and-anti-affinity"
        ),
    ),
    (
        "tolerations",
        "Toleration",
        "https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/",
    ),
    (
        "extraEnv",
        "EnvVar",
        "https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/",
    ),
    (
        "imagePullSecrets",
        "LocalObjectReference",
        "https://kubernetes.io/docs/tasks/configure-pod-container/pull-image-private-registry/",
    ),
];

/// Nesting limit; the types have fewer levels.
const DEPTH_MAX: usize = 8;

pub(super) fn write(text: &mut String, path: &str, schema: &Value) -> Result<(), GenerateError> {
    write_at(text, path, schema, 0)
}

fn write_at(
    text: &mut String,
    path: &str,
    schema: &Value,
    depth: usize,
) -> Result<(), GenerateError> {
    let heading = if depth == 0 { "##" } else { "###" };
    writeln!(text, "{heading} {path}\n\n{}\n", description(schema))?;
    page::rules(text, schema)?;
    text.push_str("| Field | Type | Default | Description |\n|---|---|---|---|\n");
    for (name, field) in fields(schema) {
        row(text, schema, name, field)?;
    }
    text.push('\n');
    if DEPTH_MAX <= depth {
        return Ok(());
    }
    for (name, field) in fields(schema) {
        if external_type(name).is_some() {
            continue;
        }
        if let Some(items) = field.get("items").filter(|items| is_object(items)) {
            write_at(text, &format!("{path}.{name}[]"), items, depth + 1)?;
        } else if is_object(field) {
            write_at(text, &format!("{path}.{name}"), field, depth + 1)?;
        }
    }
    Ok(())
}

fn row(text: &mut String, parent: &Value, name: &str, field: &Value) -> Result<(), GenerateError> {
    let required = parent.get("required").and_then(Value::as_array);
    let required = required.is_some_and(|names| names.iter().any(|it| it == name));
    let default = match field.get("default") {
        Some(Value::String(default)) => format!("`{default}`"),
        Some(default) => format!("`{default}`"),
        None if required => "required".into(),
        None => String::new(),
    };
    let kind = kind(name, field);
    let description = escape(&description(field));
    Ok(writeln!(text, "| `{name}` | {kind} | {default} | {description} |")?)
}

fn kind(name: &str, field: &Value) -> String {
    if let Some((_, kind, page)) = external_type(name) {
        let link = format!("[{kind}]({page})");
        let list = field.get("items").is_some();
        return if list { format!("list of {link}") } else { link };
    }
    let text = |key| field.get(key).and_then(Value::as_str);
    if let Some(words) = field.get("enum").and_then(Value::as_array) {
        let words = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`"));
        return format!("one of {}", words.collect::<Vec<_>>().join(", "));
    }
    if field.get("x-kubernetes-int-or-string").is_some() {
        return "quantity".into();
    }
    if let Some(items) = field.get("items") {
        return format!("list of {}", kind("", items));
    }
    if let Some(values) = field.get("additionalProperties") {
        return format!("map of {}", kind("", values));
    }
    match (text("type"), text("format"), text("pattern")) {
        (Some("integer"), ..) => "integer".into(),
        (Some("number"), ..) => "number".into(),
        (Some("string"), Some("date-time"), _) => "time".into(),
        (Some("string"), _, Some(crate::DurationText::PATTERN)) => "duration".into(),
        (Some(kind), ..) => kind.into(),
        (None, ..) => "any".into(),
    }
}

fn fields(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let fields = schema.get("properties").and_then(Value::as_object);
    fields.into_iter().flatten().map(|(name, field)| (name.as_str(), field))
}

fn is_object(schema: &Value) -> bool {
    schema.get("properties").is_some()
}

fn external_type(name: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    EXTERNAL_TYPES.iter().find(|(field, ..)| *field == name)
}

pub(super) fn description(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().into()
}

/// Escapes text for a table cell.
pub(super) fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace("\n\n", "<br>")
}
