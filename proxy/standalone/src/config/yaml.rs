//! YAML values with their lines.
//!
//! The file is parsed into these first and into [`super::file::File`] afterwards, so that all errors
//! can be reported at once and with their lines, not just the first.

use super::error::{ConfigError, FieldPath, PathSegment};
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

pub(super) struct YamlNode {
    pub(super) line: u64,
    pub(super) value: YamlValue,
}

pub(super) enum YamlValue {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    List(Vec<YamlNode>),
    /// In the file's order, each name once.
    Map(Vec<YamlField>),
}

pub(super) struct YamlField {
    pub(super) name: String,
    pub(super) line: u64,
    pub(super) node: YamlNode,
}

impl YamlNode {
    /// Parses one YAML document.
    pub(super) fn parse(text: &str) -> Result<Self, ConfigError> {
        serde_saphyr::from_str_with_options(text, options()).map_err(|error| ConfigError {
            path: FieldPath::default(),
            line: error.location().map(|location| location.line()),
            message: message(&error),
        })
    }

    /// The line of a field, or of the group that lacks it.
    pub(super) fn line_of(&self, path: &FieldPath) -> u64 {
        let (mut node, mut line) = (self, self.line);
        for segment in path.segments() {
            let next = match (segment, &node.value) {
                (PathSegment::Field(name), YamlValue::Map(fields)) => fields
                    .iter()
                    .find(|field| field.name == *name)
                    .map(|field| (&field.node, field.line)),
                (PathSegment::Item(index), YamlValue::List(items)) => {
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
        // Otherwise a group called `no` would be `false`.
        strict_booleans: true,
        // A snippet could show a secret in the file.
        with_snippet: false,
    }
}

fn message(error: &Error) -> String {
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum of a hundred variants")]
    match error {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("`{key}` occurs twice"),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            format!("aliases (`*name`) repeat more than {REPEATED_MAX} values")
        }
        Error::AliasError { error, .. } => message(error),
        Error::Budget { .. } => format!(
            "too large: a configuration is one document of at most {NODES_MAX} values, {DEPTH_MAX} \
             levels deep"
        ),
        other => {
            // The line is printed before the message already.
            let text = other.to_string();
            text.split(" at line ").next().unwrap_or_default().to_owned()
        }
    }
}

impl<'de> Deserialize<'de> for YamlNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<YamlValue>::deserialize(deserializer)?;
        Ok(Self { line: referenced.line(), value })
    }
}

impl<'de> Deserialize<'de> for YamlValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = YamlValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Null)
    }

    fn visit_none<E>(self) -> Result<YamlValue, E> {
        Ok(YamlValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<YamlValue, E> {
        Ok(YamlValue::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<YamlValue, E> {
        Ok(YamlValue::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<YamlValue, E> {
        Ok(YamlValue::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<YamlValue, E> {
        Ok(serde_json::Number::from_f64(value).map_or(YamlValue::Null, YamlValue::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<YamlValue, E> {
        Ok(YamlValue::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<YamlValue, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(YamlValue::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<YamlValue, A::Error> {
        let mut fields = Vec::new();
        while let Some((Spanned { value: name, referenced, .. }, node)) =
            map.next_entry::<Spanned<String>, YamlNode>()?
        {
            fields.push(YamlField { name, line: referenced.line(), node });
        }
        Ok(YamlValue::Map(fields))
    }
}
