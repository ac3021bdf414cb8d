use super::*;
use proptest::prelude::*;

fn ask(method: &Method, path: &str) -> Result<Request, Rejection> {
    request(method, path, &HeaderMap::new())
}

#[test]
fn every_operation_is_found_by_its_method_and_path() {
    for operation in OPERATIONS {
        let request = ask(&operation.method, &operation.path.replace("{id}", "resp_1")).unwrap();
        match operation.body {
            BodyFormat::Json | BodyFormat::Form => assert_eq!(request, Request::Infer(operation)),
            BodyFormat::Empty => {
                let id = "resp_1".to_owned();
                assert_eq!(request, Request::StoredResponse { operation, id });
            }
        }
    }
}

#[test]
fn no_other_spelling_of_a_path_reaches_it() {
    for path in [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/chat/./completions",
        "/v1/chat/completions;a=b",
        "/V1/chat/completions",
        "/v1/chat%2fcompletions",
        "/v1/chat/completions%00",
        "/v1/chat/../chat/completions",
        "v1/chat/completions",
        "/v1/responses/../load_lora_adapter",
        "/v1/responses/%2e%2e",
        "/v1/responses/a/b",
        "/v1/responses/{id}",
        "",
        "*",
    ] {
        assert!(matches!(ask(&Method::POST, path), Err(Rejection::UnknownPath)), "{path}");
    }
}

#[test]
fn engine_control_does_not_exist() {
    for path in [
        "/invocations",
        "/inference/v1/generate",
        "/load_lora_adapter",
        "/v1/load_lora_adapter",
        "/unload_lora_adapter",
        "/pause",
        "/resume",
        "/update_weights",
        "/collective_rpc",
        "/init_weight_transfer_engine",
        "/scale_elastic_ep",
        "/abort_requests",
        "/server_info",
        "/reset_prefix_cache",
        "/start_profile",
        "/stop_profile",
        "/tokenizer_info",
        "/sleep",
        "/wake_up",
        "/is_sleeping",
        "/metrics",
        "/load",
        "/version",
        "/docs",
        "/openapi.json",
        "/health",
        "/ping",
        "/v1/chat/completions/render",
        "/v1/chat/completions/batch",
    ] {
        for method in [Method::GET, Method::POST] {
            assert!(matches!(ask(&method, path), Err(Rejection::UnknownPath)), "{path}");
        }
    }
}

#[test]
fn a_known_path_with_another_method_names_the_right_one() {
    for (method, path, right) in [
        (Method::GET, "/v1/chat/completions", Method::POST),
        (Method::POST, "/v1/models", Method::GET),
        (Method::DELETE, "/v1/responses/resp_1", Method::GET),
        (Method::GET, "/v1/responses/resp_1/cancel", Method::POST),
    ] {
        let rejection = ask(&method, path).unwrap_err();
        assert!(matches!(rejection, Rejection::MethodNotAllowed { allowed } if allowed == right));
    }
}

#[test]
fn a_model_id_may_hold_slashes_as_they_are_or_encoded() {
    for path in ["/v1/models/Qwen/Qwen3-8B", "/v1/models/Qwen%2FQwen3-8B"] {
        let shown = Request::ShowModel("Qwen/Qwen3-8B".into());
        assert_eq!(ask(&Method::GET, path).unwrap(), shown, "{path}");
    }
}

#[test]
fn ambiguous_framing_is_refused() {
    let headers = |lines: &[(&'static str, &str)]| -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    };
    let two = {
        let mut two = headers(&[("content-length", "1")]);
        two.append("content-length", "1".parse().unwrap());
        two
    };
    for (headers, raw) in [
        (two, ""),
        (headers(&[("content-length", "1, 1")]), ""),
        (headers(&[("content-length", "+1")]), ""),
        (headers(&[("transfer-encoding", "gzip, chunked")]), ""),
        (headers(&[("transfer-encoding", "chunked")]), "POST / HTTP/1.1\r\nCONTENT-length : 3\r\n"),
        (headers(&[("upgrade", "websocket")]), ""),
        (headers(&[]), "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n"),
    ] {
        assert!(framing(&headers, raw.as_bytes()).is_err(), "{headers:?}");
    }
    assert!(framing(&headers(&[("upgrade", "h2c")]), b"").is_ok());
    let plain = headers(&[("content-length", "10")]);
    assert!(framing(&plain, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n").is_ok());
}

proptest! {
    #[test]
    fn no_path_makes_the_reader_panic(path in ".{0,64}") {
        let _ = ask(&Method::GET, &path);
    }
}
