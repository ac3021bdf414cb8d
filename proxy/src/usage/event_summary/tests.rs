use super::*;

fn summary(usage_format: UsageFormat, event: &str) -> EventSummary {
    EventSummary::of(usage_format, &SseEvent::parse(event.as_bytes()).unwrap())
}

#[test]
fn an_event_with_output_text_is_recognized() {
    for (usage_format, data, expected) in [
        (UsageFormat::Chat, r#"{"choices":[{"delta":{"content":"at"}}]}"#, true),
        (UsageFormat::Chat, r#"{"choices":[{"delta":{"reasoning":"at"}}]}"#, true),
        (UsageFormat::Chat, r#"{"choices":[{"delta":{"reasoning_content":"at"}}]}"#, true),
        (
            UsageFormat::Chat,
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{\""}}]}}]}"#,
            true,
        ),
        (UsageFormat::Chat, r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, false),
        (
            UsageFormat::Chat,
            r#"{"choices":[{"delta":{"content":null},"finish_reason":"stop"}]}"#,
            false,
        ),
        (UsageFormat::Chat, r#"{"model":"\"content\":\"x","choices":[{"delta":{}}]}"#, false),
        (UsageFormat::Chat, r#"{"x":"content","delta":"y"}"#, false),
        (UsageFormat::Completions, r#"{"choices":[{"text":"at"}]}"#, true),
        (UsageFormat::Completions, r#"{"choices":[{"text":""}]}"#, false),
        (UsageFormat::Responses, r#"{"type":"response.output_text.delta","delta":"at"}"#, true),
        (UsageFormat::Responses, r#"{"type":"response.output_text.done","text":"at"}"#, false),
        (UsageFormat::Messages, r#"{"delta":{"type":"text_delta","text":"at"}}"#, true),
        (
            UsageFormat::Messages,
            r#"{"delta":{"type":"input_json_delta","partial_json":"{"}}"#,
            true,
        ),
        (UsageFormat::Messages, r#"{"content_block":{"type":"text","text":""}}"#, false),
        (UsageFormat::Audio, r#"{"choices":[{"delta":{"content":"at"}}]}"#, true),
        (UsageFormat::None, r#"{"choices":[{"delta":{"content":"at"}}]}"#, false),
    ] {
        assert_eq!(
            summary(usage_format, &format!("data: {data}\n\n")).has_uncounted_text,
            expected,
            "{data}"
        );
    }
}

#[test]
fn the_end_is_known_in_every_dialect() {
    for (usage_format, event) in [
        (UsageFormat::Chat, "data: [DONE]\n\n"),
        (UsageFormat::Responses, "event: response.completed\ndata: {}\n\n"),
        (UsageFormat::Responses, "data: {\"type\":\"response.incomplete\"}\n\n"),
        (UsageFormat::Responses, "event: response.failed\ndata: {}\n\n"),
        (UsageFormat::Messages, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        (UsageFormat::Messages, "data: {\"type\":\"message_stop\"}\n\n"),
    ] {
        assert!(summary(usage_format, event).is_last, "{event:?}");
    }
    assert!(!summary(UsageFormat::Chat, "data: {\"content\":\"[DONE]\"}\n\n").is_last);
    assert!(!summary(UsageFormat::Messages, "data: [DONE]\n\n").is_last);
}

#[test]
fn an_error_is_a_member_of_the_outermost_object_or_the_name_of_the_event() {
    for (event, expected) in [
        ("data: {\"error\": {\"code\": 500}}\n\n", true),
        ("event: error\ndata: {}\n\n", true),
        ("event: error\ndata: no json\n\n", true),
        ("data: {\"error\":null}\n\n", false),
        ("data: {\"choices\":[{\"error\":{}}]}\n\n", false),
        ("data: {\"type\":\"x\",\"error\":{\n\n", false),
    ] {
        assert_eq!(summary(UsageFormat::Chat, event).is_error, expected, "{event:?}");
    }
}

#[test]
fn an_unnamed_error_event_is_invisible_to_a_messages_client() {
    let data = r#"data: {"error": {"message": "EngineCore encountered an issue", "code": 500}}"#;
    assert!(summary(UsageFormat::Responses, &format!("{data}\n\n")).is_error);
    assert!(!summary(UsageFormat::Messages, &format!("{data}\n\n")).is_error);
    assert!(summary(UsageFormat::Messages, &format!("event: error\n{data}\n\n")).is_error);
}
