//! Whatever an upstream streams: no panic, nothing changed that is not ours to hide, and the
//! same in one piece as in many.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use llm_proxy::usage::{Hide, ReplyReader, Shape, StreamEnd, StreamReader, first_event};

const SHAPES: [Shape; 4] = [Shape::Chat, Shape::Completions, Shape::Responses, Shape::Messages];
const HIDES: [Hide; 4] =
    [Hide::Nothing, Hide::UsageChunk, Hide::UsageEverywhere, Hide::ContinuousOnly];

fn relay(shape: Shape, hide: Hide, stream: &[u8], piece_bytes: usize) -> (Vec<u8>, StreamEnd) {
    let mut reader = StreamReader::new(shape, hide);
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
        let mut reply = ReplyReader::new(shape);
        stream.chunks(piece_bytes).for_each(|piece| reply.push(piece));
        let mut whole = ReplyReader::new(shape);
        whole.push(stream);
        assert_eq!(reply.finish(), whole.finish());
        for hide in HIDES {
            let relayed = relay(shape, hide, stream, piece_bytes);
            assert_eq!(relayed, relay(shape, hide, stream, stream.len().max(1)));
            assert!(hide != Hide::Nothing || relayed.0 == stream);
        }
    }
});
