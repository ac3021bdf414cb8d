//! The generated files, and how generating them can fail.

use super::{condition_page, manifest, page};
use serde_json::Value;
use std::fmt;

/// A generated file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedFile {
    /// File name, without a directory.
    pub name: String,
    /// Contents.
    pub text: String,
}

/// A defect of the types that prevents generating files.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A definition does not serialize to JSON.
    #[error("generating a definition")]
    Definition(#[from] serde_json::Error),
    /// A definition does not serialize to YAML.
    #[error("writing a definition as YAML")]
    Yaml(#[from] serde_saphyr::SerializeError),
    /// A page could not be formatted.
    #[error("writing a page")]
    Page(#[from] fmt::Error),
}

/// The custom resource definitions, one YAML file each.
///
/// # Errors
/// [`GenerateError`], which these types do not cause.
pub fn manifests() -> Result<Vec<GeneratedFile>, GenerateError> {
    definitions()?.iter().map(manifest::file).collect()
}

/// The reference in Markdown: an index, a page per kind, and one for conditions.
///
/// # Errors
/// [`GenerateError`], which these types do not cause.
pub fn pages() -> Result<Vec<GeneratedFile>, GenerateError> {
    let definitions = definitions()?;
    let mut pages = vec![page::index(&definitions)?];
    for definition in &definitions {
        pages.push(page::file(definition)?);
    }
    pages.push(condition_page::file()?);
    Ok(pages)
}

/// The definitions as JSON, with integers written as integers.
fn definitions() -> Result<Vec<Value>, serde_json::Error> {
    let definitions = crate::definitions()?;
    definitions.iter().map(|it| serde_json::to_value(it).map(with_integers)).collect()
}

/// Kubernetes' types store every bound as a floating-point number.
fn with_integers(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let text = number.to_string();
            let digits = text.strip_suffix(".0").and_then(|digits| digits.parse::<i64>().ok());
            digits.map_or(Value::Number(number), Value::from)
        }
        Value::Array(all) => all.into_iter().map(with_integers).collect(),
        Value::Object(all) => {
            all.into_iter().map(|(key, value)| (key, with_integers(value))).collect()
        }
        other @ (Value::Null | Value::Bool(_) | Value::String(_)) => other,
    }
}
