//! YAML as values that know their lines.
//!
//! The file is read into these first and into [`super::file::File`] afterwards, so that every
//! mistake can be reported at once and with its line, not just the first.

use super::mistake::{FieldPath, Mistake, Step};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{Error, Options, Spanned};
use std::fmt;

/// The most values a file may have, aliases expanded.
const NODES_MAX: usize = 100_000;
/// How deeply values may be nested; ours are at most 6 deep.
const DEPTH_MAX: usize = 32;
/// How many values aliases (`*name`) may repeat, all together.
const REPEATED_MAX: usize = 10_000;

/// A value and its line.
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: Value,
}

/// A value of any kind.
pub(super) enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    /// In the file's order; no name twice.
    Map(Vec<Entry>),
}

/// A field.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) node: Node,
}

impl Node {
    /// Reads one YAML document.
    pub(super) fn parse(text: &str) -> Result<Self, Mistake> {
        serde_saphyr::from_str_with_options(text, options()).map_err(|error| Mistake {
            path: FieldPath::default(),
            line: error.location().map(|location| location.line()),
            message: message(&error),
        })
    }

    /// The line of a field, or of what it is missing from.
    pub(super) fn line_of(&self, path: &FieldPath) -> u64 {
        let (mut node, mut line) = (self, self.line);
        for step in path.steps() {
            let next = match (step, &node.value) {
                (Step::Field(name), Value::Map(entries)) => entries
                    .iter()
                    .find(|entry| entry.name == *name)
                    .map(|entry| (&entry.node, entry.line)),
                (Step::Item(index), Value::List(items)) => {
                    items.get(*index).map(|item| (item, item.line))
                }
                _ => None,
            };
            match next {
                Some(found) => (node, line) = found,
                None => return line,
            }
        }
        line
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_nodes: NODES_MAX,
            max_depth: DEPTH_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPEATED_MAX },
        // Else a group called `no` would be `false`.
        strict_booleans: true,
        // A snippet could show a secret that somebody wrote into the file.
        with_snippet: false,
    }
}

fn message(error: &Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum of a hundred variants")]
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` is there twice"),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            format!("aliases (`*name`) repeat more than {REPEATED_MAX} values")
        }
        Error::AliasError { error, .. } => message(error),
        Error::Budget { .. } => format!(
            "too much for one configuration: it is one document of at most {NODES_MAX} values, \
             {DEPTH_MAX} deep"
        ),
        other => {
            // The line is ours to say, and it is said before the message.
            let text = other.to_string();
            text.split(" at line ").next().unwrap_or_default().to_owned()
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Value>::deserialize(deserializer)?;
        Ok(Self { line: referenced.line(), value })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((Spanned { value: name, referenced, .. }, node)) =
            map.next_entry::<Spanned<String>, Node>()?
        {
            entries.push(Entry { name, line: referenced.line(), node });
        }
        Ok(Value::Map(entries))
    }
}
