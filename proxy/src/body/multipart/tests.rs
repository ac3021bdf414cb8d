use proptest::prelude::*;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=b0undary";

fn field(name: &str, value: &str) -> String {
    format!("Content-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}")
}

fn body(parts: &[String]) -> String {
    let parts: String = parts.iter().map(|part| format!("--b0undary\r\n{part}\r\n")).collect();
    format!("{parts}--b0undary--\r\n")
}

fn file() -> String {
    let disposition = "Content-Disposition: form-data; name=\"file\"; filename=\"ü \\a.wav\"";
    format!("{disposition}\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n\r\n--\r\nname=\"model\"\r\n")
}

fn read(parts: &[String]) -> Result<Form, InvalidForm> {
    form(body(parts).as_bytes(), TYPE)
}

#[test]
fn the_form_of_the_python_sdk_is_read() {
    let body = body(&[field("model", "whisper-1"), field("stream", "true"), file()]);
    let form = form(body.as_bytes(), TYPE).unwrap();
    assert_eq!(form.model.value, "whisper-1");
    assert_eq!(body.get(form.model.span), Some("whisper-1"));
    assert!(form.stream);
    assert_eq!((form.response_format, form.include_usage), (None, None));
}

#[test]
fn the_form_of_the_node_sdk_is_read() {
    let content_type = "multipart/form-data; boundary=----formdata-undici-036214719052";
    let body = "------formdata-undici-036214719052\r\n\
        Content-Disposition: form-data; name=\"file\"; filename=\"speech.mp3\"\r\n\
        Content-Type: audio/mpeg\r\n\r\n\u{1}\u{2}\r\n\
        ------formdata-undici-036214719052\r\n\
        Content-Disposition: form-data; name=\"timestamp_granularities[]\"\r\n\r\nword\r\n\
        ------formdata-undici-036214719052\r\n\
        Content-Disposition: form-data; name=\"response_format\"\r\n\r\nverbose_json\r\n\
        ------formdata-undici-036214719052\r\n\
        Content-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
        ------formdata-undici-036214719052--";
    let form = form(body.as_bytes(), content_type).unwrap();
    assert_eq!(body.get(form.model.span), Some("whisper-1"));
    assert_eq!(form.response_format.as_deref(), Some("verbose_json"));
    assert!(!form.stream);
}

#[test]
fn a_text_field_may_say_that_it_is_text() {
    let part = "content-disposition: FORM-DATA; NAME=model\r\n\
        Content-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: 8bit\r\n\
        Content-Length: 1\r\n\r\nm";
    assert_eq!(read(&[part.to_owned()]).unwrap().model.value, "m");
}

#[test]
fn the_boundary_is_read_as_rfc_2046_defines_it() {
    for (content_type, expected) in [
        ("multipart/form-data; boundary=abc", Ok("abc")),
        ("Multipart/Form-Data;charset=utf-8;Boundary=\"a b:c\"", Ok("a b:c")),
        ("multipart/form-data; boundary===x==", Ok("==x==")),
        ("multipart/form-data", Err(InvalidForm::ContentType)),
        ("multipart/mixed; boundary=abc", Err(InvalidForm::ContentType)),
        ("application/json", Err(InvalidForm::ContentType)),
        ("multipart/form-data; boundary=a; boundary=b", Err(InvalidForm::ContentType)),
        ("multipart/form-data; boundary=a; boundary*=b", Err(InvalidForm::ContentType)),
        ("multipart/form-data; boundary*=utf-8''a", Err(InvalidForm::ContentType)),
        ("multipart/form-data; boundary=\"a\\\"; boundary=b", Err(InvalidForm::ContentType)),
        ("multipart/form-data; boundary=a b", Err(InvalidForm::ContentType)),
        ("multipart/form-data; boundary=", Err(InvalidForm::Boundary)),
        ("multipart/form-data; boundary=\"a \"", Err(InvalidForm::Boundary)),
        ("multipart/form-data; boundary=a{b}", Err(InvalidForm::Boundary)),
        ("multipart/form-data; boundary=a; charset=utf-7", Err(InvalidForm::Charset)),
        ("multipart/form-data; boundary=a; charset*=utf-7", Err(InvalidForm::Charset)),
    ] {
        assert_eq!(boundary(content_type), expected, "{content_type}");
    }
    let longest = "x".repeat(BOUNDARY_BYTES_MAX);
    let named = |name: &str| format!("multipart/form-data; boundary={name}");
    assert_eq!(boundary(&named(&longest)), Ok(longest.as_str()));
    assert_eq!(boundary(&named(&format!("{longest}x"))), Err(InvalidForm::Boundary));
}

#[test]
fn the_model_is_required_once_as_plain_text() {
    let model = || field("model", "m");
    let headers = |more: &str| format!("Content-Disposition: form-data; name=model{more}\r\n\r\nm");
    let field = MODEL;
    for (parts, refusal) in [
        (vec![], InvalidForm::Missing { field }),
        (vec![file()], InvalidForm::Missing { field }),
        (vec![model(), file(), model()], InvalidForm::Duplicate { field }),
        (vec![headers("; filename=x")], InvalidForm::File { field }),
        (vec![headers("; filename*=utf-8''x")], InvalidForm::File { field }),
        (
            vec![headers("\r\nContent-Type: multipart/mixed; boundary=x")],
            InvalidForm::NotText { field },
        ),
        (
            vec![headers("\r\nContent-Type: text/plain; charset=utf-7")],
            InvalidForm::NotText { field },
        ),
        (vec![headers("\r\nContent-Transfer-Encoding: base64")], InvalidForm::NotText { field }),
    ] {
        let refused = read(&parts).unwrap_err();
        assert_eq!(refused.param(), Some("model"));
        assert_eq!(refused, refusal);
    }
    let latin1 = body(&[headers("")]).replace("\r\n\r\nm", "\r\n\r\n?");
    let latin1: Vec<u8> = latin1.bytes().map(|b| if b == b'?' { 0xe9 } else { b }).collect();
    assert_eq!(form(&latin1, TYPE), Err(InvalidForm::NotText { field }));
}

#[test]
fn a_name_that_can_be_read_in_two_ways_is_refused() {
    for disposition in [
        "form-data",
        "form-data; filename=x",
        "attachment; name=\"model\"",
        "form-data; name=\"a\"; name=\"model\"",
        "form-data; name=\"a\"; name*=utf-8''model",
        "form-data; name*0=mod; name*1=el",
        "form-data; name=\"a\\\"; name=\"model\"",
        "form-data; name=\"model\"x",
        "form-data; name=\" model\"",
        "form-data; name=\"mod\\el\"",
        "form-data; name=\"mod%65l\"",
        "form-data; name=\"=?utf-8?q?model?=\"",
        "form-data; name=mo\"del",
        "form-data; name = model",
        "form-data; name=\"m\u{f6}del\"",
        "form-data; name=model\u{a0}",
        "form-data; name=a\r\nContent-Disposition: form-data; name=model",
    ] {
        let part = format!("Content-Disposition: {disposition}\r\n\r\nm");
        let refusal = InvalidForm::Disposition { part: 2 };
        assert_eq!(read(&[field("model", "m"), part]), Err(refusal), "{disposition}");
    }
}

#[test]
fn headers_that_are_not_lines_with_names_are_refused() {
    for head in [
        "",
        "Content-Disposition form-data",
        "Content-Disposition : form-data; name=model",
        "Content-Disposition: form-data;\r\n name=model",
        "Content-Disposition: form-data; name=model\nX: y",
        "Content-Disposition: form-data; name=model\0",
    ] {
        let part = format!("{head}\r\n\r\nm");
        assert_eq!(read(&[part]), Err(InvalidForm::Headers { part: 1 }), "{head:?}");
    }
    let unfinished = "Content-Disposition: form-data; name=model".to_owned();
    assert_eq!(read(&[unfinished]), Err(InvalidForm::Headers { part: 1 }));
}

#[test]
fn parts_and_their_headers_are_bounded() {
    let mut parts = vec![field("x", ""); PARTS_MAX - 1];
    parts.push(field("model", "m"));
    assert!(read(&parts).is_ok());
    parts.push(field("x", ""));
    assert_eq!(read(&parts), Err(InvalidForm::TooManyParts));

    let padded = |length: usize| {
        let head = "Content-Disposition: form-data; name=model\r\nX: ";
        format!("{head}{}\r\n\r\nm", "x".repeat(length - head.len()))
    };
    assert!(read(&[padded(HEADER_BYTES_MAX)]).is_ok());
    let refusal = InvalidForm::HeadersTooLong { part: 1 };
    assert_eq!(read(&[padded(HEADER_BYTES_MAX + 1)]), Err(refusal));
}

#[test]
fn a_body_cut_anywhere_is_refused() {
    let body = body(&[field("model", "whisper-1"), file()]);
    let whole = body.len() - "\r\n".len();
    for length in 0..whole {
        assert!(form(&body.as_bytes()[..length], TYPE).is_err(), "{length}");
    }
    assert!(form(&body.as_bytes()[..whole], TYPE).is_ok());
    assert_eq!(form(b"", TYPE), Err(InvalidForm::Truncated));
}

#[test]
fn a_boundary_is_allowed_only_between_parts() {
    let model = body(&[field("model", "m")]);
    for body in [
        format!("\r\n{model}"),
        format!("preamble\r\n{model}"),
        body(&[field("x", "a--b0undary\r\n"), field("model", "m")]),
        body(&[field("x", "\r\n--b0undaryX\r\n"), field("model", "m")]),
        body(&[field("x", "\n--b0undary\r\n"), field("model", "m")]),
        model.replace("m\r\n--", "m--"),
        model.replace("--b0undary\r\nContent", "--b0undary \r\nContent"),
        model.replace("--b0undary\r\nContent", "--b0undary\nContent"),
    ] {
        let refused = form(body.as_bytes(), TYPE).unwrap_err();
        assert!(matches!(refused, InvalidForm::StrayBoundary { .. }), "{body:?} {refused}");
    }
    for end in [" ", "\n", "\r\n\r\n", "\r\n--b0undary--\r\n"] {
        let body = format!("{}{end}", model.trim_end());
        assert_eq!(form(body.as_bytes(), TYPE), Err(InvalidForm::TrailingBytes));
    }
}

#[test]
fn a_flag_is_true_or_false() {
    for (sent, expected) in [
        ("true", Ok(true)),
        ("True", Ok(true)),
        ("false", Ok(false)),
        ("1", Err(InvalidForm::NotBoolean { field: STREAM })),
        ("", Err(InvalidForm::NotBoolean { field: STREAM })),
    ] {
        let form = read(&[field("model", "m"), field("stream", sent)]);
        assert_eq!(form.map(|form| form.stream), expected, "{sent:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>, content_type: String) {
        let _ = form(&bytes, TYPE);
        let _ = form(&bytes, &content_type);
        let _ = form(&bytes, &format!("multipart/form-data; {content_type}"));
    }

    #[test]
    fn what_looks_like_a_form_never_panics(
        pieces in prop::collection::vec(prop_oneof![
            Just("--b0undary"), Just("\r\n"), Just("--"), Just("\r"), Just("\n"), Just("é"),
            Just("Content-Disposition: form-data; name=\"model\""), Just("; filename=\"x\""),
        ], 0..20),
    ) {
        let body = format!("--b0undary\r\n{}", pieces.concat());
        if let Ok(form) = form(body.as_bytes(), TYPE) {
            prop_assert_eq!(body.get(form.model.span), Some(form.model.value.as_str()));
        }
    }

    #[test]
    fn the_order_of_parts_does_not_matter(
        parts in Just([
            field("model", "m"), file(), field("stream", "true"), field("response_format", "srt"),
            field("stream_include_usage", "false"), field("prompt", "\r\n--b0undar\r\n"),
        ].to_vec()).prop_shuffle(),
    ) {
        let body = body(&parts);
        let form = form(body.as_bytes(), TYPE).unwrap();
        prop_assert_eq!(body.get(form.model.span), Some("m"));
        prop_assert!(form.stream);
        prop_assert_eq!(form.response_format.as_deref(), Some("srt"));
        let include = form.include_usage.unwrap();
        prop_assert_eq!((body.get(include.span), include.value), (Some("false"), false));
    }
}
