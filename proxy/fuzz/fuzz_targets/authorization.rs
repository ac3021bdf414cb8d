//! Credentials: what a stranger presents is read without a panic, and a key that is read is a key.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use llm_contract::{SecretKey, KeyHash};
use llm_proxy::stage::authenticate::credential;

fuzz_target!(|lines: Vec<(u8, Vec<u8>)>| {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        let name = ["authorization", "x-api-key", "api-key", "cookie"][usize::from(name % 4)];
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            headers.append(name, value);
        }
    }
    if let Some(text) = credential(&headers) {
        if let Ok(key) = SecretKey::parse(text) {
            assert_eq!(key.reveal(), text);
        }
        if let Ok(hash) = KeyHash::parse(text) {
            assert_eq!(KeyHash::parse(&hash.to_string()), Ok(hash));
        }
    }
});
