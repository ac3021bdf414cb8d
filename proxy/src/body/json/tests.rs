use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::*;

fn check(document: impl AsRef<[u8]>) -> Result<(), InvalidJson> {
    members(document.as_ref(), |_| {})
}

fn reason(document: impl AsRef<[u8]>) -> InvalidJsonReason {
    check(document).unwrap_err().reason
}

fn without(document: &[u8], key: &str) -> Vec<u8> {
    let (mut removal, mut spans) = (MemberRemoval::default(), Vec::new());
    members(document, |m| spans.extend(removal.visit(&m, m.key_is(key)))).unwrap();
    spans.extend(removal.finish());
    let mut kept = Vec::new();
    let mut copied = 0;
    for span in spans {
        kept.extend_from_slice(&document[copied..span.start]);
        copied = span.end;
    }
    kept.extend_from_slice(&document[copied..]);
    kept
}

/// An object around `depth - 1` arrays.
fn nested(depth: usize) -> String {
    format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

#[test]
fn members_come_in_order_with_their_spans_and_kinds() {
    let document = r#" { "a" : "x" , "b":-1.5e3,"c":true,"d":null,"e":[1],"f":{"a":2} } "#;
    let mut seen = Vec::new();
    members(document.as_bytes(), |m| seen.push((m.key, document.get(m.value).unwrap(), m.kind)))
        .unwrap();
    assert_eq!(
        seen,
        [
            ("a", r#""x""#, ValueKind::String),
            ("b", "-1.5e3", ValueKind::Number),
            ("c", "true", ValueKind::Bool(true)),
            ("d", "null", ValueKind::Null),
            ("e", "[1]", ValueKind::Array),
            ("f", r#"{"a":2}"#, ValueKind::Object),
        ]
    );
}

#[test]
fn an_error_names_its_reason_and_offset() {
    for (document, offset, reason) in [
        ("", 0, InvalidJsonReason::UnexpectedEnd),
        (" [1]", 1, InvalidJsonReason::NotAnObject(ValueKind::Array)),
        ("\"{}\"", 0, InvalidJsonReason::NotAnObject(ValueKind::String)),
        ("\u{feff}{}", 0, InvalidJsonReason::UnexpectedByte),
        ("{\"a\":1", 6, InvalidJsonReason::UnexpectedEnd),
        ("{\"a\":1,}", 7, InvalidJsonReason::UnexpectedByte),
        ("{,}", 1, InvalidJsonReason::UnexpectedByte),
        ("{a:1}", 1, InvalidJsonReason::UnexpectedByte),
        ("{'a':1}", 1, InvalidJsonReason::UnexpectedByte),
        ("{\"a\" 1}", 5, InvalidJsonReason::UnexpectedByte),
        ("{\"a\":1 \"b\":2}", 7, InvalidJsonReason::UnexpectedByte),
        ("{\"a\":[1,]}", 8, InvalidJsonReason::UnexpectedByte),
        ("{\"a\":[1}", 7, InvalidJsonReason::UnexpectedByte),
        ("{\"a\":NaN}", 5, InvalidJsonReason::UnexpectedByte),
        ("{\"a\":nul}", 8, InvalidJsonReason::UnexpectedByte),
        ("{\"a\":01}", 6, InvalidJsonReason::InvalidNumber),
        ("{\"a\":1.}", 7, InvalidJsonReason::InvalidNumber),
        ("{\"a\":-}", 6, InvalidJsonReason::InvalidNumber),
        ("{\"a\":1e}", 7, InvalidJsonReason::InvalidNumber),
        ("{\"a\":+1}", 5, InvalidJsonReason::UnexpectedByte),
        ("{\"a\":\"\n\"}", 6, InvalidJsonReason::ControlCharacter),
        ("{\"a\":\"\0\"}", 6, InvalidJsonReason::ControlCharacter),
        ("{\"a\":\"\\x\"}", 7, InvalidJsonReason::InvalidEscape),
        ("{\"a\":\"\\u12g4\"}", 10, InvalidJsonReason::InvalidEscape),
        ("{\"a\":\0}", 5, InvalidJsonReason::UnexpectedByte),
        ("{} {}", 3, InvalidJsonReason::TrailingBytes),
        ("{}\0", 2, InvalidJsonReason::TrailingBytes),
        ("{}/* */", 2, InvalidJsonReason::TrailingBytes),
    ] {
        assert_eq!(check(document), Err(InvalidJson { offset, reason }), "{document:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_are_refused_wherever_they_are() {
    for document in
        [&b"{\"a\":\"\xff\"}"[..], b"{\"\xc0\xaf\":1}", b"{}\xed\xa0\x80", b"\xff\xfe{\0}\0"]
    {
        assert_eq!(reason(document), InvalidJsonReason::InvalidUtf8);
    }
}

#[test]
fn nesting_is_limited_and_costs_no_stack() {
    assert_eq!(check(nested(DEPTH_MAX)), Ok(()));
    assert_eq!(reason(nested(DEPTH_MAX + 1)), InvalidJsonReason::TooDeep);
    assert_eq!(reason(nested(10_000)), InvalidJsonReason::TooDeep);
    assert_eq!(reason("{\"a\":".repeat(10_000)), InvalidJsonReason::TooDeep);
}

#[test]
fn brackets_match_across_the_words_of_the_bit_stack() {
    let mixed = |depth: usize, close: &str| {
        format!("{{\"a\":{}1{close}{}}}", "[{\"b\":".repeat(depth), "}]".repeat(depth))
    };
    assert_eq!(check(mixed(200, "")), Ok(()));
    assert_eq!(reason(mixed(200, "]")), InvalidJsonReason::UnexpectedByte);
}

#[test]
fn a_key_is_known_in_any_spelling() {
    let keys = |document: &str, name: &str| {
        let mut found = Vec::new();
        let each = |m: Member<'_>| found.push((m.key_is(name), m.key_is_ignoring_case(name)));
        members(document.as_bytes(), each).unwrap();
        found
    };
    let exact = (true, true);
    assert_eq!(keys(r#"{"model":1,"mod\u0065l":1,"\u006Dodel":1}"#, "model"), [exact; 3]);
    assert_eq!(keys(r#"{"Model":1,"MOD\u0045L":1}"#, "model"), [(false, true); 2]);
    assert_eq!(keys(r#"{"models":1,"mode":1,"mode\\l":1,"":1}"#, "model"), [(false, false); 4]);
    assert_eq!(keys(r#"{"\ud83d":1}"#, "model"), [(false, false)]);
}

#[test]
fn escapes_are_decoded() {
    assert_eq!(unescaped("plain"), Ok(Cow::Borrowed("plain")));
    assert_eq!(
        unescaped(r#"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"#).unwrap(),
        "\"\\/\u{8}\u{c}\n\r\té😀"
    );
}

#[test]
fn half_a_surrogate_pair_is_accepted_but_never_decoded() {
    for written in [r"\ud83d", r"\ude00", r"\ud83dx", r"\ud83d\n", r"\ud83d\ud83d", r"\ude00\ud83d"]
    {
        assert_eq!(check(format!("{{\"a\":\"{written}\"}}")), Ok(()));
        assert_eq!(unescaped(written), Err(LoneSurrogate), "{written}");
    }
}

#[test]
fn a_removed_member_takes_one_comma_along() {
    for (document, rest) in [
        (r#"{"u":1}"#, "{}"),
        (r#"{ "u" : 1 }"#, "{  }"),
        (r#"{"u":1, "a":2}"#, r#"{"a":2}"#),
        (r#"{"a":2 , "u":1}"#, r#"{"a":2}"#),
        (r#"{"a":2,"u":{"a":[1,2]},"b":3}"#, r#"{"a":2,"b":3}"#),
        (r#"{"u":1,"\u0075":2,"a":3,"u":4,"u":5}"#, r#"{"a":3}"#),
        (r#"{"u":1,"u":2}"#, "{}"),
        (r#"{"a":{"u":1}}"#, r#"{"a":{"u":1}}"#),
    ] {
        assert_eq!(String::from_utf8(without(document.as_bytes(), "u")).unwrap(), rest);
    }
}

#[test]
fn every_offset_in_a_long_string_is_scanned() {
    for length in 0..40 {
        for place in 0..length {
            for (spoiler, fits) in [("\\n", true), ("é", true), ("\u{7f}", true), ("\u{1f}", false)]
            {
                let mut text = "x".repeat(length);
                text.insert_str(place, spoiler);
                assert_eq!(check(format!("{{\"a\":\"{text}\"}}")).is_ok(), fits, "{text:?}");
            }
        }
    }
}

/// What `serde_json` says: its `IgnoredAny` checks the grammar without decoding, but takes any
/// value and bytes that are not UTF-8, and has no limit of depth.
fn serde_json_accepts(document: &[u8]) -> bool {
    str::from_utf8(document).is_ok_and(|text| text.trim_start().starts_with('{'))
        && serde_json::from_slice::<IgnoredAny>(document).is_ok()
}

fn space() -> impl Strategy<Value = String> {
    "[ \n\r\t]{0,2}"
}

fn text() -> impl Strategy<Value = String> {
    let piece = r#"[a-zé😀/ ]{1,9}|\\["\\/bfnrt]|\\u00[0-7][0-9a-fA-F]|\\ud83d\\ude0[0-9]"#;
    prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let key = prop_oneof![Just(r#""u""#.to_owned()), Just(r#""\u0075""#.to_owned()), text()];
    let member = (space(), key, space(), value, space())
        .prop_map(|(a, key, b, value, c)| format!("{a}{key}{b}:{value}{c}"));
    (prop::collection::vec(member, 0..6), space())
        .prop_map(|(members, end)| format!("{{{}{end}}}", members.join(",")))
}

fn value() -> impl Strategy<Value = String> {
    let scalar = "true|false|null|-?(0|[1-9][0-9]{0,3})(\\.[0-9]{1,3})?([eE][+-]?[0-9])?";
    prop_oneof![scalar, text()].prop_recursive(4, 24, 4, |inner| {
        let items = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![items.prop_map(|items| format!("[{}]", items.join(" ,"))), object(inner)]
    })
}

fn document() -> impl Strategy<Value = String> {
    (space(), object(value()), space()).prop_map(|(a, object, b)| format!("{a}{object}{b}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_are_accepted_exactly_if_serde_json_accepts_them(bytes: Vec<u8>) {
        prop_assert_eq!(check(&bytes).is_ok(), serde_json_accepts(&bytes));
    }

    #[test]
    fn text_like_json_is_accepted_exactly_if_serde_json_accepts_it(
        text in r#"[ ]?\{("a":)?[\{\}\[\]",:\\u0-2a-f.eE+\- \n]{0,12}\}?"#,
    ) {
        prop_assert_eq!(check(&text).is_ok(), serde_json_accepts(text.as_bytes()), "{}", text);
    }

    #[test]
    fn corrupted_documents_are_accepted_exactly_if_serde_json_accepts_them(
        document in document(), at: prop::sample::Index, byte: u8, how in 0..4,
    ) {
        let mut bytes = document.into_bytes();
        let at = at.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes.insert(at, byte & 0x7f),
            2 => drop(bytes.remove(at)),
            _ => bytes.truncate(at),
        }
        prop_assert_eq!(check(&bytes).is_ok(), serde_json_accepts(&bytes));
    }

    #[test]
    fn spans_hold_what_serde_json_reads(document in document()) {
        let mut read = Map::new();
        members(document.as_bytes(), |m| {
            let key = unescaped(m.key).unwrap().into_owned();
            assert!(m.key_is(&key));
            assert!(document.get(m.span).unwrap().starts_with('"'));
            read.insert(key, serde_json::from_str(document.get(m.value).unwrap()).unwrap());
        }).unwrap();
        prop_assert_eq!(Value::Object(read), serde_json::from_str::<Value>(&document).unwrap());
    }

    #[test]
    fn a_document_without_a_member_is_the_same_without_it(document in document()) {
        let mut expected: Map<String, Value> = serde_json::from_str(&document).unwrap();
        expected.remove("u");
        let rest: Map<String, Value> = serde_json::from_slice(&without(document.as_bytes(), "u")).unwrap();
        prop_assert_eq!(rest, expected);
    }
}
