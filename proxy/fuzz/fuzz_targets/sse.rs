//! Whatever an upstream streams: no panic, nothing changed that is not ours to hide, and the
//! same in one piece as in many.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use llm_proxy::usage::{UsageFilter, JsonUsageReader, UsageFormat, StreamSummary, SseUsageReader, first_event};

const SHAPES: [UsageFormat; 4] = [UsageFormat::Chat, UsageFormat::Completions, UsageFormat::Responses, UsageFormat::Messages];
const HIDES: [UsageFilter; 4] =
    [UsageFilter::Off, UsageFilter::FinalChunk, UsageFilter::All, UsageFilter::ContinuousOnly];

fn relay(shape: UsageFormat, hide: UsageFilter, stream: &[u8], piece_bytes: usize) -> (Vec<u8>, StreamSummary) {
    let mut reader = SseUsageReader::new(shape, hide);
    let mut out = Vec::new();
    for piece in stream.chunks(piece_bytes) {
        out.extend_from_slice(&reader.push(&Bytes::copy_from_slice(piece)));
    }
    out.extend_from_slice(&reader.flush());
    (out, reader.finish())
}

fuzz_target!(|input: (u8, &[u8])| {
    let (piece_bytes, stream) = (usize::from(input.0) + 1, input.1);
    let _any = first_event(stream);
    for shape in SHAPES {
        let mut reply = JsonUsageReader::new(shape);
        stream.chunks(piece_bytes).for_each(|piece| reply.push(piece));
        let mut whole = JsonUsageReader::new(shape);
        whole.push(stream);
        assert_eq!(reply.finish(), whole.finish());
        for hide in HIDES {
            let relayed = relay(shape, hide, stream, piece_bytes);
            assert_eq!(relayed, relay(shape, hide, stream, stream.len().max(1)));
            assert!(hide != UsageFilter::Off || relayed.0 == stream);
        }
    }
});
