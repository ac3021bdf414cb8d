//! The header of a request to an upstream.
//!
//! Only listed headers of a client are forwarded. Credentials, cookies, identities, hop-by-hop
//! headers and inventions of a client are not listed, in any spelling, so that a header some
//! upstream trusts can be set by us alone.

use crate::{stage::accept::Operation, upstream::Endpoint};
use bytes::{BufMut, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

const FORWARDED: [HeaderName; 10] = [
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

/// What the SDKs send about themselves.
const FORWARDED_PREFIXES: [&str; 2] = ["anthropic-", "x-stainless-"];

/// The one query that is forwarded; Anthropic's SDKs request beta features by it.
const FORWARDED_QUERY: &str = "beta=true";

/// A request to an upstream, up to its body.
pub struct UpstreamHead<'a> {
    pub operation: &'a Operation,
    /// Without its prefix at the endpoint.
    pub path: &'a str,
    /// The client's.
    pub query: Option<&'a str>,
    pub body_bytes: usize,
    /// `X-Client-ID`, and `x-llm-client-id` for older consumers.
    pub client_id: &'a HeaderValue,
    pub request_id: &'a HeaderValue,
}

impl UpstreamHead<'_> {
    /// As sent over the wire.
    pub fn to_bytes(&self, client: &HeaderMap, endpoint: &Endpoint) -> BytesMut {
        let mut wire = BytesMut::with_capacity(1024);
        let (prefix, path) = endpoint.path(self.path);
        for part in [self.operation.method.as_str(), " ", prefix, path] {
            wire.put_slice(part.as_bytes());
        }
        if self.query == Some(FORWARDED_QUERY) {
            wire.put_slice(b"?");
            wire.put_slice(FORWARDED_QUERY.as_bytes());
        }
        wire.put_slice(b" HTTP/1.1\r\n");
        put(&mut wire, "host", &endpoint.host);
        for (name, value) in client {
            if is_forwarded(name) && !endpoint.overrides(name) {
                put(&mut wire, name.as_str(), value);
            }
        }
        // Tokens in a compressed reply could not be counted.
        wire.put_slice(b"accept-encoding: identity\r\n");
        put(&mut wire, "x-client-id", self.client_id);
        put(&mut wire, "x-llm-client-id", self.client_id);
        put(&mut wire, "x-request-id", self.request_id);
        if let Some(credential) = &endpoint.credential {
            put(&mut wire, credential.header.name(), &credential.value);
        }
        for (name, value) in &*endpoint.headers {
            put(&mut wire, name.as_str(), value);
        }
        put(&mut wire, "content-length", &HeaderValue::from(self.body_bytes));
        wire.put_slice(b"\r\n");
        wire
    }
}

fn put(wire: &mut BytesMut, name: &str, value: &HeaderValue) {
    wire.put_slice(name.as_bytes());
    wire.put_slice(b": ");
    wire.put_slice(value.as_bytes());
    wire.put_slice(b"\r\n");
}

fn is_forwarded(name: &HeaderName) -> bool {
    let has_prefix = || FORWARDED_PREFIXES.iter().any(|prefix| name.as_str().starts_with(prefix));
    FORWARDED.contains(name) || has_prefix()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{stage::accept::OPERATIONS, upstream::endpoint::EndpointState};
    use llm_contract::{Served, Table, Timeouts};
    use std::sync::Arc;

    fn served() -> Endpoint {
        let served =
            Served { endpoints: vec![], model: None, credential: None, timeouts: Timeouts::SERVED };
        let url = "http://10.0.0.5:8000".parse().unwrap();
        Endpoint::served(&url, &served, Arc::new(EndpointState::default())).unwrap()
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
            Endpoint::provider(provider, Arc::new(EndpointState::default())).unwrap()
        })
    }

    fn wire(client: &[(&'static str, &'static str)], endpoint: &Endpoint) -> String {
        let client: HeaderMap = client
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let operation = OPERATIONS.iter().find(|it| it.name == "chat").unwrap();
        let head = UpstreamHead {
            operation,
            path: operation.path,
            query: None,
            body_bytes: 2,
            client_id: &HeaderValue::from_static("laptop"),
            request_id: &HeaderValue::from_static("req-1"),
        };
        String::from_utf8(head.to_bytes(&client, endpoint).to_vec()).unwrap()
    }

    #[test]
    fn an_upstream_sees_the_caller_and_no_invention_of_a_client() {
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
    fn a_provider_s_own_headers_replace_a_client_s() {
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
