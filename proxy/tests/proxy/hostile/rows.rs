//! The requests, and what should come of each.

use crate::support::{ME, bearer, chat, key};

const MODEL: &str = "tiny";
const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const AUDIO: &str = "/v1/audio/transcriptions";
/// Claims of a caller that no upstream may believe.
pub(super) const CANARY: &str = "canary";

/// Bytes that a client sends, and their outcome.
pub(super) struct Row {
    pub(super) what: String,
    pub(super) bytes: Vec<u8>,
    /// The status of the one answer; none if no client is left.
    pub(super) status: Option<u16>,
    /// Whether the request reaches the model's server.
    pub(super) reaches: bool,
}

impl Row {
    fn new(what: impl Into<String>, bytes: impl Into<Vec<u8>>, status: u16) -> Self {
        Self { what: what.into(), bytes: bytes.into(), status: Some(status), reaches: false }
    }

    /// A request that is odd but good.
    fn good(what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { reaches: true, ..Self::new(what, bytes, 200) }
    }

    fn unanswered(what: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { status: None, ..Self::new(what, bytes, 0) }
    }
}

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    [
        lengths_and_encodings(),
        smuggled(),
        chunked_bodies(),
        header_lines(),
        sizes(),
        lines(),
        other_protocols(),
        paths(),
        json_bodies(),
        forms(),
        strangers(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A request that is allowed, after which the connection ends.
fn request(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "{line}\r\nhost: h\r\nconnection: close\r\nauthorization: {}\r\n\
         content-type: application/json\r\n{headers}\r\n",
        bearer()
    );
    [head.as_bytes(), body].concat()
}

pub(super) fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    request(&format!("POST {path} HTTP/1.1"), headers, body)
}

pub(super) fn with_length(path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    post(path, &format!("content-length: {}\r\n", body.len()), body)
}

/// A good body, as one chunk and the last.
fn chunks() -> String {
    let body = chat(MODEL, false);
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

fn lengths_and_encodings() -> Vec<Row> {
    let (body, chunks) = (chat(MODEL, false), chunks());
    let length = body.len();
    let mut rows = Vec::new();
    for headers in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
        format!("Content-LENGTH:{length}\r\nTransfer-ENCODING:chunked\r\n"),
        "content-length: 0\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n".to_owned(),
        "transfer-encoding: identity\r\ntransfer-encoding: chunked\r\n".to_owned(),
        format!("transfer-encoding: identity\r\ncontent-length: {length}\r\n"),
        format!("transfer-encoding:\r\ncontent-length: {length}\r\n"),
        "transfer-encoding: gzip, chunked\r\n".to_owned(),
        "transfer-encoding: chunked, identity\r\n".to_owned(),
        "transfer-encoding: identity, chunked\r\n".to_owned(),
        "transfer-encoding: chunked, chunked\r\n".to_owned(),
        "transfer-encoding: xchunked\r\n".to_owned(),
        "transfer-encoding: chunked;q=1\r\n".to_owned(),
        "transfer-encoding: \"chunked\"\r\n".to_owned(),
        "transfer-encoding: \x0bchunked\r\n".to_owned(),
        "transfer-encoding : chunked\r\n".to_owned(),
        "transfer-encoding\t: chunked\r\n".to_owned(),
        "transfer-encoding:\r\n chunked\r\n".to_owned(),
        "transfer-encoding: chunked\r\n folded\r\n".to_owned(),
        "x: y\r\n transfer-encoding: chunked\r\n".to_owned(),
        " transfer-encoding: chunked\r\n".to_owned(),
        "\ttransfer-encoding: chunked\r\n".to_owned(),
    ] {
        rows.push(Row::new(format!("{headers:?}"), post(CHAT, &headers, chunks.as_bytes()), 400));
    }
    for value in [
        format!("{length}\r\ncontent-length: {length}"),
        format!("{length}\r\ncontent-length: 0"),
        format!("{length}\r\nContent-Length : 0"),
        format!("{length}, {length}"),
        format!("+{length}"),
        "-1".to_owned(),
        "0x10".to_owned(),
        "1e2".to_owned(),
        "5 5".to_owned(),
        "٥".to_owned(),
        "99999999999999999999".to_owned(),
        "18446744073709551616".to_owned(),
        format!("{length}\r\n 0"),
    ] {
        let headers = format!("content-length: {value}\r\n");
        rows.push(Row::new(format!("{headers:?}"), post(CHAT, &headers, body.as_bytes()), 400));
    }
    for headers in ["transfer-encoding: chunked\r\n", "TRANSFER-encoding:\tCHUNKED \r\n"] {
        rows.push(Row::good(format!("{headers:?}"), post(CHAT, headers, chunks.as_bytes())));
    }
    let twice = format!("transfer_encoding: chunked\r\ncontent-length: {length}\r\n");
    rows.push(Row::good("another name", post(CHAT, &twice, body.as_bytes())));
    rows
}

/// A request hidden behind another that lets the connection live: if it were answered there
/// would be two answers.
fn smuggled() -> Vec<Row> {
    let hidden = String::from_utf8(request("GET /v1/models HTTP/1.1", "", b"")).unwrap();
    let length = hidden.len() + 5;
    let mut rows = Vec::new();
    for (headers, start) in [
        (format!("content-length: {length}\r\ntransfer-encoding: chunked"), "0\r\n\r\n"),
        (format!("content-length: {length}\r\ntransfer-encoding: xchunked"), "0\r\n\r\n"),
        (format!("content-length: {length}\r\ntransfer-encoding:\x0bchunked"), "0\r\n\r\n"),
        (format!("content-length: {length}\r\ncontent-length: 5"), "0\r\n\r\n"),
        ("content-length: 0\r\ncontent-length: 0".to_owned(), ""),
        ("content-length: 0\r\nupgrade: h3".to_owned(), ""),
        ("content-length: 0\r\nx: a\r\n b".to_owned(), ""),
        ("transfer-encoding: chunked".to_owned(), "zz\r\n"),
        ("transfer-encoding: chunked".to_owned(), "1\r\n{\r\nzz\r\n"),
        ("transfer-encoding: chunked".to_owned(), "1\r\n{xx"),
        ("transfer-encoding: chunked".to_owned(), "fffffffffffffffff\r\n"),
    ] {
        let bytes = post(CHAT, &format!("{headers}\r\n"), format!("{start}{hidden}").as_bytes());
        let bytes = String::from_utf8(bytes).unwrap().replacen("connection: close\r\n", "", 1);
        rows.push(Row::new(format!("smuggled by {headers:?} {start:?}"), bytes, 400));
    }
    rows
}

fn chunked_bodies() -> Vec<Row> {
    let (body, good) = (chat(MODEL, false), chunks());
    let size = format!("{:x}", body.len());
    let te = "transfer-encoding: chunked\r\n";
    let mut rows = Vec::new();
    for bad in [
        good.replacen(&size, "zz", 1),
        good.replacen(&size, "", 1),
        good.replacen(&size, "-5", 1),
        good.replacen(&size, "+5", 1),
        good.replacen(&size, "0x5", 1),
        good.replacen(&size, "5 5", 1),
        good.replacen(&size, "fffffffffffffffff", 1),
        good.replacen(&size, "ffffffffffffffff", 1),
        good.replacen(&size, "1", 1),
        good.replacen(&size, &format!("{size};{}", "x".repeat(100_000)), 1),
        format!("{size}\r\n{body}0\r\n\r\n"),
        format!("{size}\r\n{body}xx0\r\n\r\n"),
    ] {
        let what = format!("chunk {:?}", bad.get(..40.min(bad.len())).unwrap_or(&size));
        rows.push(Row::new(what, post(CHAT, te, bad.as_bytes()), 400));
    }
    for odd in [
        good.replacen(&size, &format!("{size};a=b"), 1),
        good.replacen(&size, &format!("000{size}"), 1),
        good.replacen(&size, &size.to_uppercase(), 1),
        // Trailers are read over, whatever they say.
        format!("{size}\r\n{body}\r\n0\r\nx-client-id: {CANARY}\r\n\r\n"),
        format!("{size}\r\n{body}\r\n0\r\nnonsense\0\r\n\r\n"),
    ] {
        rows.push(Row::good(format!("chunk {odd:?}"), post(CHAT, te, odd.as_bytes())));
    }
    rows
}

fn header_lines() -> Vec<Row> {
    let body = chat(MODEL, false);
    let length = body.len();
    let mut rows = Vec::new();
    for line in [
        "upgrade: websocket\r\nconnection: upgrade",
        "upgrade: h2c, websocket\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA",
        "Upgrade:",
        "host: other",
        "host: h@other",
        "content-type: text/plain",
        "x: a\r\n b",
        "x: a\r\n\tb",
        "x: a\rb",
        "x: a\0b",
        "x: a\x01b",
        "x\0y: a",
        "x y: a",
        "x(y): a",
        "xé: a",
        "no colon",
        ": no name",
        "\r: a",
    ] {
        let headers = format!("content-length: {length}\r\n{line}\r\n");
        rows.push(Row::new(format!("{line:?}"), post(CHAT, &headers, body.as_bytes()), 400));
    }
    for line in [
        format!("X-Client-ID: {CANARY}\r\nx-client-id: {CANARY}\r\nX_Client_Id: {CANARY}"),
        format!("X-LLM-CLIENT-ID: {CANARY}\r\nx.llm.client.id: {CANARY}"),
        format!("x-forwarded-for: {CANARY}\r\nX-FORWARDED-USER: {CANARY}"),
        format!("x-openwebui-user-email: {CANARY}"),
        format!("cookie: session={CANARY}\r\nproxy-authorization: Basic {CANARY}"),
        format!("x-api-key: {CANARY}\r\napi-key: {CANARY}\r\napi_key: {CANARY}"),
        format!("x-gateway-destination-endpoint: {CANARY}:80\r\nx-llm-d-endpoint: {CANARY}"),
        format!(
            "x-original-url: /{CANARY}\r\nx-rewrite-url: /{CANARY}\r\nx-http-method-override: {CANARY}"
        ),
        format!("x-request-id: <{CANARY}>"),
        format!("range: bytes=0-1\r\nif-none-match: {CANARY}\r\nte: trailers\r\ntrailer: {CANARY}"),
        "expect: something-else".to_owned(),
        "x: é".to_owned(),
        "x:".to_owned(),
    ] {
        let headers = format!("content-length: {length}\r\n{line}\r\n");
        rows.push(Row::good(format!("{line:?}"), post(CHAT, &headers, body.as_bytes())));
    }
    let bare = String::from_utf8(with_length(CHAT, &body)).unwrap().replace("\r\n", "\n");
    rows.push(Row::good("bare line feeds", bare));
    rows
}

fn sizes() -> Vec<Row> {
    let body = chat(MODEL, false);
    let length = body.len();
    let mut rows = Vec::new();
    let mut add = |what: &str, headers: String, status| {
        let headers = format!("{headers}content-length: {length}\r\n");
        rows.push(Row::new(what, post(CHAT, &headers, body.as_bytes()), status));
    };
    add("64 KB of header", format!("x: {}\r\n", "a".repeat(64 * 1024)), 431);
    add("900 KB of header", format!("x: {}\r\n", "a".repeat(900 * 1024)), 431);
    add("2 MB of header", format!("x: {}\r\n", "a".repeat(2 * 1024 * 1024)), 400);
    add("a name of 20 KB", format!("{}: a\r\n", "x".repeat(20 * 1024)), 431);
    add("300 headers", "x: a\r\n".repeat(300), 400);
    add("5000 headers", "x: a\r\n".repeat(5000), 400);
    add("100000 headers", "x: a\r\n".repeat(100_000), 400);
    let long = "a".repeat(20 * 1024);
    rows.push(Row::new("a long query", with_length(&format!("{CHAT}?{long}"), &body), 431));
    rows.push(Row::new("a long path", with_length(&format!("/{long}"), &body), 431));
    rows.push(Row::new("a long method", request(&format!("{long} {CHAT} HTTP/1.1"), "", b""), 431));
    rows.push(Row::new("too long a body", post(CHAT, "content-length: 100001\r\n", b"{"), 413));
    rows.push(Row::new(
        "much too long a body",
        post(CHAT, "content-length: 9999999999\r\n", b""),
        413,
    ));
    rows.push(Row::new(
        "a body that does not come",
        post(CHAT, "content-length: 9\r\n", b"{"),
        408,
    ));
    rows.push(Row::new("no body", post(CHAT, "", b""), 400));
    rows
}

fn lines() -> Vec<Row> {
    let length = format!("content-length: {}\r\n", chat(MODEL, false).len());
    let body = chat(MODEL, false);
    let mut rows = Vec::new();
    for (line, status) in [
        ("POST /v1/chat/completions HTTP/1.2", 400),
        ("POST /v1/chat/completions HTTP/2.0", 400),
        ("POST /v1/chat/completions HTTP/0.9", 400),
        ("POST /v1/chat/completions", 400),
        ("POST /v1/chat/completions HTTP/1.1 x", 400),
        ("POST /v1/chat/completions http/1.1", 400),
        ("POST\t/v1/chat/completions\tHTTP/1.1", 400),
        ("P(ST /v1/chat/completions HTTP/1.1", 400),
        (" POST /v1/chat/completions HTTP/1.1", 400),
        ("POST http://other/v1/chat/completions HTTP/1.1", 400),
        ("POST http://h@other/v1/chat/completions HTTP/1.1", 400),
        ("POST http:///v1/chat/completions HTTP/1.1", 400),
        ("POST /v1/chat\0/completions HTTP/1.1", 400),
        ("POST /v1/chat completions HTTP/1.1", 400),
        ("POST * HTTP/1.1", 404),
        ("POST v1/chat/completions HTTP/1.1", 404),
        ("CONNECT h:443 HTTP/1.1", 404),
        ("CONNECT /v1/chat/completions HTTP/1.1", 405),
        ("TRACE /v1/chat/completions HTTP/1.1", 405),
        ("TRACK /v1/chat/completions HTTP/1.1", 405),
        ("GET /v1/chat/completions HTTP/1.1", 405),
        ("PUT /v1/chat/completions HTTP/1.1", 405),
        ("PATCH /v1/chat/completions HTTP/1.1", 405),
        ("DELETE /v1/chat/completions HTTP/1.1", 405),
        ("OPTIONS /v1/chat/completions HTTP/1.1", 405),
        ("PROPFIND /v1/chat/completions HTTP/1.1", 405),
        ("post /v1/chat/completions HTTP/1.1", 405),
        ("DELETE /v1/models/tiny HTTP/1.1", 405),
        ("POST /v1/models HTTP/1.1", 405),
        ("PUT /v1/messages HTTP/1.1", 405),
    ] {
        rows.push(Row::new(line, request(line, &length, body.as_bytes()), status));
    }
    for line in [
        "POST http://h/v1/chat/completions HTTP/1.1",
        "POST /v1/chat/completions?api-version=1&x=%00 HTTP/1.1",
        "POST /v1/chat/completions#/v1/models HTTP/1.1",
        "POST /v1/chat/completions HTTP/1.0",
        "\r\n\r\nPOST /v1/chat/completions HTTP/1.1",
    ] {
        rows.push(Row::good(line, request(line, &length, body.as_bytes())));
    }
    let head = request("POST /v1/chat/completions HTTP/1.0", "transfer-encoding: chunked\r\n", b"");
    rows.push(Row::new("HTTP/1.0, chunked", [head, chunks().into_bytes()].concat(), 400));
    rows
}

/// Things that are not HTTP.
fn other_protocols() -> Vec<Row> {
    let mut rows: Vec<_> = [
        "GET /v1/models?in=HTTP/0.9\r\n\r\n",
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6p1 Debian\r\n\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET /v1/models HTTP/1.1\r\n\r\n",
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03 and so on\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "{\"model\":\"tiny\",\"messages\":[]}\r\n\r\n",
    ]
    .into_iter()
    .map(|bytes| Row::new(format!("{bytes:?}"), bytes, 400))
    .collect();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    for (what, frames) in [
        ("HTTP/2, then HTTP/1", b"GET /v1/models HTTP/1.1\r\nhost: h\r\n\r\n".to_vec()),
        ("HTTP/2, a frame of 16 MB", vec![0xff; 64]),
        ("HTTP/2, data before headers", b"\0\0\0\x04\0\0\0\0\0\0\0\x01\0\0\0\0\0\x01x".to_vec()),
    ] {
        rows.push(Row::unanswered(what, [preface.clone(), frames].concat()));
    }
    rows
}

/// Paths that do not exist, whatever upstreams make of them.
const PATHS: [&str; 68] = [
    "/",
    "//",
    "/v1",
    "/v1/",
    "/v1/chat",
    "/v1/chat/completions/",
    "//v1/chat/completions",
    "/v1//chat/completions",
    "/v1/./chat/completions",
    "/v1/x/../chat/completions",
    "/v1/%63hat/completions",
    "/v1/chat%2Fcompletions",
    "/v1%2fchat/completions",
    "/V1/chat/completions",
    "/v1/chat/Completions",
    "/v1/chat/completions;a=b",
    "/v1/chat/completions%00",
    "/v1/chat/completions%0d%0a",
    "/v1/chat/completions%20",
    "/v1/chat/completions\\",
    "/\\v1/chat/completions",
    "/v1/chat/completions/batch",
    "/v1/chat/completions/render",
    "/v1/responses/%2e%2e",
    "/v1/responses/../metrics",
    "/v1/responses/x/cancel/../../../metrics",
    "/v1/messages/batches",
    "/v1/messages/",
    "/v1/messages/count_tokens/",
    "/v1/%c0%ae%c0%ae/metrics",
    "/v1/..%2fmetrics",
    "/v1/..%252fmetrics",
    "/v1/%2e%2e/metrics",
    "/.//metrics",
    "/%6detrics",
    "/Metrics",
    "/invocations",
    "/inference/v1/generate",
    "/load_lora_adapter",
    "/v1/load_lora_adapter",
    "/unload_lora_adapter",
    "/pause",
    "/resume",
    "/update_weights",
    "/abort_requests",
    "/init_weight_transfer_engine",
    "/scale_elastic_ep",
    "/collective_rpc",
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
    "/sim/fault",
    "/.env",
    "/admin",
    "/v1/files",
    "/v1/realtime",
];

fn paths() -> Vec<Row> {
    let mut rows = Vec::new();
    for path in PATHS {
        let body = chat(MODEL, false);
        rows.push(Row::new(format!("POST {path}"), with_length(path, &body), 404));
        let get = request(&format!("GET {path} HTTP/1.1"), "", b"");
        rows.push(Row::new(format!("GET {path}"), get, 404));
    }
    rows
}

/// Bodies that are no prompt.
const BODIES: [&str; 47] = [
    "",
    " ",
    "{",
    "{}",
    "[]",
    "null",
    "\"tiny\"",
    "1",
    "{\"model\"",
    "{\"model\":\"tiny\"",
    "{\"model\":\"tiny\"}x",
    "{\"model\":\"tiny\"}{}",
    "{\"model\":\"tiny\",}",
    "{'model':'tiny'}",
    "{model:\"tiny\"}",
    "{\"model\":\"tiny\"/**/}",
    "{\"model\":\"tiny\"\0}",
    "\u{feff}{\"model\":\"tiny\"}",
    "{\"model\":\"tiny\",\"x\":NaN}",
    "{\"model\":\"tiny\",\"x\":Infinity}",
    "{\"model\":\"tiny\",\"x\":01}",
    "{\"model\":\"tiny\",\"x\":+1}",
    "{\"model\":\"tiny\",\"x\":1.}",
    "{\"model\":\"tiny\",\"x\":\"a\nb\"}",
    "{\"model\":\"tiny\",\"x\":\"\\x41\"}",
    "{\"model\":\"tiny\",\"x\":\"\\u12\"}",
    "{\"model\":1}",
    "{\"model\":null}",
    "{\"model\":true}",
    "{\"model\":[\"tiny\"]}",
    "{\"model\":{\"id\":\"tiny\"}}",
    "{\"model\":\"\"}",
    "{\"model\":\"ti\\u0000ny\"}",
    "{\"model\":\"tiny\\n\"}",
    "{\"model\":\"\\ud800\"}",
    "{\"model\":\"\\udc00\\ud800\"}",
    "{\"model\":\"tiny\",\"model\":\"tiny\"}",
    "{\"model\":\"tiny\",\"model\":\"other\"}",
    "{\"model\":\"tiny\",\"m\\u006fdel\":\"other\"}",
    "{\"\\u006d\\u006fdel\":\"x\",\"model\":\"tiny\"}",
    "{\"model\":\"tiny\",\"Model\":\"other\"}",
    "{\"MODEL\":\"tiny\"}",
    "{\"model\":\"tiny\",\"stream\":\"true\"}",
    "{\"model\":\"tiny\",\"stream\":1}",
    "{\"model\":\"tiny\",\"stream\":true,\"stream\":false}",
    "{\"model\":\"tiny\",\"stream_options\":[]}",
    "{\"messages\":[{\"model\":\"tiny\"}]}",
];

fn json_bodies() -> Vec<Row> {
    let nested = |open: &str, close: &str, depth| {
        let (open, close) = (open.repeat(depth), close.repeat(depth));
        format!(r#"{{"model":"tiny","messages":{open}1{close}}}"#).into_bytes()
    };
    let text = |body: &str| body.as_bytes().to_vec();
    let mut bodies: Vec<Vec<u8>> = BODIES.map(text).into();
    bodies.push(nested("[", "]", 10_000));
    bodies.push(nested("{\"a\":", "}", 10_000));
    bodies.push(text("[".repeat(90_000).as_str()));
    bodies.push(text(&format!("{{\"model\":\"{}\"}}", "a".repeat(300))));
    bodies.push(b"{\"model\":\"tiny\",\"x\":\"\xff\xfe\"}".to_vec());
    bodies.push(b"{\"model\":\"ti\xc0\xaeny\"}".to_vec());
    bodies.push("{\"model\":\"tiny\"}".encode_utf16().flat_map(u16::to_le_bytes).collect());
    bodies.push(
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xabV\xca\xcdOI\xcdQ\xb2R*\xc9\xcc\xabT\xaa\x05\0".to_vec(),
    );
    let mut rows = Vec::new();
    for body in bodies {
        for path in [CHAT, MESSAGES] {
            let shown = String::from_utf8_lossy(&body).chars().take(60).collect::<String>();
            rows.push(Row::new(format!("{path} {shown}"), with_length(path, &body), 400));
        }
    }
    for model in ["*", "other", "../tiny", "TINY", "tiny ", "tiny/", "😀", "tiny\\u200b"] {
        for path in [CHAT, MESSAGES] {
            let body = format!("{{\"model\":\"{model}\"}}");
            rows.push(Row::new(format!("{path} {body}"), with_length(path, body), 404));
        }
    }
    let escaped = chat(MODEL, false).replace("\"tiny\"", "\"\\u0074in\\u0079\"");
    rows.push(Row::good("an escaped model", with_length(CHAT, escaped)));
    let surrogate = chat(MODEL, false).replace("Say", "\\ud83d\\ude00");
    rows.push(Row::good("a pair of surrogates", with_length(CHAT, surrogate)));
    rows
}

fn forms() -> Vec<Row> {
    let part = |name: &str, value: &str| {
        format!("--B\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let model = part("model", MODEL);
    let mut rows = Vec::new();
    for (kind, body) in [
        ("application/json", "{\"model\":\"tiny\"}".to_owned()),
        ("multipart/form-data", format!("{model}--B--\r\n")),
        ("multipart/form-data; boundary=", format!("{model}--B--\r\n")),
        ("multipart/form-data; boundary=C", format!("{model}--B--\r\n")),
        ("multipart/form-data; boundary=B; boundary=C", format!("{model}--B--\r\n")),
        ("multipart/mixed; boundary=B", format!("{model}--B--\r\n")),
        ("multipart/form-data; boundary=B", String::new()),
        ("multipart/form-data; boundary=B", "--B".to_owned()),
        ("multipart/form-data; boundary=B", "--B\r\n".to_owned()),
        ("multipart/form-data; boundary=B", "--B--\r\n".to_owned()),
        ("multipart/form-data; boundary=B", model.clone()),
        ("multipart/form-data; boundary=B", model.get(..30).unwrap_or_default().to_owned()),
        ("multipart/form-data; boundary=B", format!("{}--B--\r\n", part("file", "x"))),
        ("multipart/form-data; boundary=B", format!("{model}{model}--B--\r\n")),
        ("multipart/form-data; boundary=B", format!("{model}{}--B--\r\n", part("model", "other"))),
        ("multipart/form-data; boundary=B", format!("{}--B--\r\n", part("model", ""))),
        ("multipart/form-data; boundary=B", "--B\r\n\r\ntiny\r\n--B--\r\n".to_owned()),
        ("multipart/form-data; boundary=B", format!("{model}--B--\r\n").replace("\r\n", "\n")),
    ] {
        let head = format!(
            "POST {AUDIO} HTTP/1.1\r\nhost: h\r\nconnection: close\r\nauthorization: {}\r\n\
             content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            bearer(),
            body.len()
        );
        rows.push(Row::new(format!("{kind}: {body:?}"), head, 400));
    }
    rows
}

fn strangers() -> Vec<Row> {
    let key = key(ME);
    let key = key.reveal();
    let body = chat(MODEL, false);
    let mut rows = Vec::new();
    for (path, headers) in [
        (CHAT.to_owned(), String::new()),
        (MESSAGES.to_owned(), String::new()),
        (format!("{CHAT}?api_key={key}&key={key}"), String::new()),
        (CHAT.to_owned(), format!("cookie: authorization=Bearer {key}; api-key={key}\r\n")),
        (
            CHAT.to_owned(),
            format!("authorization: Bearer {key}\r\nauthorization: Bearer {key}\r\n"),
        ),
        (CHAT.to_owned(), format!("x-api-key: {key}\r\nx-api-key: x\r\n")),
        (CHAT.to_owned(), format!("authorization: Basic {key}\r\n")),
        (CHAT.to_owned(), format!("authorization: {key}\r\n")),
        (CHAT.to_owned(), format!("authorization: Bearer\r\nauthorization: {key}\r\n")),
        (CHAT.to_owned(), format!("authorization: Bearer {key}x\r\n")),
        (CHAT.to_owned(), format!("authorization: Bearer {}\r\n", key.to_uppercase())),
        (CHAT.to_owned(), format!("authorization: Bearer {key},Bearer {key}\r\n")),
        (CHAT.to_owned(), format!("authorization: Bearer {}\r\n", key.replace("sk-nb-", ""))),
        (CHAT.to_owned(), format!("x_api_key: {key}\r\napi_key: {key}\r\n")),
        (CHAT.to_owned(), format!("proxy-authorization: Bearer {key}\r\n")),
        (CHAT.to_owned(), format!("x-client-id: client-{ME}\r\n")),
        (CHAT.to_owned(), "authorization: Bearer \u{fc}\r\n".to_owned()),
        (CHAT.to_owned(), format!("authorization: Bearer {}\r\n", "a".repeat(10_000))),
    ] {
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{headers}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        rows.push(Row::new(format!("{path} {headers:.60}"), bytes, 401));
    }
    rows
}
