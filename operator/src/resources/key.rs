//! `ApiKey`: whether it is in force, for its status. The proxies decide by themselves.

use crate::{
    clock,
    cluster_state::{API_KEY, World},
    context::Context,
    resources::ignored,
    routes::key::may_ask,
    work_queue::Next,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use llm_contract::{
    Chain, KeyHash, ResourceName,
    push::{Kind, Name},
};
use llm_crd::{
    ApiKeyResource, ApiKeySpec, ConditionType, Finding, Reason, retain_conditions, set_condition,
};
use llm_push::{DocumentStore, TooLarge};
use serde::Serialize;
use std::{collections::HashSet, time::Duration};
use tokio_util::sync::CancellationToken;

/// How many keys are worked on at a time.
const AT_A_TIME: usize = 16;

/// Works on keys until told to stop, once it is known what there is room for. Everything has been
/// seen once by then.
pub async fn run(context: &Context, table: &DocumentStore, stop: &CancellationToken) {
    let mut published = table.watch();
    if stop.run_until_cancelled(published.wait_for(Option::is_some)).await.is_none() {
        return;
    }
    let mut first = context.world.keys.names();
    first.extend(context.world.all_unreadable(API_KEY));
    let queue = &context.world.queues.keys;
    queue.work(AT_A_TIME, first, stop, |name| look(context, table, name)).await;
}

/// Has the keys of these ids looked at again, because what the table holds of them has changed.
pub fn look_again<'a>(context: &Context, changed: impl Iterator<Item = &'a Name>) {
    let ids: HashSet<&str> =
        changed.filter(|it| it.kind == Kind::Key).map(|it| &*it.name).collect();
    if ids.is_empty() {
        return;
    }
    for name in context.world.keys.names() {
        if ids.contains(name.name()) {
            context.world.queues.keys.push(name);
        }
    }
}

async fn look(context: &Context, table: &DocumentStore, name: ResourceName) -> Next {
    match reconcile(context, table, &name).await {
        Ok(next) => next,
        Err(error) => {
            tracing::warn!(key = %name, error = %Chain(&error), "a key is tried again");
            Next::Retry
        }
    }
}

/// What of the status is ours; the rest is the key manager's.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    conditions: Vec<Condition>,
    observed_generation: Option<i64>,
}

async fn reconcile(
    context: &Context,
    table: &DocumentStore,
    name: &ResourceName,
) -> Result<Next, kube::Error> {
    let (world, now) = (&context.world, clock::wall());
    if let Some(why) = world.unreadable(API_KEY, name) {
        let message = format!("it cannot be read: {why}");
        let finding = Finding::new(ConditionType::Active, Reason::InvalidSpec, message);
        context.reporter.condition::<ApiKeyResource>(name, finding, now).await?;
        return Ok(Next::OnChange);
    }
    let Some(key) = world.keys.get(name).map(|it| it.key()) else { return Ok(Next::OnChange) };
    let replacements = world.replacing(name);
    let home = &context.settings.proxies.namespace;
    let (finding, next) = if world.is_managed(name.namespace()) {
        let replacements = replacements.iter().map(|it| &it.spec);
        let asks = |scope: &str| may_ask(scope, name.namespace(), home) && is_there(world, scope);
        let (finding, next) = judge(name.name(), &key.spec, replacements, asks, now);
        let finding = bounded(finding, name.namespace(), &key.spec, home);
        let too_large = table.too_large(&Name::new(Kind::Key, name.name()));
        (held_back(finding, too_large.as_ref()), next)
    } else {
        let message = format!(
            "namespace {} lacks the label nebari.dev/managed=true: label it, or make the key in {home}",
            name.namespace()
        );
        (Finding::new(ConditionType::Active, Reason::NamespaceNotWatched, message), None)
    };
    let before = key.status.as_ref();
    let generation = key.metadata.generation;
    let mut findings = vec![finding];
    // Of keys there are many, so that nothing is said where there is nothing to say.
    let ignored = ignored::of_key(&key.spec);
    findings.extend((!ignored.is_empty()).then(|| ignored::finding(&ignored)));
    let mut conditions = before.map(|status| status.conditions.clone()).unwrap_or_default();
    retain_conditions(&mut conditions, ConditionType::API_KEY);
    let said_before = conditions.clone();
    let about: Vec<_> = findings.iter().map(|finding| finding.about).collect();
    retain_conditions(&mut conditions, &about);
    for finding in findings {
        set_condition(&mut conditions, finding, generation, now);
    }
    if conditions != said_before
        || before.and_then(|status| status.observed_generation) != generation
    {
        let status = Status { conditions, observed_generation: generation };
        context.reporter.status::<ApiKeyResource>(name, &status).await?;
    }
    Ok(next.map_or(Next::OnChange, |then| Next::After(until(then, now))))
}

/// Whether a key is in force, and when that will change by itself.
fn judge<'a>(
    id: &str,
    spec: &ApiKeySpec,
    replacements: impl IntoIterator<Item = &'a ApiKeySpec>,
    is_there: impl Fn(&str) -> bool,
    now: Timestamp,
) -> (Finding, Option<Timestamp>) {
    let not_before = spec.not_before.as_ref().map(|time| time.0);
    let expires_at = spec.expires_at(id, replacements);
    let next = [not_before, expires_at].into_iter().flatten().filter(|then| *then > now).min();
    let finding =
        |reason, message: String| (Finding::new(ConditionType::Active, reason, message), next);
    if let Err(wrong) = KeyHash::parse(&spec.hash) {
        return finding(Reason::InvalidHash, format!("spec.hash: {wrong}"));
    }
    if spec.owner.who().is_none() {
        let message = "spec.owner: say one of a person, a team and a service account";
        return finding(Reason::InvalidSpec, message.into());
    }
    if spec.is_suspended() {
        return finding(Reason::Suspended, "spec.suspended is true".into());
    }
    if let Some(expired) = expires_at.filter(|then| *then <= now) {
        let by_itself = spec.expires_at.as_ref().is_some_and(|own| own.0 <= now);
        return finding(Reason::Expired, expired_message(expired, by_itself));
    }
    if let Some(begins) = not_before.filter(|then| *then > now) {
        return finding(Reason::NotYetValid, format!("its time begins at {begins}"));
    }
    if !spec.models.iter().any(|scope| is_there(scope)) {
        let message = match spec.models.as_slice() {
            [] => "spec.models is empty: the key may ask for nothing".to_owned(),
            models => format!("none of {} is there", models.join(", ")),
        };
        return finding(Reason::NoModelLeft, message);
    }
    finding(Reason::Active, "the key is in force".into())
}

/// A key that another one ends says so: nothing ends it any more when that one is deleted.
fn expired_message(at: Timestamp, by_itself: bool) -> String {
    if by_itself {
        return format!("its time was over at {at}");
    }
    format!(
        "its overlap with the key in its place was over at {at}: set spec.expiresAt too, or it is \
         in force again when that key is deleted"
    )
}

/// Says too what a key may not ask for because of where it is.
fn bounded(finding: Finding, namespace: &str, spec: &ApiKeySpec, home: &str) -> Finding {
    let beyond = spec.models.iter().filter(|scope| !may_ask(scope, namespace, home));
    let Some(first) = beyond.clone().next() else { return finding };
    let message = format!(
        "{}; {} of its models do not count, such as {first}: a key is for models of its own \
         namespace, unless it is in {home}",
        finding.message,
        beyond.count()
    );
    Finding { message, ..finding }
}

/// A key that was not pushed is in force nowhere.
fn held_back(finding: Finding, too_large: Option<&TooLarge>) -> Finding {
    match too_large {
        Some(too_large) if finding.reason == Reason::Active => {
            Finding::new(ConditionType::Active, Reason::TooLarge, too_large.to_string())
        }
        Some(_) | None => finding,
    }
}

/// Whether anything is there of what a key names.
fn is_there(world: &World, scope: &str) -> bool {
    if scope == "*" {
        return world.declares_any();
    }
    match scope.strip_suffix("/*") {
        Some(namespace) => world.declares_in(namespace),
        None => ResourceName::parse(scope).is_ok_and(|name| world.declares(&name)),
    }
}

/// Rounded up, so that we do not come a moment too early.
fn until(then: Timestamp, now: Timestamp) -> Duration {
    let wait = then.duration_since(now).saturating_add(SignedDuration::from_millis(1));
    wait.try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
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

    fn judged(spec: &ApiKeySpec, others: &[ApiKeySpec]) -> (Reason, Option<Timestamp>) {
        let now = "2030-01-10T00:00:00Z".parse().unwrap();
        let is_there = |scope: &str| scope == "models/qwen3";
        let (finding, next) = judge("abcdefgh2345", spec, others, is_there, now);
        (finding.reason, next)
    }

    #[test]
    fn a_key_says_why_it_is_not_in_force() {
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
            assert_eq!(judged(&key, &[]).0, reason);
        }
    }

    #[test]
    fn a_key_is_looked_at_again_exactly_when_its_time_begins_or_ends() {
        let key = ApiKeySpec {
            not_before: time("2030-02-01T00:00:00Z"),
            expires_at: time("2030-03-01T00:00:00Z"),
            ..key()
        };
        let begins = "2030-02-01T00:00:00Z".parse().unwrap();
        assert_eq!(judged(&key, &[]), (Reason::NotYetValid, Some(begins)));
    }

    #[test]
    fn a_key_outside_of_the_operator_s_namespace_says_what_it_may_not_ask_for() {
        let spec = ApiKeySpec { models: vec!["team/a".into(), "*".into()], ..key() };
        let found = || Finding::new(ConditionType::Active, Reason::Active, "the key is in force");
        assert_eq!(bounded(found(), "llm", &spec, "llm"), found());
        assert_eq!(
            bounded(found(), "team", &spec, "llm").message,
            "the key is in force; 1 of its models do not count, such as *: a key is for models of \
             its own namespace, unless it is in llm"
        );
    }

    #[test]
    fn a_key_for_which_the_table_has_no_room_is_not_in_force() {
        let name = Name::new(Kind::Key, "abcdefgh2345");
        let full = TooLarge::Table { name, bytes: 11, bytes_max: 10 };
        let found = |reason| Finding::new(ConditionType::Active, reason, "found");
        let held = held_back(found(Reason::Active), Some(&full));
        assert_eq!((held.reason, held.message), (Reason::TooLarge, full.to_string()));
        assert_eq!(held_back(found(Reason::Active), None), found(Reason::Active));
        assert_eq!(held_back(found(Reason::Expired), Some(&full)), found(Reason::Expired));
    }

    #[test]
    fn a_key_that_is_replaced_ends_with_the_overlap() {
        let overlap_until = Time("2030-01-09T00:00:00Z".parse().unwrap());
        let replaces = Some(Replaces { id: "abcdefgh2345".into(), overlap_until });
        let newer = ApiKeySpec { replaces, ..key() };
        assert_eq!(judged(&key(), &[newer]).0, Reason::Expired);
    }

    #[test]
    fn a_key_that_only_another_one_ends_says_what_to_do_about_it() {
        let at = "2030-01-09T00:00:00Z".parse().unwrap();
        assert_eq!(expired_message(at, true), "its time was over at 2030-01-09T00:00:00Z");
        assert!(expired_message(at, false).contains("set spec.expiresAt too"));
    }
}
