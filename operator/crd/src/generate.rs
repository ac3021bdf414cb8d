//! The files that are made from the types: definitions for the chart, pages for people.

mod manifest;
mod page;
mod field_table;
mod condition_page;

use serde_json::Value;
use std::fmt;

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Its name in the folder it belongs into.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// Why nothing was generated: a defect of the types.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A definition is not JSON.
    #[error("making a definition")]
    Definition(#[from] serde_json::Error),
    /// A definition is not YAML.
    #[error("writing a definition as YAML")]
    Yaml(#[from] serde_saphyr::SerializeError),
    /// A page could not be put together.
    #[error("writing a page")]
    Page(#[from] fmt::Error),
}

/// One file in YAML for each definition.
///
/// # Errors
/// None that these types can cause.
pub fn manifests() -> Result<Vec<GeneratedFile>, GenerateError> {
    definitions()?.iter().map(manifest::file).collect()
}

/// The reference for people, in Markdown: a page for each kind, one for the conditions, and one
/// that lists them.
///
/// # Errors
/// None that these types can cause.
pub fn pages() -> Result<Vec<GeneratedFile>, GenerateError> {
    let definitions = definitions()?;
    let mut pages = vec![page::index(&definitions)?];
    for definition in &definitions {
        pages.push(page::file(definition)?);
    }
    pages.push(condition_page::file()?);
    Ok(pages)
}

/// The definitions as JSON, with whole numbers written as such.
fn definitions() -> Result<Vec<Value>, serde_json::Error> {
    let definitions = crate::definitions()?;
    definitions.iter().map(|it| serde_json::to_value(it).map(whole)).collect()
}

/// Kubernetes' types hold every bound as a floating-point number.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            let digits = text.strip_suffix(".0").and_then(|digits| digits.parse::<i64>().ok());
            digits.map_or(Value::Number(number), Value::from)
        }
        Value::Array(all) => all.into_iter().map(whole).collect(),
        Value::Object(all) => all.into_iter().map(|(key, value)| (key, whole(value))).collect(),
        other @ (Value::Null | Value::Bool(_) | Value::String(_)) => other,
    }
}
