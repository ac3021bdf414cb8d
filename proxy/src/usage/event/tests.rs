use super::*;

fn facts(shape: Shape, event: &str) -> Facts {
    Facts::of(shape, &Event::read(event.as_bytes()).unwrap())
}

#[test]
fn an_event_that_brings_text_is_a_piece_of_the_answer() {
    for (shape, data, expected) in [
        (Shape::Chat, r#"{"choices":[{"delta":{"content":"at"}}]}"#, true),
        (Shape::Chat, r#"{"choices":[{"delta":{"reasoning":"at"}}]}"#, true),
        (Shape::Chat, r#"{"choices":[{"delta":{"reasoning_content":"at"}}]}"#, true),
        (
            Shape::Chat,
            r#"{"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"{\""}}]}}]}"#,
            true,
        ),
        (Shape::Chat, r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, false),
        (Shape::Chat, r#"{"choices":[{"delta":{"content":null},"finish_reason":"stop"}]}"#, false),
        (Shape::Chat, r#"{"model":"\"content\":\"x","choices":[{"delta":{}}]}"#, false),
        (Shape::Chat, r#"{"x":"content","delta":"y"}"#, false),
        (Shape::Completions, r#"{"choices":[{"text":"at"}]}"#, true),
        (Shape::Completions, r#"{"choices":[{"text":""}]}"#, false),
        (Shape::Responses, r#"{"type":"response.output_text.delta","delta":"at"}"#, true),
        (Shape::Responses, r#"{"type":"response.output_text.done","text":"at"}"#, false),
        (Shape::Messages, r#"{"delta":{"type":"text_delta","text":"at"}}"#, true),
        (Shape::Messages, r#"{"delta":{"type":"input_json_delta","partial_json":"{"}}"#, true),
        (Shape::Messages, r#"{"content_block":{"type":"text","text":""}}"#, false),
        (Shape::Audio, r#"{"choices":[{"delta":{"content":"at"}}]}"#, true),
        (Shape::None, r#"{"choices":[{"delta":{"content":"at"}}]}"#, false),
    ] {
        assert_eq!(facts(shape, &format!("data: {data}\n\n")).answers, expected, "{data}");
    }
}

#[test]
fn the_end_is_known_in_every_dialect() {
    for (shape, event) in [
        (Shape::Chat, "data: [DONE]\n\n"),
        (Shape::Responses, "event: response.completed\ndata: {}\n\n"),
        (Shape::Responses, "data: {\"type\":\"response.incomplete\"}\n\n"),
        (Shape::Responses, "event: response.failed\ndata: {}\n\n"),
        (Shape::Messages, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
        (Shape::Messages, "data: {\"type\":\"message_stop\"}\n\n"),
    ] {
        assert!(facts(shape, event).last, "{event:?}");
    }
    assert!(!facts(Shape::Chat, "data: {\"content\":\"[DONE]\"}\n\n").last);
    assert!(!facts(Shape::Messages, "data: [DONE]\n\n").last);
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
        assert_eq!(facts(Shape::Chat, event).failed, expected, "{event:?}");
    }
}

#[test]
fn an_error_without_a_name_tells_nothing_to_a_client_of_messages() {
    let data = r#"data: {"error": {"message": "EngineCore encountered an issue", "code": 500}}"#;
    assert!(facts(Shape::Responses, &format!("{data}\n\n")).failed);
    assert!(!facts(Shape::Messages, &format!("{data}\n\n")).failed);
    assert!(facts(Shape::Messages, &format!("event: error\n{data}\n\n")).failed);
}
