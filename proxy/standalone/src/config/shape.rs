//! Holds a file against the schema of [`super::file::File`], and reports everything that does not
//! fit; what editors complete by and what is refused here are one.
//!
//! It knows the part of JSON Schema that `schemars` writes for those types; a test refuses any
//! other keyword. `errorMessage` is what editors show instead of their own words.

use super::{
    file::{File, LATER},
    mistake::{FieldPath, Mistake, Step},
    tree::{Entry, Node, Value},
};
use serde_json::{Map, Value as Json};

/// The JSON schema of the file.
pub fn schema() -> Json {
    schemars::schema_for!(File).to_value()
}

/// The file as JSON without the fields that nobody knows, and everything that is wrong with it.
pub(super) fn check(node: &Node) -> (Json, Vec<Mistake>) {
    let schema = schema();
    let mut walk = Walk { root: &schema, mistakes: Vec::new() };
    let json = match &node.value {
        // More likely cut off while it was written than meant: it would take every model away.
        Value::Null => {
            let message = "the file is empty; to serve nothing, write `{}`";
            walk.mistakes.push(Mistake::new(&FieldPath::default(), message.to_owned()));
            Json::Object(Map::new())
        }
        Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Map(_) => {
            walk.value(node, &schema, &FieldPath::default())
        }
    };
    (json, walk.mistakes)
}

struct Walk<'a> {
    root: &'a Json,
    mistakes: Vec<Mistake>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, node: &Node, schema: &'a Json, path: &FieldPath) -> Json {
        let alternatives = self.alternatives(schema);
        let Some(schema) = alternatives.iter().find(|it| admits(it, &node.value)) else {
            let message = self.advice(schema).unwrap_or_else(|| {
                let expected: Vec<_> = alternatives.iter().flat_map(|it| kinds(it)).collect();
                format!("must be {}, not {}", or(&expected), found(&node.value, &expected))
            });
            self.mistakes.push(Mistake::new(path, message));
            return Json::Null;
        };
        match &node.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(value) => self.number(value, schema, path),
            Value::Text(value) => self.text(value, schema, path),
            Value::List(items) => {
                let of = schema.get("items").unwrap_or(&Json::Null);
                let items = items.iter().enumerate();
                Json::Array(items.map(|(at, it)| self.value(it, of, &path.item(at))).collect())
            }
            Value::Map(entries) => self.map(entries, schema, path),
        }
    }

    fn number(&mut self, value: &serde_json::Number, schema: &Json, path: &FieldPath) -> Json {
        let bound = |name, default| schema.get(name).and_then(Json::as_u64).unwrap_or(default);
        let (min, max) = (bound("minimum", 0), bound("maximum", u64::MAX));
        if !value.as_u64().is_some_and(|value| (min..=max).contains(&value)) {
            let message = format!("must be a whole number from {min} to {max}");
            self.mistakes.push(Mistake::new(path, message));
        }
        Json::Number(value.clone())
    }

    fn text(&mut self, value: &str, schema: &Json, path: &FieldPath) -> Json {
        if let Some(Json::Array(allowed)) = schema.get("enum")
            && !allowed.iter().any(|it| it == value)
        {
            let names: Vec<_> = allowed.iter().filter_map(Json::as_str).collect();
            self.mistakes.push(Mistake::new(path, format!("must be one of {}", names.join(", "))));
        }
        Json::String(value.to_owned())
    }

    fn map(&mut self, entries: &[Entry], schema: &'a Json, path: &FieldPath) -> Json {
        let known = |name: &str| schema.get("properties").and_then(|it| it.get(name));
        let mut json = Map::new();
        for Entry { name, node, .. } in entries {
            let path = path.field(name);
            match known(name) {
                Some(schema) => {
                    json.insert(name.clone(), self.value(node, schema, &path));
                }
                None => self.unknown(node, &names(schema), &path),
            }
        }
        let required = schema.get("required").and_then(Json::as_array).into_iter().flatten();
        for name in required.filter_map(Json::as_str).filter(|name| !json.contains_key(*name)) {
            let advice = known(name).and_then(|schema| self.advice(schema));
            let advice = advice.map_or_else(String::new, |advice| format!(": {advice}"));
            self.mistakes.push(Mistake::new(path, format!("`{name}` is missing{advice}")));
        }
        Json::Object(json)
    }

    fn unknown(&mut self, node: &Node, known: &[&str], path: &FieldPath) {
        let pattern = pattern(path);
        let below = format!("{pattern}.");
        let later = LATER.contains(&pattern.as_str());
        let holds_later = LATER.iter().any(|later| later.starts_with(&below));
        let message = match (&node.value, nearest(path, known)) {
            (Value::Map(entries), _) if holds_later && !entries.is_empty() => {
                for Entry { name, node, .. } in entries {
                    self.unknown(node, &[], &path.field(name));
                }
                return;
            }
            _ if later || holds_later => format!("`{path}` is not supported yet; remove it"),
            (_, Some(nearest)) => format!("unknown field; did you mean `{nearest}`?"),
            (_, None) if known.is_empty() => "unknown field".to_owned(),
            (_, None) => format!("unknown field; known here are {}", known.join(", ")),
        };
        self.mistakes.push(Mistake::new(path, message));
    }

    /// The schemas of which one must fit, references followed.
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

    /// What the type itself says to someone who wrote something else.
    fn advice(&self, schema: &'a Json) -> Option<String> {
        let own = [schema].into_iter().chain(self.alternatives(schema));
        let text = own.filter_map(|it| it.get("errorMessage")).find_map(Json::as_str);
        text.map(str::to_owned)
    }
}

/// The JSON types that a schema names.
fn types(schema: &Json) -> Vec<&str> {
    match schema.get("type") {
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        Some(one) => one.as_str().into_iter().collect(),
        None if schema.get("enum").is_some() => vec!["string"],
        None => Vec::new(),
    }
}

fn admits(schema: &Json, value: &Value) -> bool {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Text(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    };
    types(schema).contains(&kind)
}

/// What a schema wants, in the words of somebody who writes YAML.
fn kinds(schema: &Json) -> Vec<&'static str> {
    let word = |kind| match kind {
        "boolean" => Some("`true` or `false`"),
        "integer" => Some("a whole number"),
        "string" => Some("a text"),
        "array" => Some("a list"),
        "object" => Some("a group of fields"),
        _ => None,
    };
    types(schema).into_iter().filter_map(word).collect()
}

fn found(value: &Value, expected: &[&str]) -> &'static str {
    let text = expected.contains(&"a text");
    match value {
        Value::Null => "empty",
        Value::Bool(_) if text => "`true` or `false`; put it in quotes",
        Value::Bool(_) => "`true` or `false`",
        Value::Number(_) if text => "a number; put it in quotes",
        Value::Number(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a group of fields",
    }
}

fn or(words: &[&str]) -> String {
    words.join(" or ")
}

/// A path as [`LATER`] has it: any item of a list is `[]`.
fn pattern(path: &FieldPath) -> String {
    path.steps().iter().fold(String::new(), |pattern, step| match step {
        Step::Field(name) if pattern.is_empty() => name.clone(),
        Step::Field(name) => format!("{pattern}.{name}"),
        Step::Item(_) => format!("{pattern}[]"),
    })
}

/// The names of the fields that a schema knows.
fn names(schema: &Json) -> Vec<&str> {
    let properties = schema.get("properties").and_then(Json::as_object);
    properties.into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// The known name that was probably meant by a path's last; none if it would be a guess.
fn nearest<'n>(path: &FieldPath, known: &[&'n str]) -> Option<&'n str> {
    /// From here on two names look alike; `url` and `uri` are at 0.82, `url` and `name` at 0.
    const LIKENESS_MIN: f64 = 0.8;
    let Some(Step::Field(name)) = path.steps().last() else {
        return None;
    };
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let scored = known.iter().map(|it| (strsim::jaro_winkler(&plain(name), &plain(it)), *it));
    let alike = scored.filter(|(likeness, _)| LIKENESS_MIN <= *likeness);
    alike.max_by(|(a, _), (b, _)| a.total_cmp(b)).map(|(_, it)| it)
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
