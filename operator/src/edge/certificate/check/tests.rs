use super::*;
use k8s_openapi::ByteString;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

const HOSTS: [&str; 2] = ["llm.example.org", "llm-internal.example.org"];

/// Valid through the year 2030.
fn issued(names: &[&str]) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2030, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn secret(kind: &str, entries: &[(&str, &str)]) -> TlsSecret {
    let entry =
        |(name, text): &(&str, &str)| ((*name).to_owned(), ByteString(text.as_bytes().to_vec()));
    let data = entries.iter().map(entry).collect();
    Secret { type_: Some(kind.into()), data: Some(data), ..Secret::default() }.into()
}

fn holding((chain, key): &(String, String)) -> TlsSecret {
    secret(TYPE, &[(CHAIN, chain), (KEY, key)])
}

fn hosts() -> Vec<String> {
    HOSTS.map(Into::into).to_vec()
}

fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

fn found(secret: &TlsSecret) -> Result<ValidCertificate, CertificateError> {
    check(Some(secret), &hosts(), at("2030-06-01T00:00:00Z"))
}

#[test]
fn a_certificate_covers_both_names_by_name_or_by_one_wildcard() {
    for (names, covered) in [
        (&HOSTS[..], true),
        (&["*.example.org"], true),
        (&["*.Example.org"], true),
        (&["LLM.example.org", "*.example.org"], true),
        (&["llm.example.org"], false),
        (&["*.org"], false),
        (&["*.llm.example.org"], false),
        (&["example.org"], false),
        (&[], false),
    ] {
        let found = found(&holding(&issued(names)));
        assert_eq!(found.is_ok(), covered, "{names:?}: {found:?}");
    }
}

#[test]
fn a_problem_is_described() {
    let good = issued(&HOSTS);
    let (chain, key) = (good.0.as_str(), good.1.as_str());
    let other = issued(&["llm.example.org"]);
    for (secret, message) in [
        (
            secret("Opaque", &[(CHAIN, chain), (KEY, key)]),
            "has type Opaque instead of kubernetes.io/tls",
        ),
        (secret(TYPE, &[(KEY, key)]), "has no tls.crt"),
        (secret(TYPE, &[(CHAIN, chain)]), "has no tls.key"),
        (secret(TYPE, &[(CHAIN, ""), (KEY, key)]), "has no PEM certificates in tls.crt"),
        (secret(TYPE, &[(CHAIN, key), (KEY, key)]), "has no PEM certificates in tls.crt"),
        (secret(TYPE, &[(CHAIN, chain), (KEY, chain)]), "has no PEM private key in tls.key"),
        (
            secret(TYPE, &[(CHAIN, chain), (KEY, &other.1)]),
            "has a tls.key that does not match the first certificate in tls.crt",
        ),
        (
            holding(&other),
            "has a certificate that does not cover llm-internal.example.org; it covers llm.example.org",
        ),
    ] {
        assert_eq!(found(&secret).unwrap_err().to_string(), message);
    }
    let missing = check(None, &hosts(), at("2030-06-01T00:00:00Z"));
    assert_eq!(missing.unwrap_err().to_string(), "does not exist");
}

#[test]
fn a_certificate_counts_from_its_first_moment_to_its_last() {
    let secret = holding(&issued(&HOSTS));
    let not_after = at("2031-01-01T00:00:00Z");
    for (now, verdict) in [
        ("2029-12-31T23:59:59Z", Err(CertificateError::NotYetValid(at("2030-01-01T00:00:00Z")))),
        ("2030-01-01T00:00:00Z", Ok(ValidCertificate { not_after, expires_soon: false })),
        ("2030-12-18T00:00:00Z", Ok(ValidCertificate { not_after, expires_soon: false })),
        ("2030-12-18T00:00:01Z", Ok(ValidCertificate { not_after, expires_soon: true })),
        ("2031-01-01T00:00:00Z", Ok(ValidCertificate { not_after, expires_soon: true })),
        ("2031-01-01T00:00:01Z", Err(CertificateError::Expired(not_after))),
    ] {
        assert_eq!(check(Some(&secret), &hosts(), at(now)), verdict, "{now}");
    }
}

#[test]
fn it_is_checked_again_when_the_result_changes_by_itself() {
    let secret = holding(&issued(&HOSTS));
    let mut now = at("2029-12-01T00:00:00Z");
    let mut answers = Vec::new();
    loop {
        let found = check(Some(&secret), &hosts(), now);
        let again = recheck_after(&found, now);
        answers.push(found);
        let Some(again) = again else { break };
        now += again;
    }
    let not_after = at("2031-01-01T00:00:00Z");
    assert_eq!(
        answers,
        [
            Err(CertificateError::NotYetValid(at("2030-01-01T00:00:00Z"))),
            Ok(ValidCertificate { not_after, expires_soon: false }),
            Ok(ValidCertificate { not_after, expires_soon: true }),
            Err(CertificateError::Expired(not_after)),
        ]
    );
}

#[test]
fn a_private_key_is_never_printed() {
    let (chain, key) = issued(&HOSTS);
    let printed = format!("{:?}", secret(TYPE, &[(KEY, &key), (CHAIN, &chain)]));
    assert!(printed.contains("REDACTED"), "{printed}");
    assert!(!printed.contains(&format!("{:?}", key.as_bytes())), "{printed}");
}
