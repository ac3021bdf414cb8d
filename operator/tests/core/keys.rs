//! Keys: whether they are in force, and nothing is written when nothing changes.

use crate::{
    providers::OPEN,
    support::{Cluster, condition},
};
use jiff::{SignedDuration, Timestamp};
use llm_contract::push::{Kind, Name};
use serde_json::Value;

const HASH: &str = "$argon2id$v=19$m=512,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$\
                    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn key(id: &str, models: &str, more: &str) -> String {
    format!(
        "
apiVersion: llm.nebari.dev/v1alpha1
kind: ApiKey
metadata:
  name: {id}
spec:
  displayName: test
  clientId: client-{id}
  owner: {{team: llm}}
  hash: {HASH}
  models: [\"{models}\"]
{more}"
    )
}

#[tokio::test]
async fn a_key_has_no_model_left_until_one_comes_and_after_the_last_has_gone() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    let (named, all) = (format!("{}/qwen3", cluster.namespace), format!("{}/*", cluster.namespace));
    cluster.apply(&key("abcdefgh2345", &named, "")).await;
    cluster.apply(&key("bbcdefgh2345", &all, "")).await;
    for key in ["abcdefgh2345", "bbcdefgh2345"] {
        cluster.until_says("ApiKey", key, "Active", "NoModelLeft").await;
    }
    cluster.apply(&crate::models::model("qwen3", "")).await;
    for key in ["abcdefgh2345", "bbcdefgh2345"] {
        cluster.until_says("ApiKey", key, "Active", "Active").await;
    }
    cluster.kubectl(&["delete", "llmmodel", "qwen3"]).await;
    for key in ["abcdefgh2345", "bbcdefgh2345"] {
        cluster.until_says("ApiKey", key, "Active", "NoModelLeft").await;
    }
}

#[tokio::test]
async fn keys_for_all_models_follow_the_first_and_the_last_one_and_no_other() {
    let cluster = Cluster::shared().await;
    // Where the operator is, a key may be for all namespaces.
    let mut settings = cluster.settings();
    settings.proxies.namespace.clone_from(&cluster.namespace);
    let operator = cluster.watch_with(settings).await;
    operator.lead();
    let here = format!("{}/*", cluster.namespace);
    let keys = [("hbcdefgh2345", "*"), ("ibcdefgh2345", &here)];
    for (id, models) in keys {
        cluster.apply(&key(id, models, "")).await;
    }
    let until = async |reason| {
        for (id, _) in keys {
            cluster.until_says("ApiKey", id, "Active", reason).await;
        }
        cluster.settle().await;
        operator.context.cluster.queues.keys.reconcile_count()
    };
    until("NoModelLeft").await;
    cluster.apply(OPEN).await;
    let first = until("Active").await;
    cluster.apply(&crate::models::model("qwen3", "")).await;
    cluster.until_says("LLMModel", "qwen3", "Accepted", "Accepted").await;
    cluster.kubectl(&["delete", "passthroughmodel", "open"]).await;
    cluster.until_gone("PassthroughModel", "open").await;
    assert_eq!(until("Active").await, first, "nobody looked at a key");
    cluster.kubectl(&["delete", "llmmodel", "qwen3"]).await;
    until("NoModelLeft").await;
    cluster.apply(OPEN).await;
    until("Active").await;
}

#[tokio::test]
async fn a_key_that_was_replaced_is_not_in_force_again_when_the_new_one_is_deleted() {
    let cluster = Cluster::shared().await;
    let operator = cluster.operate().await;
    cluster.apply(&crate::models::model("qwen3", "")).await;
    let all = format!("{}/*", cluster.namespace);
    let over = "2020-01-01T00:00:00Z";
    let ended = ["jbcdefgh2345", "kbcdefgh2345"];
    cluster.apply(&key(ended[0], &all, "")).await;
    // As a rotation leaves it.
    cluster.apply(&key(ended[1], &all, &format!("  expiresAt: {over}\n"))).await;
    for (id, old) in ["lbcdefgh2345", "mbcdefgh2345"].into_iter().zip(ended) {
        let replaces = format!("  replaces: {{id: {old}, overlapUntil: {over}}}\n");
        cluster.apply(&key(id, &all, &replaces)).await;
        cluster.until_says("ApiKey", id, "Active", "Active").await;
    }
    let said = cluster.until_says("ApiKey", ended[0], "Active", "Expired").await;
    assert!(said.contains("set spec.expiresAt too"), "{said}");
    let said = cluster.until_says("ApiKey", ended[1], "Active", "Expired").await;
    assert_eq!(said, format!("the key expired at {over}"));

    cluster.kubectl(&["delete", "apikey", "lbcdefgh2345", "mbcdefgh2345"]).await;
    cluster.until_says("ApiKey", ended[0], "Active", "Active").await;
    cluster.settle().await;
    cluster.until_says("ApiKey", ended[1], "Active", "Expired").await;
    let table = operator.table.documents();
    let key = table.get(&Name::new(Kind::Key, ended[1])).unwrap();
    let key: Value = serde_json::from_slice(key).unwrap();
    assert_eq!(key["expiresAt"], over);
}

#[tokio::test]
async fn a_key_outside_of_the_operator_s_namespace_may_not_ask_for_models_of_others() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    cluster.apply(&crate::models::model("qwen3", "")).await;
    cluster.apply(&key("ebcdefgh2345", "*", "")).await;
    cluster.until_says("ApiKey", "ebcdefgh2345", "Active", "NoModelLeft").await;
    let status = &cluster.get("ApiKey", "ebcdefgh2345").await["status"];
    let message = status["conditions"][0]["message"].as_str().unwrap();
    assert!(message.ends_with("grant access only to models in their own namespace"), "{message}");
}

#[tokio::test]
async fn a_key_ends_when_its_time_ends_though_nothing_happens() {
    let cluster = Cluster::shared().await;
    let operator = cluster.operate().await;
    cluster.apply(&crate::models::model("qwen3", "")).await;
    let at = |seconds| Timestamp::now() + SignedDuration::from_secs(seconds);
    let (begins, ends) = (at(20), at(40));
    let times = format!("  notBefore: {begins:.0}\n  expiresAt: {ends:.0}\n");
    cluster.apply(&key("cbcdefgh2345", &format!("{}/*", cluster.namespace), &times)).await;
    cluster.until_says("ApiKey", "cbcdefgh2345", "Active", "NotYetValid").await;
    cluster.until_says("ApiKey", "cbcdefgh2345", "Active", "Active").await;
    cluster.until_says("ApiKey", "cbcdefgh2345", "Active", "Expired").await;
    assert!(
        Timestamp::now().duration_since(ends) < SignedDuration::from_secs(20),
        "it is said at once"
    );
    drop(operator);
}

#[tokio::test]
async fn limits_that_have_no_effect_are_named_on_keys_and_providers_for_as_long_as_they_are_set() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    cluster.apply(&OPEN.replace("\nspec:", "\nspec:\n  limits: {queue: {size: 9}}")).await;
    let said = cluster.until_says("PassthroughModel", "open", "Ignored", "FieldsIgnored").await;
    assert_eq!(said, "spec.limits.queue has no effect in this version");
    cluster.apply(OPEN).await;
    cluster.until_says("PassthroughModel", "open", "Ignored", "NothingIgnored").await;

    let (id, all) = ("obcdefgh2345", format!("{}/*", cluster.namespace));
    let limits = "  limits: {concurrency: 4, tokensPerMinute: 1000}\n";
    cluster.apply(&key(id, &all, limits)).await;
    let said = cluster.until_says("ApiKey", id, "Ignored", "FieldsIgnored").await;
    assert_eq!(said, "spec.limits.tokensPerMinute has no effect in this version");
    cluster.until_says("ApiKey", id, "Active", "Active").await;
    cluster.apply(&key(id, &all, "  limits: {concurrency: 4}\n")).await;
    let nothing = |it: &Value| condition(it, "Ignored").is_null();
    let key = cluster.until("ApiKey", id, "nothing is ignored", nothing).await;
    assert_eq!(condition(&key, "Active")["reason"], "Active");
}

#[tokio::test]
async fn what_the_key_manager_writes_into_a_status_stays() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    cluster.apply(&crate::models::model("qwen3", "")).await;
    cluster.apply(&key("dbcdefgh2345", &format!("{}/*", cluster.namespace), "")).await;
    cluster.until_says("ApiKey", "dbcdefgh2345", "Active", "Active").await;
    let groups = serde_json::json!({"ownerGroups": ["llm"]});
    cluster.set_status("apikey", "dbcdefgh2345", groups.clone()).await;
    cluster
        .kubectl(&[
            "patch",
            "apikey",
            "dbcdefgh2345",
            "--type=merge",
            "-p",
            r#"{"spec":{"suspended":true}}"#,
        ])
        .await;
    cluster.until_says("ApiKey", "dbcdefgh2345", "Active", "Suspended").await;
    let status = &cluster.get("ApiKey", "dbcdefgh2345").await["status"];
    assert_eq!(status["ownerGroups"], groups["ownerGroups"]);
}

#[tokio::test]
async fn an_operator_that_starts_writes_nothing_about_keys_that_are_as_they_were() {
    let cluster = Cluster::shared().await;
    let operator = cluster.operate().await;
    cluster.apply(&crate::models::model("qwen3", "")).await;
    let alphabet = "abcdefghijklmnopqrstuvwxyz".chars();
    let ids: Vec<_> = alphabet.map(|first| format!("{first}zcdefgh2345")).collect();
    let all = format!("{}/*", cluster.namespace);
    let manifests: Vec<_> = ids.iter().map(|id| key(id, &all, "")).collect();
    cluster.apply(&manifests.join("\n---\n")).await;
    for id in &ids {
        cluster.until_says("ApiKey", id, "Active", "Active").await;
    }
    cluster.settle().await;
    operator.stop().await;
    let asked = cluster.requests().len();
    let _next = cluster.operate().await;
    cluster.settle().await;
    let writes = cluster.requests().split_off(asked).into_iter();
    let writes: Vec<_> =
        writes.filter(|it| !["list", "watch"].contains(&it.verb.as_str())).collect();
    assert_eq!(writes, []);
}
