//! The JSON schema of [`super::file::File`], for editors and for validation here; see
//! docs/decisions/0032-configuration-schema.md.
//!
//! Validation knows the part of JSON Schema that `schemars` generates for those types; a test
//! refuses any other keyword. `errorMessage` is a message for people, which editors show too.

use super::{
    error::{ConfigError, FieldPath, PathSegment},
    file::{File, UNSUPPORTED},
    yaml::{YamlField, YamlNode, YamlValue},
};
use serde_json::{Map, Number, Value as Json};

pub fn schema() -> Json {
    schemars::schema_for!(File).to_value()
}

/// Validates a file. Returns it as JSON without unknown fields, and all errors.
pub(super) fn validate(file: &YamlNode) -> (Json, Vec<ConfigError>) {
    // More likely cut off while it was written than meant: it would remove every model.
    if matches!(file.value, YamlValue::Null) {
        let error = ConfigError::of_file("the file is empty; to serve nothing, write `{}`");
        return (Json::Object(Map::new()), vec![error]);
    }
    let schema = schema();
    let mut validator = Validator { root: &schema, errors: Vec::new() };
    let json = validator.value(file, &schema, &FieldPath::default());
    (json, validator.errors)
}

struct Validator<'a> {
    root: &'a Json,
    errors: Vec<ConfigError>,
}

impl<'a> Validator<'a> {
    fn error(&mut self, path: &FieldPath, message: impl Into<String>) {
        self.errors.push(ConfigError::new(path, message));
    }

    fn value(&mut self, node: &YamlNode, schema: &'a Json, path: &FieldPath) -> Json {
        let alternatives = self.alternatives(schema);
        let kind = json_type(&node.value);
        let Some(schema) = alternatives.iter().find(|it| types(it).contains(&kind)) else {
            let message = self.error_message(schema).unwrap_or_else(|| {
                let expected: Vec<_> = alternatives.iter().flat_map(|it| types(it)).collect();
                wrong_type(&node.value, &expected)
            });
            self.error(path, message);
            return Json::Null;
        };
        match &node.value {
            YamlValue::Null => Json::Null,
            YamlValue::Bool(value) => Json::Bool(*value),
            YamlValue::Number(value) => self.number(value, schema, path),
            YamlValue::String(value) => self.string(value, schema, path),
            YamlValue::List(items) => {
                let schema = schema.get("items").unwrap_or(&Json::Null);
                let items = items.iter().enumerate();
                Json::Array(items.map(|(at, it)| self.value(it, schema, &path.item(at))).collect())
            }
            YamlValue::Map(fields) => self.map(fields, schema, path),
        }
    }

    fn number(&mut self, value: &Number, schema: &Json, path: &FieldPath) -> Json {
        let bound = |name, default| schema.get(name).and_then(Json::as_u64).unwrap_or(default);
        let (min, max) = (bound("minimum", 0), bound("maximum", u64::MAX));
        if !value.as_u64().is_some_and(|value| (min..=max).contains(&value)) {
            self.error(path, format!("must be a whole number from {min} to {max}"));
        }
        Json::Number(value.clone())
    }

    fn string(&mut self, value: &str, schema: &Json, path: &FieldPath) -> Json {
        if let Some(Json::Array(allowed)) = schema.get("enum")
            && !allowed.iter().any(|it| it == value)
        {
            let allowed: Vec<_> = allowed.iter().filter_map(Json::as_str).collect();
            self.error(path, format!("must be one of {}", allowed.join(", ")));
        }
        Json::String(value.to_owned())
    }

    fn map(&mut self, fields: &[YamlField], schema: &'a Json, path: &FieldPath) -> Json {
        let properties = schema.get("properties").and_then(Json::as_object);
        let known = |name: &str| properties.and_then(|it| it.get(name));
        let names: Vec<_> = properties.into_iter().flatten().map(|(name, _)| &**name).collect();
        let mut json = Map::new();
        for YamlField { name, node, .. } in fields {
            let path = path.field(name);
            match known(name) {
                Some(schema) => drop(json.insert(name.clone(), self.value(node, schema, &path))),
                None => self.unknown_field(name, node, &names, &path),
            }
        }
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
        for name in required.filter_map(Json::as_str).filter(|name| !json.contains_key(*name)) {
            let advice = known(name).and_then(|schema| self.error_message(schema));
            let advice = advice.map_or_else(String::new, |advice| format!(": {advice}"));
            self.error(path, format!("`{name}` is missing{advice}"));
        }
        Json::Object(json)
    }

    fn unknown_field(&mut self, name: &str, node: &YamlNode, known: &[&str], path: &FieldPath) {
        let pattern = pattern(path);
        let below = format!("{pattern}.");
        let has_unsupported = UNSUPPORTED.iter().any(|it| it.starts_with(&below));
        if let YamlValue::Map(fields) = &node.value
            && has_unsupported
            && !fields.is_empty()
        {
            for YamlField { name, node, .. } in fields {
                self.unknown_field(name, node, &[], &path.field(name));
            }
            return;
        }
        let message = if has_unsupported || UNSUPPORTED.contains(&pattern.as_str()) {
            format!("`{path}` is not supported yet; remove it")
        } else if let Some(similar) = most_similar(name, known) {
            format!("unknown field; did you mean `{similar}`?")
        } else if known.is_empty() {
            "unknown field".to_owned()
        } else {
            format!("unknown field; the fields here are {}", known.join(", "))
        };
        self.error(path, message);
    }

    /// The schemas of which one must match, references resolved.
    fn alternatives(&self, schema: &'a Json) -> Vec<&'a Json> {
        let schema = self.resolve(schema);
        match schema.get("anyOf").or_else(|| schema.get("oneOf")) {
            Some(Json::Array(several)) => {
                several.iter().flat_map(|it| self.alternatives(it)).collect()
            }
            _ => vec![schema],
        }
    }

    fn resolve(&self, schema: &'a Json) -> &'a Json {
        let target = schema.get("$ref").and_then(Json::as_str);
        let pointer = target.and_then(|target| target.strip_prefix('#'));
        pointer.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    /// The schema's own message for a value that does not match.
    fn error_message(&self, schema: &'a Json) -> Option<String> {
        let schemas = [schema].into_iter().chain(self.alternatives(schema));
        let message = schemas.filter_map(|it| it.get("errorMessage")).find_map(Json::as_str);
        message.map(str::to_owned)
    }
}

/// The JSON types that a schema allows.
fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None if schema.get("enum").is_some() => vec!["string"],
        None => Vec::new(),
    }
}

fn json_type(value: &YamlValue) -> &'static str {
    match value {
        YamlValue::Null => "null",
        YamlValue::Bool(_) => "boolean",
        YamlValue::Number(_) => "integer",
        YamlValue::String(_) => "string",
        YamlValue::List(_) => "array",
        YamlValue::Map(_) => "object",
    }
}

/// `must be a list, not a string`, in the terms of people who write YAML.
fn wrong_type(value: &YamlValue, expected: &[&str]) -> String {
    let in_words = |kind| match kind {
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "string" => "a string",
        "array" => "a list",
        _ => "a group of fields",
    };
    let found = match value {
        YamlValue::Null => "empty",
        YamlValue::Number(_) => "a number",
        YamlValue::Bool(_) | YamlValue::String(_) | YamlValue::List(_) | YamlValue::Map(_) => {
            in_words(json_type(value))
        }
    };
    let is_scalar = matches!(value, YamlValue::Bool(_) | YamlValue::Number(_));
    let quotes = if is_scalar && expected.contains(&"string") { "; put it in quotes" } else { "" };
    let expected: Vec<_> =
        expected.iter().filter(|it| **it != "null").copied().map(in_words).collect();
    format!("must be {}, not {found}{quotes}", expected.join(" or "))
}

/// A path as in [`UNSUPPORTED`]: any item of a list is `[]`.
fn pattern(path: &FieldPath) -> String {
    path.segments().iter().fold(String::new(), |pattern, segment| match segment {
        PathSegment::Field(name) if pattern.is_empty() => name.clone(),
        PathSegment::Field(name) => format!("{pattern}.{name}"),
        PathSegment::Item(_) => format!("{pattern}[]"),
    })
}

/// The field that was probably meant; none if it would be a guess.
fn most_similar<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    /// `url` and `uri` have 0.82, `url` and `name` 0.
    const SIMILARITY_MIN: f64 = 0.8;
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let scored = known.iter().map(|it| (strsim::jaro_winkler(&plain(name), &plain(it)), *it));
    let similar = scored.filter(|(similarity, _)| SIMILARITY_MIN <= *similarity);
    similar.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, it)| it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every keyword in a schema; the names of properties and definitions are none.
    fn keywords(schema: &Json, found: &mut BTreeSet<String>) {
        match schema {
            Json::Object(map) => {
                for (name, value) in map {
                    found.insert(name.clone());
                    match (name.as_str(), value) {
                        ("properties" | "$defs", Json::Object(named)) => {
                            named.values().for_each(|it| keywords(it, found));
                        }
                        _ => keywords(value, found),
                    }
                }
            }
            Json::Array(items) => items.iter().for_each(|it| keywords(it, found)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }

    #[test]
    fn every_keyword_of_the_schema_is_enforced_or_only_describes() {
        let enforced = "$defs $ref additionalProperties anyOf enum errorMessage items maximum \
                        minimum oneOf properties required type";
        let describing = "$schema default description format title";
        let known: BTreeSet<_> =
            enforced.split_whitespace().chain(describing.split_whitespace()).collect();
        let mut found = BTreeSet::new();
        keywords(&schema(), &mut found);
        let strange: Vec<_> = found.iter().filter(|it| !known.contains(it.as_str())).collect();
        assert!(strange.is_empty(), "{strange:?}");
    }
}
