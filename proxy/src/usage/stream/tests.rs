use proptest::prelude::*;

use super::*;
use crate::usage::sse::tests::pieces;

const FINGERPRINT: &str = r#""system_fingerprint":"vllm-0.32.0-5be84e9d""#;
const HEAD: &str =
    r#""id":"chatcmpl-abc-1","object":"chat.completion.chunk","created":1795404711,"model":"tiny""#;
const SHUTDOWN: &str = r#"data: {"error": {"message": "EngineCore encountered an issue. See stack trace (above) for the root cause.", "type": "InternalServerError", "param": null, "code": 500}}"#;

/// What a stream of vLLM was asked to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Include,
    Continuous,
}

/// One stream as vLLM writes it: 13 tokens in, one event for each text, two tokens in each.
fn chat(texts: &[&str], asked: Asked, blank: &str) -> String {
    let mut stream = String::new();
    let mut tokens = 0;
    let mut event = |choices: &str, more: &str, tokens: usize| {
        let usage = if asked == Asked::Continuous {
            let total = 13 + tokens;
            format!(
                r#","usage":{{"prompt_tokens":13,"total_tokens":{total},"completion_tokens":{tokens},"completion_tokens_details":null}}"#
            )
        } else {
            String::new()
        };
        let event = format!(r#"data: {{{HEAD},"choices":[{choices}]{usage}{more}}}{blank}"#);
        stream.push_str(&event);
    };
    event(
        r#"{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}"#,
        r#","prompt_token_ids":null,"prompt_text":null"#,
        0,
    );
    for text in texts {
        tokens += 2;
        let text = serde_json::to_string(text).unwrap();
        let choice = format!(
            r#"{{"index":0,"delta":{{"content":{text}}},"logprobs":null,"finish_reason":null,"token_ids":null}}"#
        );
        event(&choice, "", tokens);
    }
    if asked != Asked::Nothing {
        let total = 13 + tokens;
        stream.push_str(&format!(r#"data: {{{HEAD},"choices":[],"usage":{{"prompt_tokens":13,"total_tokens":{total},"completion_tokens":{tokens},"prompt_tokens_details":{{"cached_tokens":8,"created_cache_tokens":0}}}},{FINGERPRINT}}}{blank}"#));
    }
    stream + "data: [DONE]" + blank
}

fn relay<'a>(
    usage_format: UsageFormat,
    hide: UsageFilter,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (String, StreamSummary) {
    let mut reader = SseUsageReader::new(usage_format, hide);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&reader.push(&Bytes::copy_from_slice(piece)));
    }
    out.extend_from_slice(&reader.flush());
    (String::from_utf8_lossy(&out).into_owned(), reader.finish())
}

fn end(usage_format: UsageFormat, stream: &str) -> StreamSummary {
    relay(usage_format, UsageFilter::Off, [stream.as_bytes()]).1
}

fn hidden(hide: UsageFilter, stream: &str) -> String {
    relay(UsageFormat::Chat, hide, [stream.as_bytes()]).0
}

fn usage(
    input_tokens: u64,
    output_tokens: u64,
    cached_tokens: u64,
    estimated: bool,
) -> Option<TokenUsage> {
    Some(TokenUsage { input_tokens, output_tokens, cached_tokens, estimated })
}

#[test]
fn a_chat_is_counted_from_its_usage_and_not_from_its_events() {
    let end = end(UsageFormat::Chat, &chat(&["at", "ant"], Asked::Include, "\n\n"));
    assert_eq!(
        end,
        StreamSummary { usage: usage(13, 4, 8, false), saw_done: true, failed: false, events: 5 }
    );
}

#[test]
fn a_stream_cut_off_is_counted_up_to_the_last_report() {
    let stream = chat(&["at", "ant", "at"], Asked::Continuous, "\n\n");
    let cut = stream.match_indices("\n\n").nth(2).unwrap().0 + 2;
    let end = end(UsageFormat::Chat, stream.get(..cut + 20).unwrap());
    assert_eq!((end.usage, end.saw_done), (usage(13, 4, 0, false), false));
}

#[test]
fn without_usage_an_event_with_text_counts_as_a_token() {
    let end = end(UsageFormat::Chat, &chat(&["at", "ant", "at"], Asked::Nothing, "\n\n"));
    assert_eq!(end.usage, usage(0, 3, 0, true));
}

#[test]
fn a_stream_with_only_an_error_has_unknown_cost() {
    let end = end(UsageFormat::Chat, &format!("{SHUTDOWN}\n\ndata: [DONE]\n\n"));
    assert_eq!(end, StreamSummary { usage: None, saw_done: true, failed: true, events: 2 });
}

#[test]
fn completions_are_counted() {
    let stream = format!(
        "data: {{\"id\":\"cmpl-1\",\"choices\":[{{\"index\":0,\"text\":\"at\"}}]}}\n\n\
         data: {{\"id\":\"cmpl-1\",\"choices\":[],\"usage\":{{\"prompt_tokens\":3,\"total_tokens\":5,\"completion_tokens\":2,\"prompt_tokens_details\":{{\"cached_tokens\":0}}}},{FINGERPRINT}}}\n\n\
         data: [DONE]\n\n"
    );
    assert_eq!(end(UsageFormat::Completions, &stream).usage, usage(3, 2, 0, false));
}

fn responses(last: &str) -> String {
    let mut stream = String::new();
    for (kind, rest) in [
        ("response.created", r#""response":{"id":"resp_1","error":null,"usage":null}"#),
        ("response.in_progress", r#""response":{"id":"resp_1","error":null,"usage":null}"#),
        ("response.output_item.added", r#""item":{"type":"message","content":[]}"#),
        ("response.content_part.added", r#""part":{"type":"output_text","text":""}"#),
        ("response.output_text.delta", r#""delta":"at""#),
        ("response.output_text.delta", r#""delta":"\"usage\":{\"output_tokens\":9}""#),
        ("response.output_text.done", r#""text":"at""#),
        ("response.content_part.done", r#""part":{"type":"output_text","text":"at"}"#),
        ("response.output_item.done", r#""item":{"type":"message","usage":{"output_tokens":9}}"#),
        (
            last,
            r#""response":{"id":"resp_1","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":13,"input_tokens_details":{"cached_tokens":7},"output_tokens":3,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":16}}"#,
        ),
    ] {
        stream.push_str(&format!("event: {kind}\ndata: {{\"type\":\"{kind}\",{rest}}}\n\n"));
    }
    stream
}

#[test]
fn responses_are_counted_from_their_last_event() {
    for (last, failed) in
        [("response.completed", false), ("response.incomplete", false), ("response.failed", true)]
    {
        let expected =
            StreamSummary { usage: usage(13, 3, 7, false), saw_done: true, failed, events: 10 };
        assert_eq!(end(UsageFormat::Responses, &responses(last)), expected, "{last}");
        let untyped = responses(last).replace("event: ", ": ");
        assert_eq!(end(UsageFormat::Responses, &untyped), expected, "{last} without `event:`");
    }
}

#[test]
fn a_response_cut_off_is_estimated() {
    let stream = responses("response.completed");
    let cut = stream.find("event: response.completed").unwrap();
    assert_eq!(end(UsageFormat::Responses, stream.get(..cut).unwrap()).usage, usage(0, 2, 0, true));
}

const MESSAGES: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"m","type":"message","role":"assistant","content":[],"model":"tiny","usage":{"input_tokens":13,"output_tokens":0}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"at"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"ant"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"input_tokens":5,"output_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":8}}

event: message_stop
data: {"type":"message_stop"}

"#;

#[test]
fn messages_are_counted_from_their_first_and_last_events() {
    let expected =
        StreamSummary { usage: usage(13, 3, 8, false), saw_done: true, failed: false, events: 7 };
    assert_eq!(end(UsageFormat::Messages, MESSAGES), expected);
}

#[test]
fn a_message_cut_off_keeps_its_reported_input() {
    let cut = MESSAGES.find("event: message_delta").unwrap();
    let end = end(UsageFormat::Messages, MESSAGES.get(..cut).unwrap());
    assert_eq!((end.usage, end.saw_done), (usage(13, 2, 0, true), false));
}

#[test]
fn a_transcription_is_counted() {
    let stream = "data: {\"type\":\"transcript.text.delta\",\"delta\":\"at\"}\n\n\
        data: {\"type\":\"transcript.text.done\",\"text\":\"at\",\"usage\":{\"type\":\"tokens\",\"input_tokens\":14,\"output_tokens\":2,\"total_tokens\":16}}\n\n";
    let end = end(UsageFormat::Audio, stream);
    assert_eq!((end.usage, end.saw_done), (usage(14, 2, 0, false), true));
}

#[test]
fn openais_null_usage_is_removed_only_if_we_requested_usage() {
    let stream =
        "data: {\"choices\":[{}],\"usage\":null}\n\ndata: {\"usage\": null, \"choices\":[{}]}\n\n";
    let plain = "data: {\"choices\":[{}]}\n\ndata: {\"choices\":[{}]}\n\n";
    assert_eq!(hidden(UsageFilter::FinalChunk, stream), plain);
    assert_eq!(hidden(UsageFilter::All, stream), plain);
    assert_eq!(hidden(UsageFilter::ContinuousOnly, stream), stream);
    assert_eq!(hidden(UsageFilter::Off, stream), stream);
}

#[test]
fn unrequested_usage_of_a_provider_beside_output_stays() {
    let stream = "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1}}\n\n";
    assert_eq!(hidden(UsageFilter::FinalChunk, stream), stream);
}

#[test]
fn what_is_not_the_usage_of_the_outermost_object_stays() {
    let stream = "data: {\"choices\":[{\"usage\":{\"a\":1},\"delta\":{\"content\":\"\\\"usage\\\":null\"}}]}\n\n\
        data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n\
        data: {\"usage\":{\"a\":1}, not json\n\n\
        event: x\nid: \"usage\"\ndata: {}\n\n";
    assert_eq!(hidden(UsageFilter::All, stream), stream);
}

#[test]
fn every_usage_of_an_event_is_removed_at_any_position() {
    for (sent, expected) in [
        (r#"{"usage":1}"#, "{}"),
        (r#"{ "usage" : {} , "a":1}"#, r#"{ "a":1}"#),
        (r#"{"a":1 , "usage" : {} }"#, r#"{"a":1 }"#),
        (r#"{"a":1,"usage":{},"b":2}"#, r#"{"a":1,"b":2}"#),
        (r#"{"usage":1,"a":1,"usage":{},"b":2,"usage":null}"#, r#"{"a":1,"b":2}"#),
        (r#"{"usage":1,"usage":{},"b":2}"#, r#"{"b":2}"#),
    ] {
        let event = |data| format!("data: {data}\n\n");
        assert_eq!(hidden(UsageFilter::All, &event(sent)), event(expected));
    }
}

#[test]
fn a_stream_is_over_when_the_last_event_of_its_dialect_has_come() {
    for (usage_format, stream, over) in [
        (UsageFormat::Chat, "data: {}\n\ndata: [DONE]\n\n", true),
        (UsageFormat::Chat, "data: {}\n\ndata: [DONE]", true),
        (UsageFormat::Chat, "data: {\"error\":{}}\n\n", true),
        (UsageFormat::Chat, "data: {}\n\n", false),
        (UsageFormat::Messages, "event: message_stop\ndata: {}\n\n", true),
        (UsageFormat::Messages, "event: message_delta\ndata: {}\n\n", false),
        (UsageFormat::Responses, "event: response.completed\ndata: {}\n\n", true),
        (UsageFormat::None, "data: {}\n\n", true),
    ] {
        let mut reader = SseUsageReader::new(usage_format, UsageFilter::Off);
        reader.push(&Bytes::from_static(stream.as_bytes()));
        reader.flush();
        assert_eq!(reader.is_over(), over, "{stream}");
    }
}

#[test]
fn an_error_behind_an_event_without_its_blank_line_is_an_event_of_its_own() {
    let mut reader = SseUsageReader::new(UsageFormat::Chat, UsageFilter::Off);
    reader.push(&Bytes::from_static(b"data: {}"));
    reader.flush();
    assert!(reader.failure("code", "text").starts_with(b"\n\ndata: "));
}

#[test]
fn an_error_passes() {
    let stream = format!("{SHUTDOWN}\n\ndata: [DONE]\n\n");
    assert_eq!(hidden(UsageFilter::All, &stream), stream);
}

#[test]
fn usage_is_removed_from_data_of_several_lines() {
    let stream = "id: 1\ndata: {\"choices\":[{}],\ndata: \"usage\":{\ndata: \"a\":1}\ndata: }\n\n";
    assert_eq!(hidden(UsageFilter::All, stream), "id: 1\ndata: {\"choices\":[{}]\ndata: }\n\n");
}

#[test]
fn an_event_is_forwarded_as_soon_as_it_is_complete() {
    for hide in [UsageFilter::Off, UsageFilter::All] {
        let mut reader = SseUsageReader::new(UsageFormat::Chat, hide);
        assert_eq!(reader.push(&Bytes::from_static(b"data: {}")), "");
        assert_eq!(reader.push(&Bytes::from_static(b"\n")), "");
        assert_eq!(reader.push(&Bytes::from_static(b"\ndata:")), "data: {}\n\n");
        let rest = Bytes::from_static(b" 1\n\n: ping\n\n");
        assert_eq!(reader.push(&rest), "data: 1\n\n: ping\n\n");
    }
}

#[test]
fn nothing_is_copied_without_need() {
    let chunk = Bytes::from(chat(&["at"], Asked::Nothing, "\n\n"));
    for hide in [UsageFilter::Off, UsageFilter::All] {
        let out = SseUsageReader::new(UsageFormat::Chat, hide).push(&chunk);
        assert_eq!((out.as_ptr(), out.len()), (chunk.as_ptr(), chunk.len()), "{hide:?}");
    }
}

#[test]
fn an_event_that_is_too_long_passes_unread_and_the_next_is_read_again() {
    let text = "x".repeat(EVENT_BYTES_MAX);
    let long = format!("data: {{\"choices\":[{{\"text\":\"{text}\"}}],\"usage\":null}}\n\n");
    let stream = long.clone() + &chat(&["at"], Asked::Continuous, "\n\n");
    let expected = long.clone() + &chat(&["at"], Asked::Nothing, "\n\n");
    for size in [stream.len(), 65_536, 7] {
        let (out, end) = relay(UsageFormat::Chat, UsageFilter::All, stream.as_bytes().chunks(size));
        assert!(out == expected, "chunks of {size}");
        assert_eq!(end.usage, usage(13, 2, 8, false));
    }
    assert_eq!(
        relay(UsageFormat::Chat, UsageFilter::Off, [long.as_bytes()]).1.usage,
        usage(0, 1, 0, true)
    );
}

#[test]
fn a_broken_stream_leaves_no_half_event_behind() {
    for hide in [UsageFilter::Off, UsageFilter::FinalChunk] {
        let mut reader = SseUsageReader::new(UsageFormat::Chat, hide);
        let begun = Bytes::from_static(b"data: {}\n\ndata: {\"cho");
        assert_eq!(reader.push(&begun), "data: {}\n\n");
        assert!(reader.failure("upstream_error", "m").starts_with(b"data: {\"error\""));
    }
}

#[test]
fn our_error_event_ends_an_event_that_was_too_long_to_buffer() {
    let mut reader = SseUsageReader::new(UsageFormat::Chat, UsageFilter::Off);
    reader.push(&Bytes::from(format!("data: {}", "x".repeat(EVENT_BYTES_MAX))));
    assert!(reader.mid_event());
    assert!(reader.failure("upstream_error", "m").starts_with(b"\n\ndata: {\"error\""));
}

#[test]
fn our_error_event_has_the_next_sequence_number_of_a_response() {
    let mut reader = SseUsageReader::new(UsageFormat::Responses, UsageFilter::Off);
    reader.push(&Bytes::from_static(b"event: response.created\ndata: {\"sequence_number\":0}\n\n"));
    let event = reader.failure("upstream_error", "m");
    assert!(memchr::memmem::find(&event, br#""sequence_number":1"#).is_some());
}

#[test]
fn the_last_event_is_read_and_forwarded_without_its_blank_line() {
    let stream = chat(&["at"], Asked::Continuous, "\n\n").replace("data: [DONE]\n\n", "");
    let (out, end) = relay(UsageFormat::Chat, UsageFilter::All, [stream.trim_end().as_bytes()]);
    let plain = chat(&["at"], Asked::Nothing, "\n\n").replace("data: [DONE]\n\n", "");
    assert_eq!((out, end.usage), (plain, usage(13, 2, 8, false)));
    assert_eq!(
        relay(UsageFormat::Chat, UsageFilter::FinalChunk, [&b"data: [DONE]"[..]]).0,
        "data: [DONE]"
    );
}

fn breaks() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..12)
}

/// What ends an event: a comment before the blank line belongs to it.
fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n\n"), Just("\r\n\r\n"), Just("\r\r"), Just("\n: ping\r\n\n")]
}

proptest! {
    #[test]
    fn the_client_receives_the_stream_it_requested(
        texts in prop::collection::vec(
            "[\"\\\\{}\\[\\],: a-z\\pL\\n]{0,9}|\"usage\":\\{\"completion_tokens\":99\\}|,\"usage\":null|\\[DONE\\]", 0..6),
        blank in blank(),
        breaks in breaks(),
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let stream = |asked| chat(&texts, asked, blank);
        for (sent, hide, wanted) in [
            (Asked::Nothing, UsageFilter::All, Asked::Nothing),
            (Asked::Include, UsageFilter::Off, Asked::Include),
            (Asked::Include, UsageFilter::FinalChunk, Asked::Nothing),
            (Asked::Include, UsageFilter::All, Asked::Nothing),
            (Asked::Include, UsageFilter::ContinuousOnly, Asked::Include),
            (Asked::Continuous, UsageFilter::Off, Asked::Continuous),
            (Asked::Continuous, UsageFilter::All, Asked::Nothing),
            (Asked::Continuous, UsageFilter::ContinuousOnly, Asked::Include),
        ] {
            let sent_bytes = stream(sent);
            let (out, end) = relay(UsageFormat::Chat, hide, pieces(sent_bytes.as_bytes(), &breaks));
            prop_assert_eq!(out, stream(wanted));
            if sent != Asked::Nothing {
                prop_assert_eq!(end.usage, usage(13, 2 * texts.len() as u64, 8, false));
            }
            prop_assert!(end.saw_done && !end.failed);
        }
    }

    #[test]
    fn chunk_boundaries_do_not_matter(
        stream in "(data: |\\{\"choices\":\\[|\\]|,\"usage\":|null|\\{\\}|\\{\"input_tokens\":7\\}|\\}|\n|\r\n|\r|: x|event: error){0,30}",
        breaks in breaks(),
    ) {
        for hide in [UsageFilter::Off, UsageFilter::FinalChunk, UsageFilter::All, UsageFilter::ContinuousOnly] {
            let whole = relay(UsageFormat::Chat, hide, [stream.as_bytes()]);
            prop_assert_eq!(relay(UsageFormat::Chat, hide, pieces(stream.as_bytes(), &breaks)), whole);
        }
    }

    #[test]
    fn any_bytes_pass_unchanged_without_a_filter(bytes: Vec<u8>, breaks in breaks()) {
        for usage_format in [UsageFormat::Chat, UsageFormat::Responses, UsageFormat::Messages] {
            let mut reader = SseUsageReader::new(usage_format, UsageFilter::Off);
            let mut out = Vec::new();
            for piece in pieces(&bytes, &breaks) {
                out.extend_from_slice(&reader.push(&Bytes::copy_from_slice(piece)));
            }
            out.extend_from_slice(&reader.flush());
            prop_assert_eq!(&out, &bytes);
        }
    }
}
