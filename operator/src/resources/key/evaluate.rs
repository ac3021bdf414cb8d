//! Evaluates whether a key can be used, for its status. Pure; the proxies decide on their own.

use crate::routes::key::is_scope_allowed;
use jiff::Timestamp;
use llm_contract::KeyHash;
use llm_crd::{ApiKeySpec, ConditionType, Finding, Reason};
use llm_push::TooLarge;

/// Evaluates a key, and returns when the result changes by itself.
pub(super) fn evaluate<'a>(
    id: &str,
    spec: &ApiKeySpec,
    replacements: impl IntoIterator<Item = &'a ApiKeySpec>,
    scope_exists: impl Fn(&str) -> bool,
    now: Timestamp,
) -> (Finding, Option<Timestamp>) {
    let not_before = spec.not_before.as_ref().map(|time| time.0);
    let expires_at = spec.expires_at(id, replacements);
    let next = [not_before, expires_at].into_iter().flatten().filter(|then| *then > now).min();
    let finding =
        |reason, message: String| (Finding::new(ConditionType::Active, reason, message), next);
    if let Err(invalid) = KeyHash::parse(&spec.hash) {
        return finding(Reason::InvalidHash, format!("spec.hash: {invalid}"));
    }
    if spec.owner.who().is_none() {
        let message = "spec.owner: specify exactly one of a person, a team and a service account";
        return finding(Reason::InvalidSpec, message.into());
    }
    if spec.is_suspended() {
        return finding(Reason::Suspended, "spec.suspended is true".into());
    }
    if let Some(expired) = expires_at.filter(|then| *then <= now) {
        let on_its_own = spec.expires_at.as_ref().is_some_and(|own| own.0 <= now);
        return finding(Reason::Expired, expired_message(expired, on_its_own));
    }
    if let Some(begins) = not_before.filter(|then| *then > now) {
        return finding(Reason::NotYetValid, format!("the key becomes valid at {begins}"));
    }
    if !spec.models.iter().any(|scope| scope_exists(scope)) {
        let message = match spec.models.as_slice() {
            [] => "spec.models is empty: the key grants access to no models".to_owned(),
            models => format!("none of the models exist: {}", models.join(", ")),
        };
        return finding(Reason::NoModelLeft, message);
    }
    finding(Reason::Active, "the key is active".into())
}

/// A key that expired because of its replacement becomes valid again when that is deleted.
fn expired_message(at: Timestamp, on_its_own: bool) -> String {
    if on_its_own {
        return format!("the key expired at {at}");
    }
    format!(
        "the key expired at {at}, when its overlap with the key that replaces it ended: set \
         spec.expiresAt too, or it becomes valid again when that key is deleted"
    )
}

/// Adds which models are out of reach because of the key's namespace.
pub(super) fn with_unreachable(
    finding: Finding,
    namespace: &str,
    spec: &ApiKeySpec,
    home: &str,
) -> Finding {
    let unreachable = spec.models.iter().filter(|scope| !is_scope_allowed(scope, namespace, home));
    let Some(first) = unreachable.clone().next() else { return finding };
    let message = format!(
        "{}; {} of its models are ignored, for example {first}: keys outside namespace {home} \
         grant access only to models in their own namespace",
        finding.message,
        unreachable.count()
    );
    Finding { message, ..finding }
}

/// A key too large for the route table is active nowhere.
pub(super) fn with_size_limit(finding: Finding, too_large: Option<&TooLarge>) -> Finding {
    match too_large {
        Some(too_large) if finding.reason == Reason::Active => {
            Finding::new(ConditionType::Active, Reason::TooLarge, too_large.to_string())
        }
        Some(_) | None => finding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use llm_contract::push::{Kind, Name};
    use llm_crd::{ApiKeyOwner, Replaces};

    const HASH: &str = "$argon2id$v=19$m=512,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$\
                        AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn time(text: &str) -> Option<Time> {
        Some(Time(text.parse().unwrap()))
    }

    fn key() -> ApiKeySpec {
        ApiKeySpec {
            owner: ApiKeyOwner { team: Some("ml".into()), ..ApiKeyOwner::default() },
            hash: HASH.into(),
            models: vec!["models/qwen3".into()],
            ..ApiKeySpec::default()
        }
    }

    fn evaluated(spec: &ApiKeySpec, others: &[ApiKeySpec]) -> (Reason, Option<Timestamp>) {
        let now = "2030-01-10T00:00:00Z".parse().unwrap();
        let exists = |scope: &str| scope == "models/qwen3";
        let (finding, next) = evaluate("abcdefgh2345", spec, others, exists, now);
        (finding.reason, next)
    }

    #[test]
    fn a_key_reports_why_it_is_not_active() {
        type Change = fn(&mut ApiKeySpec);
        let rows: [(Change, Reason); 7] = [
            (|_| {}, Reason::Active),
            (|key| key.hash = "plain".into(), Reason::InvalidHash),
            (|key| key.owner = ApiKeyOwner::default(), Reason::InvalidSpec),
            (|key| key.suspended = Some(true), Reason::Suspended),
            (|key| key.expires_at = time("2030-01-10T00:00:00Z"), Reason::Expired),
            (|key| key.not_before = time("2030-01-10T00:00:01Z"), Reason::NotYetValid),
            (|key| key.models = vec!["models/other".into()], Reason::NoModelLeft),
        ];
        for (change, reason) in rows {
            let mut key = key();
            change(&mut key);
            assert_eq!(evaluated(&key, &[]).0, reason);
        }
    }

    #[test]
    fn a_key_is_reconciled_again_exactly_when_it_becomes_valid_or_expires() {
        let key = ApiKeySpec {
            not_before: time("2030-02-01T00:00:00Z"),
            expires_at: time("2030-03-01T00:00:00Z"),
            ..key()
        };
        let begins = "2030-02-01T00:00:00Z".parse().unwrap();
        assert_eq!(evaluated(&key, &[]), (Reason::NotYetValid, Some(begins)));
    }

    #[test]
    fn a_key_outside_of_the_operator_s_namespace_reports_unreachable_models() {
        let spec = ApiKeySpec { models: vec!["team/a".into(), "*".into()], ..key() };
        let found = || Finding::new(ConditionType::Active, Reason::Active, "the key is active");
        assert_eq!(with_unreachable(found(), "llm", &spec, "llm"), found());
        assert_eq!(
            with_unreachable(found(), "team", &spec, "llm").message,
            "the key is active; 1 of its models are ignored, for example *: keys outside namespace \
             llm grant access only to models in their own namespace"
        );
    }

    #[test]
    fn a_key_for_which_the_table_has_no_room_is_not_active() {
        let name = Name::new(Kind::Key, "abcdefgh2345");
        let full = TooLarge::Table { name, bytes: 11, bytes_max: 10 };
        let found = |reason| Finding::new(ConditionType::Active, reason, "found");
        let limited = with_size_limit(found(Reason::Active), Some(&full));
        assert_eq!((limited.reason, limited.message), (Reason::TooLarge, full.to_string()));
        assert_eq!(with_size_limit(found(Reason::Active), None), found(Reason::Active));
        assert_eq!(with_size_limit(found(Reason::Expired), Some(&full)), found(Reason::Expired));
    }

    #[test]
    fn a_replaced_key_expires_with_the_overlap() {
        let overlap_until = Time("2030-01-09T00:00:00Z".parse().unwrap());
        let replaces = Some(Replaces { id: "abcdefgh2345".into(), overlap_until });
        let newer = ApiKeySpec { replaces, ..key() };
        assert_eq!(evaluated(&key(), &[newer]).0, Reason::Expired);
    }

    #[test]
    fn a_key_that_only_expires_by_its_replacement_names_the_remedy() {
        let at = "2030-01-09T00:00:00Z".parse().unwrap();
        assert_eq!(expired_message(at, true), "the key expired at 2030-01-09T00:00:00Z");
        assert!(expired_message(at, false).contains("set spec.expiresAt too"));
    }
}
