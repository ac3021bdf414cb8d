//! What may the upstream see?
//!
//! Of a client's header only what is on a list goes on. Credentials, cookies, identities, hop by
//! hop headers and whatever a client makes up are not on it, in any spelling; so that a header
//! which some upstream trusts can be set by us alone.

use super::accept::Operation;
use crate::upstream::Endpoint;
use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers of a client that go on as they are.
const PASSED: [HeaderName; 10] = [
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("openai-beta"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("baggage"),
];

/// Families of headers that go on: what the SDKs say of themselves.
const PASSED_PREFIXES: [&str; 2] = ["anthropic-", "x-stainless-"];

/// The one query that goes on; Anthropic's SDKs ask for their beta features by it.
const PASSED_QUERY: &str = "beta=true";

/// What the request says of itself to the upstream.
pub struct Identity<'a> {
    /// `X-Client-ID`, and `x-llm-client-id` for older consumers.
    pub client_id: &'a HeaderValue,
    /// `x-request-id`.
    pub request_id: &'a HeaderValue,
}

/// A request to an upstream, up to its body.
pub struct Line<'a> {
    /// What is asked.
    pub operation: &'a Operation,
    /// The path as upstreams know it.
    pub path: &'a str,
    /// The client's query, if any.
    pub query: Option<&'a str>,
    /// The length of the body.
    pub body_bytes: usize,
}

/// Writes the header of a request as it goes over the wire.
pub fn head(
    line: &Line<'_>,
    client: &HeaderMap,
    endpoint: &Endpoint,
    identity: &Identity<'_>,
) -> BytesMut {
    let mut wire = BytesMut::with_capacity(1024);
    let (prefix, skipped) = endpoint.path(line.path);
    wire.put_slice(if line.operation.is_get() { b"GET " } else { b"POST " });
    wire.put_slice(prefix.as_bytes());
    wire.put_slice(line.path.as_bytes().get(skipped..).unwrap_or_default());
    if line.query == Some(PASSED_QUERY) {
        wire.put_slice(b"?");
        wire.put_slice(PASSED_QUERY.as_bytes());
    }
    wire.put_slice(b" HTTP/1.1\r\n");
    put(&mut wire, "host", &endpoint.host);
    for (name, value) in client {
        if passes(name) && !endpoint.sets(name) {
            put(&mut wire, name.as_str(), value);
        }
    }
    // A compressed reply could not be counted.
    wire.put_slice(b"accept-encoding: identity\r\n");
    put(&mut wire, "x-client-id", identity.client_id);
    put(&mut wire, "x-llm-client-id", identity.client_id);
    put(&mut wire, "x-request-id", identity.request_id);
    if let Some(credential) = &endpoint.credential {
        put(&mut wire, credential.header.name(), &credential.value);
    }
    for (name, value) in &*endpoint.headers {
        put(&mut wire, name.as_str(), value);
    }
    put(&mut wire, "content-length", &HeaderValue::from(line.body_bytes));
    wire.put_slice(b"\r\n");
    wire
}

fn put(wire: &mut BytesMut, name: &str, value: &HeaderValue) {
    wire.put_slice(name.as_bytes());
    wire.put_slice(b": ");
    wire.put_slice(value.as_bytes());
    wire.put_slice(b"\r\n");
}

fn passes(name: &HeaderName) -> bool {
    PASSED.contains(name) || PASSED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stage::accept::OPERATIONS, upstream::endpoint::State};
    use llm_contract::{Served, Table, Timeouts};
    use std::sync::Arc;

    fn served() -> Endpoint {
        let served =
            Served { endpoints: vec![], model: None, credential: None, timeouts: Timeouts::SERVED };
        let url = "http://10.0.0.5:8000".parse().unwrap();
        Endpoint::served(&url, &served, Arc::new(State::default())).unwrap()
    }

    fn provider(url: &str) -> Endpoint {
        let text = format!(
            r#"{{"version": 1, "routes": [{{"model": "m", "access": {{"public": true}},
                "upstream": {{"provider": {{"name": "p"}}}}}}], "providers": [{{"name": "p",
                "url": "{url}", "credential": {{"header": "x-api-key", "secret": "sk-theirs"}},
                "headers": [{{"name": "OpenAI-Beta", "value": "ours"}},
                    {{"name": "x-team", "value": "a"}}]}}]}}"#
        );
        let tables = crate::tables::Tables::empty();
        tables.update(Table::parse(text.as_bytes()).unwrap());
        let route = Arc::clone(tables.snapshot().route("m").unwrap());
        Arc::try_unwrap(route.endpoints[0].clone()).unwrap_or_else(|_shared| {
            let llm_contract::Upstream::Provider(provider, _) = &route.route.upstream else {
                panic!("a provider")
            };
            Endpoint::provider(provider, Arc::new(State::default())).unwrap()
        })
    }

    fn wire(client: &[(&'static str, &'static str)], endpoint: &Endpoint) -> String {
        let client: HeaderMap = client
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let operation = &OPERATIONS[0];
        let line = Line { operation, path: operation.path, query: None, body_bytes: 2 };
        let identity = Identity {
            client_id: &HeaderValue::from_static("laptop"),
            request_id: &HeaderValue::from_static("req-1"),
        };
        String::from_utf8(head(&line, &client, endpoint, &identity).to_vec()).unwrap()
    }

    #[test]
    fn an_upstream_sees_who_asks_and_nothing_a_client_made_up() {
        let client = [
            ("authorization", "Bearer sk-canary"),
            ("x-api-key", "sk-canary"),
            ("api-key", "sk-canary"),
            ("cookie", "session=canary"),
            ("proxy-authorization", "canary"),
            ("connection", "x-client-id"),
            ("x-client-id", "canary"),
            ("x_client_id", "canary"),
            ("x-llm-client-id", "canary"),
            ("x-llm-d-endpoint", "canary"),
            ("x-gateway-destination-endpoint", "canary"),
            ("x-forwarded-for", "canary"),
            ("x-original-url", "/canary"),
            ("te", "trailers"),
            ("expect", "100-continue"),
            ("content-type", "application/json"),
        ];
        assert_eq!(
            wire(&client, &served()),
            "POST /v1/chat/completions HTTP/1.1\r\nhost: 10.0.0.5:8000\r\n\
             content-type: application/json\r\naccept-encoding: identity\r\n\
             x-client-id: laptop\r\nx-llm-client-id: laptop\r\nx-request-id: req-1\r\n\
             content-length: 2\r\n\r\n"
        );
    }

    #[test]
    fn a_provider_is_called_under_its_prefix_with_its_own_credential() {
        let wire = wire(&[], &provider("https://api.example.com/openai/v2/"));
        assert!(wire.starts_with("POST /openai/v2/chat/completions HTTP/1.1\r\n"), "{wire}");
        assert!(wire.contains("\r\nhost: api.example.com\r\n"), "{wire}");
        assert!(wire.contains("\r\nx-api-key: sk-theirs\r\n"), "{wire}");
    }

    #[test]
    fn a_provider_s_own_headers_go_out_instead_of_a_client_s() {
        let client = [("openai-beta", "theirs"), ("x-team", "b"), ("accept", "text/plain")];
        let wire = wire(&client, &provider("https://api.example.com"));
        let lines: Vec<_> = wire.lines().filter(|it| !it.starts_with("x-client")).collect();
        assert!(lines.contains(&"accept: text/plain"), "{wire}");
        for (name, line) in [("openai-beta", "openai-beta: ours"), ("x-team", "x-team: a")] {
            let found: Vec<_> = lines.iter().filter(|it| it.starts_with(name)).collect();
            assert_eq!(found, [&line], "{wire}");
        }
    }

    #[test]
    fn a_provider_without_a_path_is_called_as_we_are() {
        let wire = wire(&[], &provider("https://api.example.com"));
        assert!(wire.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{wire}");
    }
}
