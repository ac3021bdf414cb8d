//! The reference page of a kind, and the index.

use super::{GenerateError, GeneratedFile, field_table};
use serde_json::Value;
use std::fmt::Write;

const NOTE: &str =
    "<!-- Generated from operator/crd by `make generate`: edit the types there instead. -->";

/// The parts of a definition that a page shows.
struct Kind<'a> {
    name: &'a str,
    plural: &'a str,
    short: Option<&'a str>,
    schema: &'a Value,
    columns: &'a [Value],
}

pub(super) fn index(definitions: &[Value]) -> Result<GeneratedFile, GenerateError> {
    let mut text = format!("# Custom resource reference\n\n{NOTE}\n\n");
    text.push_str("| Kind | Description |\n|---|---|\n");
    for definition in definitions {
        let Kind { name, schema, .. } = kind(definition);
        let page = name.to_ascii_lowercase();
        writeln!(text, "| [{name}]({page}.md) | {} |", field_table::description(schema))?;
    }
    text.push_str("| [Conditions](conditions.md) | Condition types and reasons in the status of these resources. |\n");
    text.push_str("\nFor complete manifests, see [docs/examples](../examples).\n");
    Ok(GeneratedFile { name: "README.md".into(), text })
}

pub(super) fn file(definition: &Value) -> Result<GeneratedFile, GenerateError> {
    let Kind { name, plural, short, schema, columns } = kind(definition);
    let mut text = format!("# {name}\n\n{NOTE}\n\n{}\n\n", field_table::description(schema));
    writeln!(
        text,
        "```yaml\napiVersion: {}/{}\nkind: {name}\n```\n",
        crate::GROUP,
        crate::VERSION
    )?;
    let short = short.map(|short| format!(" or `kubectl get {short}`")).unwrap_or_default();
    writeln!(
        text,
        "List them with `kubectl get {plural}`{short}, or list all kinds of this group with \
         `kubectl get llm`. Columns: {}; with `-o wide` also {}.\n",
        names(columns, false),
        names(columns, true)
    )?;
    rules(&mut text, schema)?;
    for part in ["spec", "status"] {
        if let Some(schema) = schema.pointer(&format!("/properties/{part}")) {
            field_table::write(&mut text, part, schema)?;
        }
    }
    Ok(GeneratedFile { name: format!("{}.md", name.to_ascii_lowercase()), text })
}

/// Lists the validation rules of a value.
pub(super) fn rules(text: &mut String, schema: &Value) -> Result<(), GenerateError> {
    let rules = schema.pointer("/x-kubernetes-validations").and_then(Value::as_array);
    let messages = rules.into_iter().flatten().filter_map(|rule| rule.get("message")?.as_str());
    let mut messages = messages.peekable();
    if messages.peek().is_none() {
        return Ok(());
    }
    text.push_str("Validation rules:\n\n");
    for message in messages {
        writeln!(text, "- {}", field_table::escape(message))?;
    }
    text.push('\n');
    Ok(())
}

fn kind(definition: &Value) -> Kind<'_> {
    let text = |pointer| definition.pointer(pointer).and_then(Value::as_str);
    Kind {
        name: text("/spec/names/kind").unwrap_or_default(),
        plural: text("/spec/names/plural").unwrap_or_default(),
        short: text("/spec/names/shortNames/0"),
        schema: definition
            .pointer("/spec/versions/0/schema/openAPIV3Schema")
            .unwrap_or(&Value::Null),
        columns: definition
            .pointer("/spec/versions/0/additionalPrinterColumns")
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice),
    }
}

fn names(columns: &[Value], wide: bool) -> String {
    let of_width = columns.iter().filter(|column| column.get("priority").is_some() == wide);
    let names = of_width.filter_map(|column| column.get("name")?.as_str());
    names.map(|name| format!("`{}`", name.to_uppercase())).collect::<Vec<_>>().join(", ")
}
