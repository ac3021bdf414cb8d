use super::*;

fn start() -> Timestamp {
    "2026-03-01T12:00:00.5Z".parse().unwrap()
}

fn made() -> Authority {
    Authority::advance(None, RotationStep::Create, start()).unwrap()
}

/// Stored and read again, as between two steps.
fn stored(authority: &Authority) -> Authority {
    let data = authority.to_data();
    let part = |name: &str| {
        data.iter().find(|(field, _)| *field == name).map(|(_, text)| text.reveal().as_bytes())
    };
    Authority::parse(part).unwrap()
}

fn roots(authority: &Authority) -> usize {
    authority.bundle().matches("BEGIN CERTIFICATE").count()
}

#[test]
fn a_stored_authority_round_trips() {
    let authority = made();
    assert_eq!(stored(&authority), authority);
    let preparing = Authority::advance(Some(authority), RotationStep::Prepare, start()).unwrap();
    assert_eq!(stored(&preparing), preparing);
    let promoted = Authority::advance(Some(preparing), RotationStep::Promote, start()).unwrap();
    assert_eq!(stored(&promoted), promoted);
}

#[test]
fn an_authority_is_rotated_on_schedule() {
    let after = |time: Timestamp, hours: i64| time + SignedDuration::from_hours(hours);
    assert_eq!(next_step(None, start()), RotationStep::Create);
    let authority = made();
    let RotationStep::Keep { until: prepare_at } = next_step(Some(&authority), start()) else {
        panic!("a new authority is kept");
    };
    assert_eq!(prepare_at, authority.signing.anchor.created + VALIDITY * 2 / 3);
    assert_eq!(next_step(Some(&authority), prepare_at), RotationStep::Prepare);

    let first = authority.bundle();
    let authority = Authority::advance(Some(authority), RotationStep::Prepare, prepare_at).unwrap();
    assert_eq!(roots(&authority), 2);
    let RotationStep::Keep { until: promote_at } = next_step(Some(&authority), prepare_at) else {
        panic!("the next root waits until it has spread");
    };
    assert!(after(prepare_at, 23) < promote_at && promote_at <= after(prepare_at, 24));
    assert_eq!(next_step(Some(&authority), promote_at), RotationStep::Promote);

    let authority = Authority::advance(Some(authority), RotationStep::Promote, promote_at).unwrap();
    assert_eq!(roots(&authority), 2);
    assert!(authority.bundle().contains(&first));
    let RotationStep::Keep { until: retire_at } = next_step(Some(&authority), promote_at) else {
        panic!("the previous root is kept until it expires");
    };
    assert_eq!(retire_at, whole_second(start() + VALIDITY));
    assert_eq!(next_step(Some(&authority), retire_at), RotationStep::Retire);
    let authority = Authority::advance(Some(authority), RotationStep::Retire, retire_at).unwrap();
    assert_eq!(roots(&authority), 1);
    assert!(!authority.bundle().contains(&first));
}

#[test]
fn an_authority_that_expired_unseen_is_made_anew() {
    let authority = made();
    let late = start() + VALIDITY;
    assert_eq!(next_step(Some(&authority), late), RotationStep::Create);
    let bundle = authority.bundle();
    let anew = Authority::advance(Some(authority), RotationStep::Create, late).unwrap();
    assert!(!anew.bundle().contains(&bundle));
}

#[test]
fn a_key_is_never_printed() {
    let authority = made();
    let printed = format!("{authority:?} {:?}", authority.to_data());
    assert!(!printed.contains("PRIVATE KEY"), "{printed}");
    assert!(authority.to_data()[1].1.reveal().contains("PRIVATE KEY"));
}

#[test]
fn an_error_names_the_invalid_field() {
    let (good, other) = (made().to_data(), made().to_data());
    let (certificate, key) = (good[0].1.reveal(), good[1].1.reveal());
    let other_key = other[1].1.reveal();
    for (certificate, key, message) in [
        (None, Some(key), "`tls.crt` is missing, or not text"),
        (Some(certificate), None, "`tls.key` is missing, or not text"),
        (Some("x"), Some(key), "`tls.crt` is not a certificate in PEM"),
        (Some(certificate), Some("x"), "`tls.key` is not a private key in PEM"),
        (
            Some(certificate),
            Some(other_key),
            "the private key `tls.key` does not match its certificate",
        ),
    ] {
        let part = |name: &str| match name {
            "tls.crt" => certificate.map(str::as_bytes),
            "tls.key" => key.map(str::as_bytes),
            _ => None,
        };
        assert_eq!(Authority::parse(part).unwrap_err().to_string(), message);
    }
}
