use serde_json::Value;

use super::*;

const BUSY: &str = r#"{"error": {"message": "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance.", "type": "Service Unavailable", "param": null, "code": 503}}"#;

fn error(status: Option<u16>, body: &'static str) -> Option<FirstEvent> {
    Some(FirstEvent::Error { status, body: Bytes::from_static(body.as_bytes()) })
}

#[test]
fn an_error_inside_a_200_is_recognized_with_its_status() {
    let head = format!("data: {BUSY}\n\ndata: [DONE]\n\n");
    assert_eq!(first_event(head.as_bytes()), error(Some(503), BUSY));
}

#[test]
fn an_incomplete_event_is_not_classified() {
    for head in ["", "data: {\"error\":{}}", "data: {}\n", ": ping\n\nda"] {
        assert_eq!(first_event(head.as_bytes()), None, "{head:?}");
    }
}

#[test]
fn comments_and_pings_are_not_the_first_event() {
    for (head, expected) in [
        (": ping\n\n: ping\n\ndata: [DONE]\n\n", Some(FirstEvent::Done)),
        ("event: ping\ndata: {\"type\":\"ping\"}\n\n", None),
        ("\n\r\n: x\n\ndata: {\"choices\":[]}\n\n", Some(FirstEvent::Data)),
    ] {
        assert_eq!(first_event(head.as_bytes()), expected, "{head:?}");
    }
}

#[test]
fn an_error_is_recognized_in_every_dialect() {
    for (event, expected) in [
        (
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            error(None, r#"{"type":"error","error":{"type":"overloaded_error"}}"#),
        ),
        (
            "data: {\"type\":\"error\",\"code\":\"x\",\"message\":\"m\"}\n\n",
            error(None, r#"{"error":{"type":"error","code":"x","message":"m"}}"#),
        ),
        ("data: {\"error\":\"Unauthorized\"}\n\n", error(None, r#"{"error":"Unauthorized"}"#)),
        ("data: {\"error\":{\"code\":\"503\"}}\n\n", error(None, r#"{"error":{"code":"503"}}"#)),
        ("data: {\"error\":{\"code\":200}}\n\n", error(None, r#"{"error":{"code":200}}"#)),
        ("data: {\"error\":{\"code\":70000}}\n\n", error(None, r#"{"error":{"code":70000}}"#)),
        (
            "event: error\ndata: out of luck\n\n",
            error(None, r#"{"error":{"message":"out of luck","type":"server_error"}}"#),
        ),
    ] {
        assert_eq!(classify(event.as_bytes()), expected, "{event:?}");
    }
}

#[test]
fn output_about_errors_is_no_error() {
    for event in [
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"error\\\":{}\"}}]}\n\n",
        "data: {\"choices\":[{\"error\":{\"code\":503}}]}\n\n",
        "data: {\"id\":\"r\",\"error\":null}\n\n",
        "event: response.created\ndata: {\"response\":{\"error\":null}}\n\n",
        "data: not json\n\n",
    ] {
        assert_eq!(classify(event.as_bytes()), Some(FirstEvent::Data), "{event:?}");
    }
}

#[test]
fn our_error_event_has_the_form_of_the_dialect() {
    let event = |usage_format| {
        String::from_utf8(error_event(usage_format, "upstream_error", "it \"broke\"\n", 7).to_vec())
            .unwrap()
    };
    for usage_format in
        [UsageFormat::Chat, UsageFormat::Completions, UsageFormat::Audio, UsageFormat::None]
    {
        let event = event(usage_format);
        let data = event.strip_prefix("data: ").and_then(|rest| rest.strip_suffix("\n\n")).unwrap();
        let expected = r#"{"error":{"message":"it \"broke\"\n","type":"server_error","param":null,"code":"upstream_error"}}"#;
        assert_eq!(json(data), json(expected));
    }
    let messages = event(UsageFormat::Messages);
    let data = messages.strip_prefix("event: error\ndata: ").unwrap();
    let expected = r#"{"type":"error","error":{"type":"api_error","message":"it \"broke\"\n"}}"#;
    assert_eq!(json(data), json(expected));
    let responses = event(UsageFormat::Responses);
    let data = responses.strip_prefix("event: error\ndata: ").unwrap();
    let expected = r#"{"type":"error","code":"upstream_error","message":"it \"broke\"\n","param":null,"sequence_number":7,"error":{"message":"it \"broke\"\n","type":"server_error","param":null,"code":"upstream_error"}}"#;
    assert_eq!(json(data), json(expected));
}

#[test]
fn our_error_event_is_one_event_and_classified_as_an_error() {
    for shape in [UsageFormat::Chat, UsageFormat::Responses, UsageFormat::Messages] {
        let event = error_event(shape, "upstream_error", "a\r\n\r\nb", 0);
        let mut rest: &[u8] = &event;
        assert_eq!(SseSplitter::default().next(&mut rest), Some(&event[..]));
        assert!(matches!(classify(&event), Some(FirstEvent::Error { .. })));
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
