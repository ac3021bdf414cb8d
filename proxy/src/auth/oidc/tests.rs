//! Tokens and claims, without a network.

mod support;
mod issuers;

use super::{
    IssuerConfig, TokenError,
    claims::{GROUP_BYTES_MAX, GROUPS_MAX, LEEWAY_SECONDS, UnverifiedClaims, VerifiedClaims},
    jwk::{InvalidJwks, Jwks, KEYS_MAX, KEYS_TRIED_MAX},
    jwks_cache::{FORCED_REFRESH_INTERVAL, RefreshRequest, RefreshState},
    token::{UnverifiedToken, parse_algorithm},
    token_cache::{TokenCache, TokenDigest},
};
use proptest::prelude::*;
use ring::hmac;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use support::{NOW, Signer, claims, config, encode, keys};

const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
const ISSUER: &str = "https://idp.example.org";

fn verify(jwks: &[Value], token: &str) -> Result<(), TokenError> {
    keys(jwks).verify(&UnverifiedToken::parse(token).unwrap()).map(drop)
}

/// A JWK with more members.
fn with(mut jwk: Value, members: Value) -> Value {
    let Value::Object(members) = members else { panic!("members are an object") };
    jwk.as_object_mut().unwrap().extend(members);
    jwk
}

#[test]
fn every_algorithm_is_verified_with_a_key_of_its_kind() {
    for algorithm in ALGORITHMS {
        let signer = Signer::new("1", algorithm);
        let token = signer.sign(algorithm, &claims(ISSUER));
        assert_eq!(verify(&[signer.jwk()], &token), Ok(()), "{algorithm}");
    }
}

#[test]
fn every_algorithm_is_verified_with_a_key_pinned_to_it() {
    for algorithm in ALGORITHMS {
        let signer = Signer::new("1", algorithm);
        let token = signer.sign(algorithm, &claims(ISSUER));
        let jwk =
            with(signer.jwk(), json!({"alg": algorithm, "use": "sig", "key_ops": ["verify"]}));
        assert_eq!(verify(&[jwk], &token), Ok(()), "{algorithm}");
    }
}

#[test]
fn a_key_verifies_no_algorithm_of_another_kind() {
    for own in ["RS256", "ES256", "ES384", "EdDSA"] {
        let signer = Signer::new("1", own);
        for other in ALGORITHMS {
            let rsa_both = own == "RS256" && (other.starts_with("RS") || other.starts_with("PS"));
            if other != own && !rsa_both {
                let token = signer.sign(other, &claims(ISSUER));
                let refused = verify(&[signer.jwk()], &token);
                assert_eq!(refused, Err(TokenError::KeyAlgorithm), "{own} {other}");
            }
        }
    }
}

#[test]
fn an_rsa_key_with_an_algorithm_verifies_no_other() {
    let signer = Signer::new("1", "RS256");
    let jwk = with(signer.jwk(), json!({"alg": "RS256"}));
    for other in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        let token = signer.sign(other, &claims(ISSUER));
        assert_eq!(
            verify(std::slice::from_ref(&jwk), &token),
            Err(TokenError::KeyAlgorithm),
            "{other}"
        );
    }
}

#[test]
fn a_public_key_is_never_a_shared_secret() {
    let jwk = Signer::new("1", "RS256").jwk();
    for secret in [jwk["n"].as_str().unwrap().to_owned(), jwk.to_string()] {
        let header = encode(json!({"alg": "HS256", "kid": "1"}).to_string());
        let signed = format!("{header}.{}", encode(claims(ISSUER).to_string()));
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let token = format!("{signed}.{}", encode(hmac::sign(&key, signed.as_bytes())));
        assert_eq!(UnverifiedToken::parse(&token).unwrap_err(), TokenError::Algorithm);
    }
}

#[test]
fn an_unsigned_token_is_refused_however_none_is_spelled() {
    for algorithm in
        ["none", "None", "NONE", "nOnE", "", "HS384", "HS512", "ES256K", "ES512", "rs256"]
    {
        let header = encode(json!({ "alg": algorithm }).to_string());
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{}.{signature}", encode(claims(ISSUER).to_string()));
            assert_eq!(
                UnverifiedToken::parse(&token).unwrap_err(),
                TokenError::Algorithm,
                "{algorithm}"
            );
        }
    }
}

#[test]
fn another_keys_signature_is_refused() {
    let (ours, theirs) = (Signer::new("1", "ES256"), Signer::new("1", "ES256"));
    let token = theirs.sign("ES256", &claims(ISSUER));
    assert_eq!(verify(&[ours.jwk()], &token), Err(TokenError::Signature));
}

#[test]
fn a_key_in_the_header_is_not_used() {
    let (ours, theirs) = (Signer::new("1", "ES256"), Signer::new("1", "ES256"));
    let header =
        json!({"alg": "ES256", "kid": "1", "jwk": theirs.jwk(), "jku": "http://127.0.0.1"});
    let token = theirs.sign_with(&header, &claims(ISSUER));
    assert_eq!(verify(&[ours.jwk()], &token), Err(TokenError::Signature));
}

#[test]
fn an_unknown_key_id_differs_from_a_wrong_signature() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let token = new.sign("ES256", &claims(ISSUER));
    assert_eq!(verify(&[old.jwk()], &token), Err(TokenError::UnknownKey));
}

#[test]
fn keys_that_share_an_id_are_all_tried() {
    let (a, b) = (Signer::new("1", "ES256"), Signer::new("1", "ES256"));
    let token = b.sign("ES256", &claims(ISSUER));
    assert_eq!(verify(&[a.jwk(), b.jwk()], &token), Ok(()));
}

#[test]
fn a_token_without_key_id_is_tried_with_a_few_keys_that_fit() {
    let others: Vec<_> = (0..KEYS_TRIED_MAX).map(|_| Signer::new("other", "EdDSA").jwk()).collect();
    let signer = Signer::new("1", "EdDSA");
    let token = signer.sign_with(&json!({"alg": "EdDSA"}), &claims(ISSUER));
    let unfit = Signer::new("unfit", "RS256").jwk();

    let fits_last = [&[unfit], &others[1..], &[signer.jwk()]].concat();
    assert_eq!(verify(&fits_last, &token), Ok(()));

    let beyond = [&others[..], &[signer.jwk()]].concat();
    assert_eq!(verify(&beyond, &token), Err(TokenError::UnknownKey));
}

#[test]
fn keys_that_cannot_or_must_not_verify_are_ignored() {
    let rsa = Signer::new("1", "RS256").jwk();
    let ec = Signer::new("1", "ES256").jwk();
    let short = encode([0xff; 128]);
    for jwk in [
        with(rsa.clone(), json!({"use": "enc"})),
        with(rsa.clone(), json!({"alg": "RSA-OAEP"})),
        with(rsa.clone(), json!({"alg": "ES256"})),
        with(rsa.clone(), json!({"alg": "HS256"})),
        with(rsa.clone(), json!({"key_ops": ["sign", "encrypt"]})),
        with(rsa.clone(), json!({ "n": short })),
        with(rsa.clone(), json!({"n": ""})),
        with(rsa.clone(), json!({"n": "not base64url!"})),
        with(rsa, json!({"n": encode([0xff; 2048])})),
        with(ec.clone(), json!({"alg": "ES384"})),
        with(ec.clone(), json!({"crv": "P-384"})),
        with(ec.clone(), json!({"crv": "secp256k1"})),
        with(ec.clone(), json!({"y": ec["x"]})),
        with(ec, json!({"x": encode([1; 31])})),
        json!({"kty": "OKP", "crv": "X25519", "x": encode([1; 32])}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": encode([1; 31])}),
        json!({"kty": "oct", "alg": "HS256", "k": encode([1; 32])}),
        json!({"kty": "quantum"}),
        json!({"kid": 7, "kty": "RSA"}),
        json!("RSA"),
    ] {
        let text = json!({"keys": [jwk]}).to_string();
        let refused = Jwks::parse(text.as_bytes(), None);
        assert!(matches!(refused, Err(InvalidJwks::NoUsableKey)), "{text}");
    }
}

#[test]
fn an_unusable_key_does_not_invalidate_the_others() {
    let signer = Signer::new("1", "ES256");
    let token = signer.sign("ES256", &claims(ISSUER));
    assert_eq!(verify(&[json!(null), json!({"kty": "oct"}), signer.jwk()], &token), Ok(()));
}

#[test]
fn a_modulus_may_be_written_with_a_leading_zero() {
    let signer = Signer::new("1", "RS256");
    let mut jwk = signer.jwk();
    // Four characters are three bytes, so this puts zeros in front of what is there.
    jwk["n"] = format!("AAAA{}", jwk["n"].as_str().unwrap()).into();
    let token = signer.sign("RS256", &claims(ISSUER));
    assert_eq!(verify(&[jwk], &token), Ok(()));
}

#[test]
fn a_key_set_with_too_many_keys_is_refused() {
    let text = json!({"keys": vec![Signer::new("1", "ES256").jwk(); KEYS_MAX + 1]}).to_string();
    assert!(matches!(Jwks::parse(text.as_bytes(), None), Err(InvalidJwks::TooMany(101))));
}

#[test]
fn what_is_not_a_signed_jwt_is_malformed() {
    let header = encode(r#"{"alg":"RS256"}"#);
    for token in [
        String::new(),
        "..".to_owned(),
        "a.b".to_owned(),
        "a.b.c.d.e".to_owned(),
        format!("{header}.e30"),
        format!("{header}.e30.AA.AA"),
        format!("{header}.e30.AA=="),
        format!("{header}.e30.A+/A"),
        format!("{header}.e30.AB"),
        format!(" {header}.e30.AAAA"),
        format!("{}.e30.AAAA", encode("[]")),
        format!("{}.e30.AAAA", encode(r#"{"kid":"1"}"#)),
        format!("{}.e30.AAAA", encode(r#"{"alg":"RS256","alg":"none"}"#)),
        format!("{}.e30.AAAA", encode(r#"{"alg":"RS256"} x"#)),
        format!("{}.e30.AAAA", encode([0xff, 0xfe])),
    ] {
        assert_eq!(UnverifiedToken::parse(&token).unwrap_err(), TokenError::Malformed, "{token}");
    }
}

#[test]
fn a_token_that_requires_an_extension_is_rejected() {
    for crit in [json!(["b64"]), json!([]), json!(null)] {
        let header = encode(json!({"alg": "RS256", "b64": false, "crit": crit}).to_string());
        let token = format!("{header}.e30.AAAA");
        assert_eq!(
            UnverifiedToken::parse(&token).unwrap_err(),
            TokenError::CriticalExtension,
            "{crit}"
        );
    }
}

#[test]
fn only_access_and_id_tokens_are_accepted() {
    for (typ, accepted) in [
        ("JWT", true),
        ("jwt", true),
        ("at+jwt", true),
        ("application/at+JWT", true),
        ("logout+jwt", false),
        ("dpop+jwt", false),
        ("JWE", false),
        ("", false),
    ] {
        let header = encode(json!({"alg": "RS256", "typ": typ}).to_string());
        let token = format!("{header}.e30.AAAA");
        assert_eq!(
            UnverifiedToken::parse(&token).map(|_| ()).err(),
            (!accepted).then_some(TokenError::Type),
            "{typ}"
        );
    }
}

fn check(members: Value) -> Result<(), TokenError> {
    let text = with(claims(ISSUER), members).to_string();
    UnverifiedClaims::parse(text.as_bytes())?.validate(&config(ISSUER).audiences, NOW).map(drop)
}

#[test]
fn the_audience_must_be_configured() {
    for (audience, expected) in [
        (json!("llm"), Ok(())),
        (json!(["account", "llm"]), Ok(())),
        (json!("LLM"), Err(TokenError::Audience)),
        (json!("llm2"), Err(TokenError::Audience)),
        (json!([]), Err(TokenError::Audience)),
        (json!(null), Err(TokenError::Audience)),
        (json!(1), Err(TokenError::Malformed)),
        (json!({"llm": "llm"}), Err(TokenError::Malformed)),
    ] {
        assert_eq!(check(json!({ "aud": audience })), expected, "{audience}");
    }
}

#[test]
fn a_token_expires_in_the_second_of_exp() {
    for (expiry, expected) in [
        (json!(NOW + 1), Ok(())),
        (json!(1_800_000_001.5), Ok(())),
        (json!(u64::MAX), Ok(())),
        (json!(NOW), Err(TokenError::Expired)),
        (json!(1_800_000_000.9), Err(TokenError::Expired)),
        (json!(0), Err(TokenError::Expired)),
        (json!(null), Err(TokenError::MissingExpiry)),
        (json!(-1), Err(TokenError::Malformed)),
        (json!(1e300), Err(TokenError::Malformed)),
        (json!("1900000000"), Err(TokenError::Malformed)),
    ] {
        assert_eq!(check(json!({ "exp": expiry })), expected, "{expiry}");
    }
}

#[test]
fn a_start_may_be_ahead_by_the_leeway_and_no_more() {
    for claim in ["nbf", "iat"] {
        for (start, expected) in [
            (json!(0), Ok(())),
            (json!(null), Ok(())),
            (json!(NOW + LEEWAY_SECONDS), Ok(())),
            (json!(NOW + LEEWAY_SECONDS + 1), Err(TokenError::NotYetValid)),
            (json!(u64::MAX), Err(TokenError::NotYetValid)),
        ] {
            assert_eq!(check(json!({ claim: start })), expected, "{claim} {start}");
        }
    }
}

#[test]
fn claims_that_appear_twice_or_are_no_object_are_malformed() {
    for text in [
        r#"{"iss":"https://a","iss":"https://b"}"#,
        r#"{"aud":"llm","iss":"https://a","aud":"x"}"#,
        r#"{"iss":["https://a"]}"#,
        "{}",
        "[]",
        "null",
        "",
    ] {
        assert_eq!(
            UnverifiedClaims::parse(text.as_bytes()).unwrap_err(),
            TokenError::Malformed,
            "{text}"
        );
    }
}

fn read(config: &IssuerConfig, members: Value) -> Result<VerifiedClaims, TokenError> {
    let text = with(claims(ISSUER), members).to_string();
    let current =
        UnverifiedClaims::parse(text.as_bytes()).unwrap().validate(&config.audiences, NOW).unwrap();
    VerifiedClaims::parse(text.as_bytes(), &current, config)
}

#[test]
fn groups_are_read_in_every_form() {
    let nested = json!({"realm_access": {"roles": ["a", "b"]}});
    for (path, members, expected) in [
        ("groups", json!({"groups": ["b", "a", "b"]}), &["a", "b"][..]),
        ("groups", json!({"groups": "a b"}), &["a b"]),
        ("groups", json!({"groups": ["/a", "/a/b", "//c"]}), &["/c", "a", "a/b"]),
        ("groups", json!({"groups": ["a", 1, null, ["b"], "", "/"]}), &["a"]),
        ("groups", json!({"groups": []}), &[]),
        ("groups", json!({"groups": null}), &[]),
        ("groups", json!({"groups": {"a": true}}), &[]),
        ("absent", json!({}), &[]),
        ("realm_access.roles", nested.clone(), &["a", "b"]),
        ("realm_access.roles.a", nested.clone(), &[]),
        ("realm_access", nested, &[]),
        ("https://example.org/groups", json!({"https://example.org/groups": ["a"]}), &["a"]),
        ("a.b", json!({"a.b": ["literal"], "a": {"b": ["nested"]}}), &["literal"]),
        ("a.b.c", json!({"a": {"b.c": ["rest"]}}), &["rest"]),
    ] {
        let config = IssuerConfig { groups_claim: path.to_owned(), ..config(ISSUER) };
        let verified = read(&config, members.clone()).unwrap();
        let groups: Vec<&str> = verified.groups().iter().map(|group| &**group).collect();
        assert_eq!(groups, expected, "{path} {members}");
    }
}

#[test]
fn a_token_with_groups_beyond_the_limits_is_rejected() {
    for (groups, fits) in [
        (vec!["a".to_owned(); GROUPS_MAX], true),
        (vec!["a".to_owned(); GROUPS_MAX + 1], false),
        (vec!["a".repeat(GROUP_BYTES_MAX)], true),
        (vec!["a".repeat(GROUP_BYTES_MAX + 1)], false),
        (vec!["a\n".to_owned()], false),
    ] {
        let read = read(&config(ISSUER), json!({ "groups": groups }));
        assert_eq!(read.err(), (!fits).then_some(TokenError::Groups));
    }
}

#[test]
fn the_user_name_falls_back_to_the_subject() {
    for (path, members, expected) in [
        ("preferred_username", json!({}), Ok("ada")),
        ("email", json!({"email": "ada@example.org"}), Ok("ada@example.org")),
        ("profile.nick", json!({"profile": {"nick": "lace"}}), Ok("lace")),
        ("preferred_username", json!({"preferred_username": null}), Ok("4711")),
        ("preferred_username", json!({"preferred_username": ""}), Ok("4711")),
        ("preferred_username", json!({"preferred_username": 7}), Ok("4711")),
        ("absent", json!({}), Ok("4711")),
        ("email", json!({"email": "a\r\nx-admin: 1"}), Err(TokenError::Username)),
        ("email", json!({"email": "a".repeat(256)}), Err(TokenError::Username)),
    ] {
        let config = IssuerConfig { username_claim: path.to_owned(), ..config(ISSUER) };
        let username =
            read(&config, members.clone()).map(|verified| verified.username().to_owned());
        assert_eq!(username.as_deref(), expected.as_ref().map(|name| *name), "{path} {members}");
    }
}

#[test]
fn a_subject_is_required() {
    for subject in [json!(null), json!(""), json!(7), json!("a\0"), json!("a".repeat(256))] {
        let read = read(&config(ISSUER), json!({ "sub": subject }));
        assert_eq!(read.unwrap_err(), TokenError::Subject, "{subject}");
    }
}

/// Something verified until `expires_at`, and the key that did it.
fn verified(expires_at: u64) -> (Arc<VerifiedClaims>, Jwks, String) {
    let signer = Signer::new("1", "EdDSA");
    let verified = read(&config(ISSUER), json!({ "exp": expires_at })).unwrap();
    (Arc::new(verified), keys(&[signer.jwk()]), signer.sign("EdDSA", &claims(ISSUER)))
}

#[test]
fn a_cached_token_is_valid_until_it_expires_or_its_key_is_removed() {
    let cache = TokenCache::new(100);
    let (verified, keys, token) = verified(NOW + 10);
    let digest = TokenDigest::of(&token);
    cache.insert(digest, verified, keys.verify(&UnverifiedToken::parse(&token).unwrap()).unwrap());
    assert!(cache.get(&digest, NOW + 9).is_some());
    assert!(cache.get(&digest, NOW + 10).is_none());
    drop(keys);
    assert!(cache.get(&digest, NOW).is_none());
}

#[test]
fn a_full_cache_keeps_what_is_used() {
    const ENTRIES: usize = 160;
    let cache = TokenCache::new(ENTRIES);
    let (verified, keys, token) = verified(NOW + 10);
    let key = keys.verify(&UnverifiedToken::parse(&token).unwrap()).unwrap();
    let popular = TokenDigest::of("popular");
    cache.insert(popular, Arc::clone(&verified), key);
    for n in 0..10 * ENTRIES {
        assert!(cache.get(&popular, NOW).is_some(), "after {n}");
        cache.insert(TokenDigest::of(&n.to_string()), Arc::clone(&verified), key);
    }
    assert!(cache.len() <= ENTRIES);
}

#[test]
fn keys_that_remain_in_a_set_remain_the_same_object() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let token = old.sign("ES256", &claims(ISSUER));
    let token = UnverifiedToken::parse(&token).unwrap();
    let before = keys(&[old.jwk()]);
    let text = json!({"keys": [new.jwk(), old.jwk()]}).to_string();
    let after = Jwks::parse(text.as_bytes(), Some(&before)).unwrap();
    let same =
        |a: &Jwks, b: &Jwks| Arc::ptr_eq(a.verify(&token).unwrap(), b.verify(&token).unwrap());
    assert!(same(&before, &after));
    assert!(!same(&before, &before.renewed()));
}

#[test]
fn unknown_keys_force_a_burst_of_refreshes_and_then_one_per_interval() {
    let now = Duration::from_secs(NOW);
    let mut state = RefreshState::default();
    let mut ask = |now| {
        let asked = state.request(now);
        state.finish(false);
        asked
    };
    assert_eq!(ask(now), RefreshRequest::Started(1));
    assert_eq!(ask(now), RefreshRequest::Started(2));
    assert_eq!(ask(now), RefreshRequest::Limited);
    assert_eq!(
        ask(now + FORCED_REFRESH_INTERVAL - Duration::from_millis(1)),
        RefreshRequest::Limited
    );
    assert_eq!(ask(now + FORCED_REFRESH_INTERVAL), RefreshRequest::Started(3));
    assert_eq!(ask(now + FORCED_REFRESH_INTERVAL), RefreshRequest::Limited);
    assert_eq!(ask(now + FORCED_REFRESH_INTERVAL * 10), RefreshRequest::Started(4));
    assert_eq!(ask(now + FORCED_REFRESH_INTERVAL * 10), RefreshRequest::Started(5));
    assert_eq!(ask(now + FORCED_REFRESH_INTERVAL * 10), RefreshRequest::Limited);
}

#[test]
fn a_clock_set_back_does_not_stop_refreshes() {
    let mut state = RefreshState::default();
    assert_eq!(state.request(Duration::from_secs(NOW)), RefreshRequest::Started(1));
    state.finish(false);
    assert_eq!(state.request(Duration::from_secs(NOW - 3600)), RefreshRequest::Started(2));
}

/// JSON of any shape, with the names we read among its members.
fn json_value() -> impl Strategy<Value = Value> {
    let names = proptest::sample::select(&["sub", "groups", "a", "a.b", "b", "exp", "", "."][..]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,9}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((names.clone(), inner), 0..4).prop_map(|members| {
                members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_token_parser_panic(text in ".{0,200}") {
        let _ = UnverifiedToken::parse(&text);
        let _ = parse_algorithm(&text);
    }

    #[test]
    fn no_bytes_in_the_three_parts_make_the_parsers_panic(
        header in proptest::collection::vec(any::<u8>(), 0..100),
        claims in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let _ = UnverifiedToken::parse(&format!("{}.{}.", encode(&header), encode(&claims)));
        let _ = UnverifiedClaims::parse(&claims);
        let _ = Jwks::parse(&claims, None);
    }

    #[test]
    fn no_claims_make_the_reader_panic(value in json_value(), path in "[ab.]{0,7}") {
        let config = IssuerConfig { groups_claim: path.clone(), username_claim: path, ..config(ISSUER) };
        let good = claims(ISSUER).to_string();
        let current = UnverifiedClaims::parse(good.as_bytes()).unwrap().validate(&config.audiences, NOW).unwrap();
        let text = value.to_string();
        let _ = UnverifiedClaims::parse(text.as_bytes());
        let _ = VerifiedClaims::parse(text.as_bytes(), &current, &config);
    }

    #[test]
    fn a_token_changed_anywhere_is_refused(place: proptest::sample::Index, by in 1_u8..128) {
        let signer = Signer::new("1", "EdDSA");
        let keys = keys(&[signer.jwk()]);
        let mut token = signer.sign("EdDSA", &claims(ISSUER)).into_bytes();
        let place = place.index(token.len());
        token[place] = (token[place] ^ by) & 0x7f;
        let token = String::from_utf8(token).unwrap();
        if let Ok(token) = UnverifiedToken::parse(&token) {
            prop_assert!(keys.verify(&token).is_err());
        }
    }
}
