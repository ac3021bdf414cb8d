use proptest::prelude::*;

use super::*;

/// The events in pieces put together again, and what is left without an end.
fn cut<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Vec<u8>) {
    let (mut splitter, mut events, mut open) = (SseSplitter::default(), Vec::new(), Vec::new());
    for mut piece in pieces {
        while let Some(part) = splitter.next(&mut piece) {
            open.extend_from_slice(part);
            events.push(std::mem::take(&mut open));
        }
        open.extend_from_slice(piece);
    }
    (events, open)
}

fn data(event: &str) -> Option<String> {
    let event = SseEvent::parse(event.as_bytes())?;
    Some(String::from_utf8(event.data.text.into_owned()).unwrap())
}

#[test]
fn an_event_ends_in_a_blank_line_whatever_ends_its_lines() {
    for (stream, expected) in [
        ("data: 1\n\ndata: 2\n\n", vec!["data: 1\n\n", "data: 2\n\n"]),
        ("data: 1\r\n\r\ndata: 2\r\n\r\n", vec!["data: 1\r\n\r\n", "data: 2\r\n\r\n"]),
        ("data: 1\r\rdata: 2\r\r", vec!["data: 1\r\r", "data: 2\r\r"]),
        ("data: 1\n\r\ndata: 2\r\n\n", vec!["data: 1\n\r\n", "data: 2\r\n\n"]),
        ("data: 1\n\rdata: 2\n\n", vec!["data: 1\n\r", "data: 2\n\n"]),
        ("id: 7\ndata: 1\ndata: 2\n\n", vec!["id: 7\ndata: 1\ndata: 2\n\n"]),
    ] {
        let (events, open) = cut([stream.as_bytes()]);
        let expected: Vec<_> = expected.iter().map(|event| event.as_bytes()).collect();
        assert_eq!(
            (events, open.as_slice()),
            (expected.into_iter().map(Vec::from).collect(), &b""[..])
        );
    }
}

#[test]
fn the_line_feed_of_the_blank_line_is_waited_for_only_if_the_stream_has_them() {
    assert_eq!(cut([&b"data: 1\r\n\r"[..]]).0.len(), 0);
    assert_eq!(cut([&b"data: 1\r\r"[..]]).0.len(), 1);
}

#[test]
fn an_event_without_an_end_is_no_event() {
    assert_eq!(cut([&b"data: 1\n"[..]]), (vec![], b"data: 1\n".to_vec()));
}

#[test]
fn data_is_read_with_one_space_less_and_a_line_feed_between_its_lines() {
    for (event, expected) in [
        ("data: 1\n\n", Some("1")),
        ("data:1\n\n", Some("1")),
        ("data:  1\r\n\r\n", Some(" 1")),
        ("event: x\nid: 3\nretry: 9\ndata: 1\n: c\ndata: 2\n\n", Some("1\n2")),
        ("data\ndata\n\n", Some("\n")),
        ("database: 1\n\n", None),
        (": ping\n\n", None),
        ("event: x\n\n", None),
        ("\n", None),
    ] {
        assert_eq!(data(event).as_deref(), expected, "{event:?}");
    }
}

#[test]
fn an_event_has_a_name() {
    let event = SseEvent::parse(b"event: message_stop\ndata: {}\n\n").unwrap();
    assert_eq!(event.name, Some(&b"message_stop"[..]));
}

#[test]
fn a_part_of_the_data_is_found_in_the_event() {
    let raw = ": c\ndata: {\"a\":1,\r\ndata: \"b\":2}\n\n";
    let event = SseEvent::parse(raw.as_bytes()).unwrap();
    let text = str::from_utf8(&event.data.text).unwrap();
    let part = text.find(",\n\"b\":2").unwrap();
    let part = event.data.range_in_event(part..part + 7);
    assert_eq!(raw.get(part).unwrap(), ",\r\ndata: \"b\":2");
}

proptest! {
    #[test]
    fn chunk_boundaries_do_not_matter(
        stream in "(data: [a-z]{0,3}|:|\n|\r|\r\n|[a-z]){0,24}",
        breaks in prop::collection::vec(0usize..40, 0..6),
    ) {
        let whole = cut([stream.as_bytes()]);
        prop_assert_eq!(cut(pieces(stream.as_bytes(), &breaks)), whole);
    }

    #[test]
    fn nothing_is_lost_of_any_bytes(bytes: Vec<u8>) {
        let (events, open) = cut([bytes.as_slice()]);
        prop_assert_eq!([events.concat(), open].concat(), bytes);
    }

    #[test]
    fn any_bytes_are_some_event(bytes: Vec<u8>) {
        if let Some(event) = SseEvent::parse(&bytes) {
            let whole = event.data.range_in_event(0..event.data.text.len());
            prop_assert!(bytes.get(whole).is_some());
        }
    }
}

/// `bytes` in pieces that break at `breaks`.
pub(crate) fn pieces<'a>(bytes: &'a [u8], breaks: &[usize]) -> Vec<&'a [u8]> {
    let mut breaks: Vec<_> = breaks.iter().map(|at| at % (bytes.len() + 1)).collect();
    breaks.sort_unstable();
    let mut start = 0;
    let mut pieces = Vec::new();
    for end in breaks.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[start..end]);
        start = end;
    }
    pieces
}
