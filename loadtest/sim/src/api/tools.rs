//! When the simulated model calls a function, and with which arguments.

use serde_json::{Map, Value};

use super::Call;
use super::request::{Fields, content_text};
use crate::text::{AnswerLimits, Script};

/// A word in the last message of the user that makes the model call its first function.
const TRIGGER: &str = "weather";

/// The call that answers this request, if one does: the tool choice forces one, or the
/// user asks about the weather and calling is allowed.
///
/// Understands the tools of all dialects: `function.name`, or `name` at the top.
pub(super) fn call(fields: &Fields, messages: &[Value], bounds: &AnswerLimits) -> Option<Script> {
    let tools = fields.get("tools")?.as_array()?;
    let choice = fields.get("tool_choice");
    let word = choice.and_then(|choice| choice.as_str().or_else(|| choice.get("type")?.as_str()));
    let forced = match word {
        Some("none") => return None,
        Some("required" | "any") => true,
        _ => choice.and_then(name_of).is_some(),
    };
    if !forced && !asks(messages) {
        return None;
    }
    let wanted = choice.and_then(name_of);
    let tool = tools.iter().find(|tool| wanted.is_none() || name_of(tool) == wanted)?;
    let arguments = arguments(tool).to_string();
    Some(Script::call(name_of(tool)?.to_owned(), arguments, bounds))
}

/// An identifier of a call, as the OpenAI dialects print it.
pub(super) fn call_id(call: &Call) -> String {
    call.id("chatcmpl-tool-")
}

fn name_of(tool: &Value) -> Option<&str> {
    tool.get("function").unwrap_or(tool).get("name")?.as_str()
}

fn asks(messages: &[Value]) -> bool {
    let role = |message: &&Value| message.get("role").and_then(Value::as_str) == Some("user");
    let last = messages.iter().rev().find(role).and_then(|message| message.get("content"));
    last.is_some_and(|content| content_text(content).to_lowercase().contains(TRIGGER))
}

/// A plausible value for each property of the function's schema.
fn arguments(tool: &Value) -> Value {
    let tool = tool.get("function").unwrap_or(tool);
    let schema = tool.get("parameters").or_else(|| tool.get("input_schema"));
    let properties = schema.and_then(|schema| schema.get("properties")?.as_object());
    let pairs = properties.into_iter().flatten();
    Value::Object(pairs.map(|(name, schema)| (name.clone(), example(name, schema))).collect())
}

fn example(name: &str, schema: &Value) -> Value {
    if let Some(first) = schema.get("enum").and_then(|values| values.get(0)) {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => Value::from(3),
        Some("boolean") => Value::Bool(true),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => Value::Object(Map::new()),
        _ if name.contains("date") || name.contains("day") => Value::from("2026-11-23"),
        _ => Value::from("Paris"),
    }
}
