use super::*;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

fn owner(yaml: &str) -> ApiKeyOwner {
    serde_saphyr::from_str(&format!("{{{yaml}}}")).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn key(expires_at: Option<&str>, replaces: Option<(&str, &str)>) -> ApiKeySpec {
    ApiKeySpec {
        expires_at: expires_at.map(|text| Time(at(text))),
        replaces: replaces
            .map(|(id, until)| Replaces { id: id.into(), overlap_until: Time(at(until)) }),
        ..ApiKeySpec::default()
    }
}

#[test]
fn an_owner_is_exactly_one() {
    for (yaml, name) in [
        ("issuer: i, subject: s, username: ada", Some("ada")),
        ("team: ml-team", Some("ml-team")),
        ("serviceAccount: apps/chat", Some("system:serviceaccount:apps:chat")),
        ("", None),
        ("issuer: i, subject: s", None),
        ("team: a, serviceAccount: b/c", None),
        ("serviceAccount: b", None),
    ] {
        let owner = owner(yaml);
        assert_eq!(owner.who().map(|who| who.name()).as_deref(), name, "{yaml}");
    }
}

#[test]
fn a_key_ends_with_its_own_time_or_the_overlap_whichever_comes_first() {
    const EARLY: &str = "2030-01-01T00:00:00Z";
    const LATE: &str = "2030-02-01T00:00:00Z";
    for (own, overlap, end) in [
        (None, None, None),
        (Some(EARLY), None, Some(EARLY)),
        (None, Some(EARLY), Some(EARLY)),
        (Some(EARLY), Some(LATE), Some(EARLY)),
        (Some(LATE), Some(EARLY), Some(EARLY)),
    ] {
        let others =
            [key(None, overlap.map(|until| ("old", until))), key(None, Some(("x", EARLY)))];
        let found = key(own, None).expires_at("old", &others);
        assert_eq!(found, end.map(at), "{own:?} {overlap:?}");
    }
}
