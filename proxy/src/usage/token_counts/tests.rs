use proptest::prelude::*;

use super::*;

fn usage(usage_format: UsageFormat, told: &[&str]) -> Option<TokenUsage> {
    let mut all: Option<TokenCounts> = None;
    for counts in told.iter().filter_map(|told| TokenCounts::parse(told.as_bytes())) {
        all.get_or_insert_default().merge(counts);
    }
    all.map(|counts| counts.usage(usage_format, 0))
}

fn exact(input_tokens: u64, output_tokens: u64, cached_tokens: u64) -> Option<TokenUsage> {
    Some(TokenUsage { input_tokens, output_tokens, cached_tokens, estimated: false })
}

#[test]
fn every_dialect_is_read() {
    for (usage_format, told, expected) in [
        (
            UsageFormat::Chat,
            r#"{"prompt_tokens":360,"total_tokens":365,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":256,"created_cache_tokens":0,"multimodal_tokens":null},"completion_tokens_details":null}"#,
            exact(360, 5, 256),
        ),
        (
            UsageFormat::Completions,
            r#"{"prompt_tokens":3,"total_tokens":5,"completion_tokens":2,"prompt_tokens_details":null}"#,
            exact(3, 2, 0),
        ),
        (
            UsageFormat::Responses,
            r#"{"input_tokens":13,"input_tokens_details":{"cached_tokens":7,"cache_write_tokens":0,"input_tokens_per_turn":[],"cached_tokens_per_turn":[]},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":16}"#,
            exact(13, 3, 7),
        ),
        (
            UsageFormat::Messages,
            r#"{"input_tokens":104,"output_tokens":3,"cache_creation_input_tokens":10,"cache_read_input_tokens":256}"#,
            exact(370, 3, 256),
        ),
        (UsageFormat::Embeddings, r#"{"prompt_tokens":8,"total_tokens":8}"#, exact(8, 0, 0)),
        (UsageFormat::Embeddings, r#"{"total_tokens":56}"#, exact(56, 0, 0)),
        (
            UsageFormat::Audio,
            r#"{"type":"tokens","input_tokens":14,"input_token_details":{"text_tokens":0,"audio_tokens":14},"output_tokens":101,"total_tokens":115}"#,
            exact(14, 101, 0),
        ),
        (UsageFormat::Audio, r#"{"type":"duration","seconds":12}"#, None),
        (
            UsageFormat::Images,
            r#"{"input_tokens":50,"output_tokens":4160,"total_tokens":4210,"input_tokens_details":{"text_tokens":50,"image_tokens":0}}"#,
            exact(50, 4160, 0),
        ),
    ] {
        assert_eq!(usage(usage_format, &[told]), expected, "{told}");
    }
}

#[test]
fn a_value_that_is_no_count_is_ignored() {
    for (told, expected) in [
        (r#"{"prompt_tokens":-1,"completion_tokens":2}"#, exact(0, 2, 0)),
        (r#"{"prompt_tokens":1.5,"completion_tokens":2}"#, exact(0, 2, 0)),
        (r#"{"prompt_tokens":"9","completion_tokens":2}"#, exact(0, 2, 0)),
        (r#"{"prompt_tokens":99999999999999999999999,"completion_tokens":2}"#, exact(0, 2, 0)),
        (
            r#"{"prompt_tokens":1000000001,"completion_tokens":1000000000}"#,
            exact(0, 1_000_000_000, 0),
        ),
        (r#"{"prompt_tokens":1e300,"prompt_tokens_details":7}"#, None),
        (r#"{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":null}}"#, exact(1, 0, 0)),
        (r#"{"surprise":{"prompt_tokens":9}}"#, None),
        ("null", None),
        ("[1]", None),
        (r#"{"prompt_tokens":13"#, None),
        ("", None),
    ] {
        assert_eq!(usage(UsageFormat::Chat, &[told]), expected, "{told}");
    }
}

#[test]
fn a_later_event_completes_an_earlier_one_and_does_not_undo_it() {
    let start = r#"{"input_tokens":25,"cache_read_input_tokens":100,"output_tokens":1}"#;
    for (later, expected) in [
        (r#"{"output_tokens":15}"#, exact(125, 15, 100)),
        (
            r#"{"input_tokens":0,"output_tokens":15,"cache_read_input_tokens":0}"#,
            exact(125, 15, 100),
        ),
        (r#"{"input_tokens":25,"output_tokens":15}"#, exact(125, 15, 100)),
        (r#"{"input_tokens":25,"output_tokens":0}"#, exact(125, 1, 100)),
    ] {
        assert_eq!(usage(UsageFormat::Messages, &[start, later]), expected, "{later}");
    }
}

#[test]
fn input_that_turns_out_to_be_cached_is_not_counted_twice() {
    let told = [
        r#"{"input_tokens":360,"output_tokens":0}"#,
        r#"{"input_tokens":104,"output_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":256}"#,
    ];
    assert_eq!(usage(UsageFormat::Messages, &told), exact(360, 3, 256));
}

proptest! {
    #[test]
    fn any_bytes_are_some_usage_or_none(bytes: Vec<u8>) {
        let _any = TokenCounts::parse(&bytes);
    }

    #[test]
    fn no_numbers_overflow(input: i128, output: f64, cached: u64, unreported: u64) {
        let told = format!(
            r#"{{"input_tokens":{input},"output_tokens":{output:?},"cache_read_input_tokens":{cached}}}"#
        );
        if let Some(counts) = TokenCounts::parse(told.as_bytes()) {
            let usage = counts.usage(UsageFormat::Messages, unreported);
            prop_assert!(usage.input_tokens <= 3 * TOKENS_MAX);
        }
    }
}
