use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json as value};

use super::*;
use crate::body::json::InvalidJsonReason;

fn rewritten(
    body: &str,
    scan: &PromptFields,
    model: Option<&str>,
    usage: Option<UsageReporting>,
) -> String {
    let mut edits = BodyEdits::default();
    if let Some(least) = usage {
        scan.request_usage(least, &mut edits);
    }
    if let Some(model) = model {
        scan.rename_model(model, &mut edits);
    }
    let body = edits.apply(&Bytes::copy_from_slice(body.as_bytes()));
    String::from_utf8(body.to_vec()).unwrap()
}

fn asking(body: &str, least: UsageReporting) -> String {
    rewritten(body, &json(body.as_bytes()).unwrap(), None, Some(least))
}

fn refused(body: &str) -> InvalidPrompt {
    json(body.as_bytes()).unwrap_err()
}

const FORM_TYPE: &str = "multipart/form-data; boundary=xyz";

fn form_body(fields: &[(&str, &str)]) -> String {
    let part = |(name, value): &(&str, &str)| {
        format!("--xyz\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    format!("{}--xyz--\r\n", fields.iter().map(part).collect::<String>())
}

#[test]
fn model_stream_and_usage_of_a_chat_request_are_read() {
    let body = r#"{"messages":[{"role":"user","content":"hi"}],"model":"qwen3-8b","stream":true,
        "stream_options":{"include_usage":true}}"#;
    let scan = json(body.as_bytes()).unwrap();
    assert_eq!(
        (scan.model.as_str(), body.get(scan.model_span)),
        ("qwen3-8b", Some("\"qwen3-8b\""))
    );
    assert_eq!((scan.stream, scan.usage), (true, UsageReporting::Total));
}

#[test]
fn missing_or_null_fields_request_nothing() {
    for body in [
        r#"{"model":"m"}"#,
        r#"{"model":"m","stream":null,"stream_options":null}"#,
        r#"{"model":"m","stream":false,"stream_options":{"include_usage":null}}"#,
        "\r\n\t { \"stream_options\" : { } , \"model\" : \"m\" } \n",
    ] {
        let scan = json(body.as_bytes()).unwrap();
        assert_eq!((scan.stream, scan.usage), (false, UsageReporting::Off), "{body}");
    }
}

#[test]
fn continuous_usage_counts_only_together_with_usage() {
    let usage = |options: &str| {
        let body = format!(r#"{{"model":"m","stream":true,"stream_options":{options}}}"#);
        json(body.as_bytes()).unwrap().usage
    };
    assert_eq!(usage(r#"{"continuous_usage_stats":true}"#), UsageReporting::Off);
    assert_eq!(
        usage(r#"{"continuous_usage_stats":true,"include_usage":false}"#),
        UsageReporting::Off
    );
    assert_eq!(
        usage(r#"{"continuous_usage_stats":false,"include_usage":true}"#),
        UsageReporting::Total
    );
    assert_eq!(
        usage(r#"{"include_usage":true,"continuous_usage_stats":true}"#),
        UsageReporting::Continuous
    );
}

#[test]
fn the_model_is_found_after_a_megabyte_of_messages() {
    let message =
        value!({"role": "user", "content": "\"model\":\"no\"\n".repeat(50), "model": "no"});
    let body = value!({"a_messages": vec![message; 1_500], "model": "yes"}).to_string();
    assert!(body.len() > 1_000_000);
    assert_eq!(json(body.as_bytes()).unwrap().model, "yes");
}

#[test]
fn nested_members_are_ignored() {
    let body = r#"{"messages":[{"model":"a","stream":true}],"metadata":{"model":1},"model":"b"}"#;
    let scan = json(body.as_bytes()).unwrap();
    assert_eq!((scan.model.as_str(), scan.stream), ("b", false));
    assert_eq!(refused(r#"{"metadata":{"model":"a"}}"#), InvalidPrompt::ModelMissing);
}

#[test]
fn escapes_in_key_and_name_are_decoded() {
    let body = r#"{"mod\u0065l":"meta\/\u006clama \ud83d\ude00","\u0073tream":true}"#;
    let scan = json(body.as_bytes()).unwrap();
    assert_eq!((scan.model.as_str(), scan.stream), ("meta/llama 😀", true));
}

#[test]
fn a_model_without_a_usable_name_is_refused() {
    let long = |length: usize| format!(r#"{{"model":"{}"}}"#, "é".repeat(length / 2));
    assert!(json(long(MODEL_BYTES_MAX).as_bytes()).is_ok());
    let escaped = format!(r#"{{"model":"{}"}}"#, r"\u0061".repeat(MODEL_BYTES_MAX));
    assert!(json(escaped.as_bytes()).is_ok());
    let very_long = format!(r#"{{"model":"{}"}}"#, r"\u0061".repeat(100_000));
    for (body, refusal) in [
        ("{}", InvalidPrompt::ModelMissing),
        (r#"{"model":""}"#, InvalidPrompt::ModelEmpty),
        (&long(MODEL_BYTES_MAX + 2), InvalidPrompt::ModelTooLong),
        (&very_long, InvalidPrompt::ModelTooLong),
        (r#"{"model":"a\u0000"}"#, InvalidPrompt::ModelCharacters),
        (r#"{"model":"a\nb"}"#, InvalidPrompt::ModelCharacters),
        (r#"{"model":"\u0085"}"#, InvalidPrompt::ModelCharacters),
        (r#"{"model":"\ud83d"}"#, InvalidPrompt::ModelCharacters),
    ] {
        assert_eq!(refused(body), refusal);
        assert_eq!(refusal.param(), Some("model"));
    }
}

#[test]
fn a_value_of_the_wrong_type_is_rejected() {
    for (body, param, message) in [
        (r#"{"model":null}"#, "model", "`model` must be a string, not null"),
        (r#"{"model":["a"]}"#, "model", "`model` must be a string, not an array"),
        (r#"{"model":1}"#, "model", "`model` must be a string, not a number"),
        (r#"{"model":{"a":1}}"#, "model", "`model` must be a string, not an object"),
        (r#"{"model":"m","stream":"true"}"#, "stream", "`stream` must be a boolean, not a string"),
        (r#"{"model":"m","stream":1}"#, "stream", "`stream` must be a boolean, not a number"),
        (
            r#"{"model":"m","stream_options":true}"#,
            "stream_options",
            "`stream_options` must be an object, not a boolean",
        ),
        (
            r#"{"model":"m","stream_options":{"include_usage":1}}"#,
            "stream_options.include_usage",
            "`stream_options.include_usage` must be a boolean, not a number",
        ),
    ] {
        let refused = refused(body);
        assert_eq!((refused.param(), refused.to_string().as_str()), (Some(param), message));
    }
}

#[test]
fn a_field_we_decide_on_must_appear_once_and_in_lower_case() {
    for (body, field) in [
        (r#"{"model":"a","model":"a"}"#, MODEL),
        (r#"{"model":"a","x":[1],"mod\u0065l":"b"}"#, MODEL),
        (r#"{"model":"a","Model":"b"}"#, MODEL),
        (r#"{"model":"a","stream":true,"stream":null}"#, STREAM),
        (r#"{"model":"a","stream_options":null,"stream_options":{}}"#, STREAM_OPTIONS),
        (
            r#"{"model":"a","stream_options":{"include_usage":true,"include_\u0075sage":false}}"#,
            INCLUDE_USAGE_PATH,
        ),
    ] {
        assert_eq!(refused(body), InvalidPrompt::Duplicate { field });
    }
    assert_eq!(refused(r#"{"MODEL":"a"}"#), InvalidPrompt::Case { field: MODEL });
    assert_eq!(refused(r#"{"Model":"a","model":"b"}"#), InvalidPrompt::Case { field: MODEL });
}

#[test]
fn invalid_json_is_rejected_with_its_offset_and_without_its_text() {
    for (body, reason, message) in [
        (
            &b"\xef\xbb\xbf{\"model\":\"m\"}"[..],
            InvalidJsonReason::UnexpectedByte,
            "invalid request body: unexpected character at byte 0",
        ),
        (
            b"{\"model\":\"m\"}secret",
            InvalidJsonReason::TrailingBytes,
            "invalid request body: unexpected text after the object at byte 13",
        ),
        (
            b"{\"model\":\"\xff\"}",
            InvalidJsonReason::InvalidUtf8,
            "invalid request body: invalid UTF-8 at byte 10",
        ),
        (
            b"{\"model\":\"\0\"}",
            InvalidJsonReason::ControlCharacter,
            "invalid request body: unescaped control character in a string at byte 10",
        ),
        (
            b"[1]",
            InvalidJsonReason::NotAnObject(ValueKind::Array),
            "invalid request body: a JSON object is expected, not an array, at byte 0",
        ),
        (b"", InvalidJsonReason::UnexpectedEnd, "invalid request body: unexpected end at byte 0"),
    ] {
        let refused = json(body).unwrap_err();
        assert!(matches!(refused, InvalidPrompt::Json(invalid) if invalid.reason == reason));
        assert_eq!((refused.to_string().as_str(), refused.param()), (message, None));
    }
    let deep =
        format!(r#"{{"model":"m","messages":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(
        refused(&deep).to_string(),
        "invalid request body: more than 512 levels of nesting at byte 535"
    );
}

#[test]
fn another_name_upstream_replaces_the_model() {
    let body = r#"{ "messages" : [1.0] , "model" : "a" }"#;
    let scan = json(body.as_bytes()).unwrap();
    let renamed = rewritten(body, &scan, Some("org/\"b\""), None);
    assert_eq!(renamed, r#"{ "messages" : [1.0] , "model" : "org/\"b\"" }"#);
    assert_eq!(rewritten(body, &scan, Some("a"), None), body);
}

#[test]
fn usage_is_requested_without_changing_anything_else() {
    for (body, expected) in [
        (
            r#"{"model":"m" ,"stream":true}"#,
            r#"{"model":"m","stream_options":{"include_usage":true} ,"stream":true}"#,
        ),
        (
            r#"{"stream":true,"model":"m"}"#,
            r#"{"stream":true,"model":"m","stream_options":{"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options": null}"#,
            r#"{"model":"m","stream":true,"stream_options": {"include_usage":true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{ }}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true }}"#,
        ),
        (
            r#"{"stream_options":{"x":1},"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true,"x":1},"model":"m","stream":true}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"x":1,"include_usage" : false}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"x":1,"include_usage" : true}}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":null}}"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        ),
    ] {
        assert_eq!(asking(body, UsageReporting::Total), expected);
    }
}

#[test]
fn continuous_usage_is_requested_together_with_usage() {
    for (options, expected) in [
        ("null", r#"{"include_usage":true,"continuous_usage_stats":true}"#),
        ("{}", r#"{"include_usage":true,"continuous_usage_stats":true}"#),
        (r#"{"include_usage":true}"#, r#"{"continuous_usage_stats":true,"include_usage":true}"#),
        (
            r#"{"continuous_usage_stats":false,"include_usage":null}"#,
            r#"{"continuous_usage_stats":true,"include_usage":true}"#,
        ),
    ] {
        let body =
            |options: &str| format!(r#"{{"model":"m","stream":true,"stream_options":{options}}}"#);
        assert_eq!(asking(&body(options), UsageReporting::Continuous), body(expected));
    }
}

#[test]
fn a_request_with_enough_usage_or_without_stream_is_unchanged() {
    for body in [
        r#"{"model":"m"}"#,
        r#"{"model":"m","stream":false,"stream_options":{"include_usage":false}}"#,
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}"#,
    ] {
        assert_eq!(asking(body, UsageReporting::Continuous), body);
    }
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
    assert_eq!(asking(body, UsageReporting::Total), body);
}

#[test]
fn the_fields_of_a_form_are_read_like_members() {
    let body =
        form_body(&[("stream", "true"), ("stream_include_usage", "True"), ("model", "whisper")]);
    let scan = form(body.as_bytes(), FORM_TYPE).unwrap();
    assert_eq!((scan.model.as_str(), body.get(scan.model_span)), ("whisper", Some("whisper")));
    assert_eq!((scan.stream, scan.usage), (true, UsageReporting::Total));

    let refused =
        |fields: &[(&str, &str)]| form(form_body(fields).as_bytes(), FORM_TYPE).unwrap_err();
    assert_eq!(refused(&[("model", "")]), InvalidPrompt::ModelEmpty);
    assert_eq!(refused(&[("model", "a\nb")]), InvalidPrompt::ModelCharacters);
    let twice = refused(&[("model", "a"), ("model", "a")]);
    assert_eq!(twice.to_string(), "invalid form: `model` appears more than once in the form");
    assert_eq!(twice.param(), Some("model"));
}

#[test]
fn both_edits_of_a_form_leave_the_rest_of_it() {
    let body = form_body(&[("stream_include_usage", "false"), ("stream", "true"), ("model", "a")]);
    let scan = form(body.as_bytes(), FORM_TYPE).unwrap();
    assert_eq!(
        rewritten(&body, &scan, Some("org/b"), Some(UsageReporting::Continuous)),
        form_body(&[
            ("stream_continuous_usage_stats", "true"),
            ("stream_include_usage", "true"),
            ("stream", "true"),
            ("model", "org/b"),
        ]),
    );
}

fn usage() -> impl Strategy<Value = UsageReporting> {
    prop_oneof![
        Just(UsageReporting::Off),
        Just(UsageReporting::Total),
        Just(UsageReporting::Continuous)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn edits_change_the_model_and_the_usage_and_nothing_else(
        members in Just(vec![
            ("model", value!("a")), ("stream", value!(true)), ("n", value!(1)),
            ("messages", value!([{"model": "x", "content": "\"}é"}])),
        ]).prop_shuffle(),
        options in prop_oneof![
            Just(None), Just(Some(value!(null))), Just(Some(value!({}))), Just(Some(value!({"x": [1]}))),
            (any::<Option<bool>>(), any::<Option<bool>>(), any::<bool>()).prop_map(|(i, c, x)| {
                let mut options = value!({"include_usage": i, "continuous_usage_stats": c});
                if x { options["x"] = value!({}); }
                Some(options)
            }),
        ],
        at in 0..5_usize,
        pretty: bool,
        model in "[a-z\"\\\\é😀/]{1,9}",
        least in usage(),
    ) {
        let mut members = members;
        if let Some(options) = options { members.insert(at.min(members.len()), ("stream_options", options)) }
        let written = |v: &Value| if pretty { format!(" {v:#}\n") } else { v.to_string() };
        let members: Vec<_> = members.iter().map(|(k, v)| format!("\"{k}\":{}", written(v))).collect();
        let body = format!("{{{}}}", members.join(","));

        let before = json(body.as_bytes()).unwrap();
        let after = rewritten(&body, &before, Some(&model), Some(least));
        let scan = json(after.as_bytes()).unwrap();
        prop_assert_eq!(&scan.model, &model);
        // What the client had set to no effect takes effect.
        prop_assert!(scan.usage >= least.max(before.usage));

        let [mut old, mut new] = [&body, &after].map(|b| serde_json::from_str::<Value>(b).unwrap());
        for document in [&mut old, &mut new] {
            document["model"].take();
            let options = document.get_mut("stream_options").map(Value::take).unwrap_or_default();
            let mut options = options.as_object().cloned().unwrap_or_default();
            options.remove("include_usage");
            options.remove("continuous_usage_stats");
            document["stream_options"] = options.into();
        }
        prop_assert_eq!(old, new);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text in r#"\{("model":"a")?[\{\}\[\]",:\\ utrem]{0,20}\}"#) {
        for body in [bytes.as_slice(), text.as_bytes()] {
            let _ = json(body);
            let _ = form(body, FORM_TYPE);
        }
    }
}
