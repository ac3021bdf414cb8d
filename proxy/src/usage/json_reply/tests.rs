use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::usage::sse::tests::pieces;

const CHAT: &str = r#"{"id":"chatcmpl-abc-1","object":"chat.completion","created":1795404711,"model":"tiny","choices":[{"index":0,"message":{"role":"assistant","content":"atantatantat","refusal":null,"annotations":null,"audio":null,"function_call":null,"reasoning":null},"logprobs":null,"finish_reason":"length","stop_reason":null,"token_ids":null,"routed_experts":null}],"service_tier":null,"system_fingerprint":"vllm-0.32.0-5be84e9d","usage":{"prompt_tokens":13,"total_tokens":18,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":0,"created_cache_tokens":0,"multimodal_tokens":null},"completion_tokens_details":null},"prompt_logprobs":null,"prompt_token_ids":null,"prompt_text":null,"kv_transfer_params":null,"ec_transfer_params":null,"metrics":null}"#;
const MESSAGE: &str = r#"{"id":"chatcmpl-83cff9f172de9650","type":"message","role":"assistant","content":[{"type":"text","text":"atantat"}],"model":"tiny","stop_reason":"max_tokens","usage":{"input_tokens":13,"output_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0}}"#;

fn read<'a>(
    usage_format: UsageFormat,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Option<TokenUsage> {
    let mut reader = JsonUsageReader::new(usage_format);
    for piece in pieces {
        reader.push(piece);
    }
    reader.finish()
}

fn output(reply: &str) -> Option<u64> {
    read(UsageFormat::Chat, [reply.as_bytes()]).map(|usage| usage.output_tokens)
}

#[test]
fn the_replies_of_a_model_server_are_read() {
    let usage = |input_tokens, output_tokens| TokenUsage {
        input_tokens,
        output_tokens,
        cached_tokens: 0,
        estimated: false,
    };
    assert_eq!(read(UsageFormat::Chat, [CHAT.as_bytes()]), Some(usage(13, 5)));
    assert_eq!(read(UsageFormat::Messages, [MESSAGE.as_bytes()]), Some(usage(13, 3)));
    assert_eq!(read(UsageFormat::None, [CHAT.as_bytes()]), None);
}

#[test]
fn usage_in_a_text_or_in_a_nested_object_is_not_believed() {
    for reply in [
        r#"{"content":"\"usage\":{\"output_tokens\":9}","usage":{"output_tokens":1}}"#,
        r#"{"usage":{"output_tokens":1},"content":"\\\"usage\":{\"output_tokens\":9}"}"#,
        r#"{"choices":[{"usage":{"output_tokens":9}}],"usage":{"output_tokens":1}}"#,
        r#"{"usage":{"output_tokens":1},"x":{"usage":{"output_tokens":9}}}"#,
        r#"{"usage":{"output_tokens":1},"usages":{"output_tokens":9}}"#,
        r#"{"usage":{"output_tokens":1},"usag":{"output_tokens":9}}"#,
        r#"{"x":"usage","y":1,"usage":{"output_tokens":1}}"#,
        r#"{"usage":{"output_tokens":1}} {"usage":{"output_tokens":9}}"#,
        " \n{ \"a\" : [ 1 , \"]\" ] , \"usage\" : { \"output_tokens\" : 1 } }",
        r#"{"usage":{"output_tokens":1,"x":"}\\","y":[{}]}}"#,
    ] {
        assert_eq!(output(reply), Some(1), "{reply}");
    }
}

#[test]
fn of_two_usages_the_last_counts() {
    assert_eq!(output(r#"{"usage":{"output_tokens":9},"usage":{"output_tokens":1}}"#), Some(1));
}

#[test]
fn a_reply_without_usage_has_unknown_cost() {
    for reply in [
        "",
        "null",
        "[]",
        "{}",
        r#"[{"usage":{"output_tokens":1}}]"#,
        r#"{"usage":null}"#,
        r#"{"usage":{"output_tokens":1"#,
        "Bad Gateway",
        r#""{\"usage\":{\"output_tokens\":1}}""#,
    ] {
        assert_eq!(output(reply), None, "{reply}");
    }
}

#[test]
fn usage_that_is_too_long_is_not_kept() {
    let fill = |bytes: usize| {
        let rest = r#"{"output_tokens":1,"x":""}"#.len();
        format!(r#"{{"usage":{{"output_tokens":1,"x":"{}"}}}}"#, "x".repeat(bytes - rest))
    };
    assert_eq!(output(&fill(USAGE_BYTES_MAX)), Some(1));
    assert_eq!(output(&fill(USAGE_BYTES_MAX + 1)), None);
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<u32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[\"\\\\{}\\[\\],:a-z\\pL]{0,12}".prop_map(Value::from),
        Just(json!("\"usage\":{\"output_tokens\":9}")),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map("usage|output_tokens|[a-z\"\\\\]{0,3}", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_found_is_what_a_parser_finds(
        before in value(), usage in value(), after in value(),
        pretty: bool, breaks in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        let reply = json!({ "a\\\"": before, "usage": usage, "z": after });
        let text = if pretty { serde_json::to_string_pretty(&reply) } else { serde_json::to_string(&reply) };
        let text = text.unwrap();
        let mut reader = JsonUsageReader::new(UsageFormat::Chat);
        for piece in pieces(text.as_bytes(), &breaks) {
            reader.push(piece);
        }
        let found: Value = serde_json::from_slice(&reader.value).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&found, &expected["usage"]);
    }

    #[test]
    fn chunk_boundaries_do_not_matter(
        bytes in "[{}\\[\\]\",:\\\\ usage1]{0,60}",
        breaks in prop::collection::vec(any::<usize>(), 0..8),
    ) {
        for bytes in [bytes.as_bytes(), CHAT.as_bytes(), MESSAGE.as_bytes()] {
            let whole = read(UsageFormat::Chat, [bytes]);
            prop_assert_eq!(read(UsageFormat::Chat, pieces(bytes, &breaks)), whole);
        }
    }

    #[test]
    fn eight_bytes_at_a_time_find_what_one_at_a_time_does(bytes: Vec<u8>, commas: bool) {
        let one = bytes.iter().position(|b| b"\"{}[]".contains(b) || (commas && *b == b','));
        prop_assert_eq!(structural(&bytes, commas), one);
    }
}
