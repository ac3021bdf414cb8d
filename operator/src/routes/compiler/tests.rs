use super::*;
use crate::{cluster_state::resource_name, routes::MissingSecret};
use k8s_openapi::ByteString;
use llm_contract::push::{Documents, Resource};
use llm_crd::ApiKeyResource;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const HASH: &str = "$argon2id$v=19$m=512,t=1,p=1$BwcHBwcHBwcHBwcHBwcHBw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn object<T: serde::de::DeserializeOwned>(name: &str, created: u8, spec: Value) -> Arc<T> {
    let (namespace, name) = name.split_once('/').unwrap();
    let created = format!("2030-01-01T00:00:{:02}Z", created % 60);
    let metadata = json!({"namespace": namespace, "name": name, "creationTimestamp": created});
    let mut object =
        json!({"apiVersion": "llm.nebari.dev/v1alpha1", "kind": "K", "metadata": metadata});
    object["spec"] = spec;
    Arc::new(serde_json::from_value(object).unwrap())
}

fn model(name: &str, created: u8, id: &str, aliases: &[&str]) -> Arc<LLMModel> {
    let spec = json!({"model": {"name": id, "source": "huggingface"}, "aliases": aliases,
        "resources": {"gpu": {"count": 1}}, "access": {"public": true}});
    object(name, created, spec)
}

fn provider(name: &str, created: u8, models: Value) -> Arc<PassthroughModel> {
    let mut spec = json!({"access": {"groups": ["ml-team"]},
        "provider": {"hostname": "api.example.org", "credentialSecretName": "key"}});
    spec["models"] = models;
    object(name, created, spec)
}

fn key(name: &str, spec: Value) -> ApiKeyResource {
    let mut whole = json!({"displayName": "laptop", "clientId": "ada", "hash": HASH,
        "owner": {"team": "ml-team"}, "models": ["models/*"]});
    let Value::Object(spec) = spec else { panic!("an object expected") };
    whole.as_object_mut().unwrap().extend(spec);
    Arc::unwrap_or_clone(object(name, 1, whole))
}

fn upsert_model(compiler: &mut Compiler, model: Arc<LLMModel>) {
    compiler.set_model(&name_of(&model.metadata), Some(model));
}

fn upsert_provider(compiler: &mut Compiler, provider: Arc<PassthroughModel>) {
    compiler.set_provider(&name_of(&provider.metadata), Some(provider));
}

fn upsert(compiler: &mut Compiler, key: ApiKeyResource) {
    let name = name_of(&key.metadata);
    compiler.set_key(&name, Some(Arc::new(CompactKey::of(key))));
}

fn name_of(metadata: &ObjectMeta) -> ResourceName {
    let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
    resource_name(namespace.unwrap(), name.unwrap()).unwrap()
}

fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

fn secret(text: &str) -> Option<Arc<SecretData>> {
    let value = ByteString(text.as_bytes().to_vec());
    Some(Arc::new(SecretData::from([("apiKey".to_owned(), value)])))
}

/// The table after everything that was inputs, each document checked as a proxy checks it.
fn table(compiler: &mut Compiler) -> Documents {
    let mut documents = Documents::default();
    documents.apply(compiler.take_changes().change);
    for (name, document) in documents.iter() {
        Resource::parse(name, document).unwrap();
    }
    documents
}

fn document(compiler: &mut Compiler, kind: Kind, name: &str) -> Value {
    let table = table(compiler);
    table.get(&Name::new(kind, name)).map_or(Value::Null, |it| serde_json::from_slice(it).unwrap())
}

fn status(compiled: &Compiled, of: &str) -> RouteStatus {
    let mut statuses = compiled.statuses.iter().filter(|(_, it, _)| it.as_str() == of);
    statuses.find_map(|(_, _, status)| status.clone()).unwrap()
}

#[test]
fn a_model_is_served_where_its_ready_pods_listen() {
    let mut compiler = Compiler::default();
    compiler.set_endpoints(&name("models/qwen3"), vec!["10.0.0.6:8000".parse().unwrap()]);
    upsert_model(&mut compiler, model("models/qwen3", 1, "Qwen/Qwen3-8B", &["qwen3"]));
    let routes = document(&mut compiler, Kind::Routes, "models/qwen3");
    let route = &routes["routes"][0];
    assert_eq!((&route["model"], &route["aliases"]), (&json!("Qwen/Qwen3-8B"), &json!(["qwen3"])));
    assert_eq!(route["upstream"]["served"]["endpoints"], json!(["http://10.0.0.6:8000"]));
    compiler.set_endpoints(&name("models/qwen3"), vec!["10.0.0.6:8000".parse().unwrap()]);
    assert_eq!(compiler.take_changes(), Compiled::default());
    compiler.set_endpoints(&name("models/qwen3"), Vec::new());
    assert_eq!(compiler.take_changes().change.upserts.len(), 1);
}

#[test]
fn an_id_belongs_to_the_older_model_until_that_is_deleted() {
    let mut compiler = Compiler::default();
    upsert_model(&mut compiler, model("models/newer", 2, "m", &["n"]));
    upsert_model(&mut compiler, model("models/older", 1, "m", &[]));
    let compiled = compiler.take_changes();
    let older = name("models/older");
    assert_eq!(status(&compiled, "models/newer").ids_taken, [("m".to_owned(), older.clone())]);
    assert_eq!(status(&compiled, "models/older").ids_taken, []);
    compiler.set_model(&older, None);
    let compiled = compiler.take_changes();
    assert_eq!(status(&compiled, "models/newer").ids_taken, []);
    assert_eq!(compiled.change.removals, [Name::new(Kind::Routes, "models/older")]);
}

#[test]
fn a_served_model_wins_over_an_older_provider_and_the_oldest_catch_all_over_others() {
    let mut compiler = Compiler::default();
    let all = json!({"catchAll": true, "declared": ["m", "other"]});
    upsert_provider(&mut compiler, provider("models/first", 1, all));
    upsert_provider(&mut compiler, provider("models/second", 2, json!({"catchAll": true})));
    compiler.set_secret(&name("models/key"), secret("sk"));
    upsert_model(&mut compiler, model("models/served", 3, "m", &[]));
    let compiled = compiler.take_changes();
    let taken = |of: &str| status(&compiled, of).ids_taken;
    assert_eq!(taken("models/served"), []);
    assert_eq!(taken("models/first"), [("m".to_owned(), name("models/served"))]);
    assert_eq!(taken("models/second"), [("*".to_owned(), name("models/first"))]);
}

#[test]
fn a_name_shared_by_a_model_and_a_provider_belongs_to_the_older() {
    let mut compiler = Compiler::default();
    upsert_provider(&mut compiler, provider("models/same", 1, json!({"declared": ["a"]})));
    upsert_model(&mut compiler, model("models/same", 2, "b", &[]));
    compiler.set_secret(&name("models/key"), secret("sk"));
    let compiled = compiler.take_changes();
    let taken: Vec<_> = compiled
        .statuses
        .iter()
        .map(|(kind, _, it)| (*kind, it.as_ref().unwrap().name_taken))
        .collect();
    assert_eq!(taken, [(ModelKind::Served, true), (ModelKind::Provider, false)]);
    compiler.set_provider(&name("models/same"), None);
    assert_eq!(document(&mut compiler, Kind::Routes, "models/same")["routes"][0]["model"], "b");
}

#[test]
fn a_provider_waits_for_its_secret_and_follows_it() {
    let mut compiler = Compiler::default();
    upsert_provider(&mut compiler, provider("models/openai", 1, json!({"declared": ["fast"]})));
    assert!(compiler.needs_secret(&name("models/key")));
    let missing = MissingSecret { secret: "key".into(), key: None };
    let compiled = compiler.take_changes();
    assert_eq!(status(&compiled, "models/openai").missing, [missing]);
    assert_eq!(compiled.change.upserts, []);
    compiler.set_secret(&name("models/key"), Some(Arc::default()));
    let missing = MissingSecret { secret: "key".into(), key: Some("apiKey") };
    assert_eq!(status(&compiler.take_changes(), "models/openai").missing, [missing]);
    for value in ["one\n", "two"] {
        compiler.set_secret(&name("models/key"), secret(value));
        let routes = document(&mut compiler, Kind::Routes, "models/openai");
        assert_eq!(routes["provider"]["credential"]["secret"], value.trim());
    }
    compiler.set_secret(&name("models/key"), None);
    assert_eq!(compiler.take_changes().change.removals.len(), 1);
    compiler.set_provider(&name("models/openai"), None);
    assert!(!compiler.needs_secret(&name("models/key")));
}

#[test]
fn a_disabled_endpoint_is_not_an_entry_of_the_route() {
    let mut compiler = Compiler::default();
    let mut spec = serde_json::to_value(&model("models/m", 1, "m", &[]).spec).unwrap();
    spec["endpoints"] = json!({"external": {"enabled": false}});
    upsert_model(&mut compiler, object("models/m", 1, spec.clone()));
    let routes = document(&mut compiler, Kind::Routes, "models/m");
    assert_eq!(routes["routes"][0]["entries"], json!({"external": false, "internal": true}));
    spec["endpoints"]["internal"] = json!({"enabled": false});
    upsert_model(&mut compiler, object("models/m", 1, spec));
    assert_eq!(compiler.take_changes().change.removals.len(), 1);
}

#[test]
fn a_changed_provider_keeps_the_credential_that_was_read_last() {
    let mut compiler = Compiler::default();
    upsert_provider(&mut compiler, provider("models/openai", 1, json!({"declared": ["fast"]})));
    compiler.set_secret(&name("models/key"), secret("one"));
    upsert_provider(&mut compiler, provider("models/openai", 1, json!({"declared": ["faster"]})));
    let routes = document(&mut compiler, Kind::Routes, "models/openai");
    assert_eq!(routes["provider"]["credential"]["secret"], "one");
    assert_eq!(routes["routes"][0]["model"], "faster");
}

#[test]
fn the_table_holds_nothing_of_an_unmanaged_namespace() {
    let mut compiler = Compiler::new("llm");
    let counted = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect());
    compiler.set_namespaces(counted(&["models"]));
    upsert_model(&mut compiler, model("elsewhere/older", 1, "m", &[]));
    upsert_model(&mut compiler, model("models/newer", 2, "m", &[]));
    upsert_provider(&mut compiler, provider("elsewhere/openai", 1, json!({"catchAll": true})));
    compiler.set_secret(&name("elsewhere/key"), secret("sk"));
    upsert(&mut compiler, key("elsewhere/abcdefgh2345", json!({"models": ["elsewhere/*"]})));
    let compiled = compiler.take_changes();
    let names: Vec<_> = compiled.change.upserts.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["routes models/newer"]);
    assert_eq!(status(&compiled, "elsewhere/older"), RouteStatus::default());
    compiler.set_namespaces(counted(&["models", "elsewhere"]));
    let compiled = compiler.take_changes();
    assert_eq!(compiled.change.upserts.len(), 3, "{:?}", compiled.change);
    assert_eq!(compiled.change.removals, [Name::new(Kind::Routes, "models/newer")]);
    compiler.set_namespaces(counted(&["models"]));
    assert_eq!(compiler.take_changes().change.removals.len(), 3);
}

#[test]
fn a_key_is_for_models_of_its_namespace_unless_it_is_in_the_operator_s() {
    let models = json!({"models": ["*", "team/*", "team/a", "models/b"]});
    for (at, all, resources) in [
        ("llm", json!(["*"]), json!(["team/*", "team/a", "models/b"])),
        ("team", json!([]), json!(["team/*", "team/a"])),
    ] {
        let mut compiler = Compiler::new("llm");
        upsert(&mut compiler, key(&format!("{at}/abcdefgh2345"), models.clone()));
        let record = document(&mut compiler, Kind::Key, "abcdefgh2345");
        let found = |field: &str| record.get(field).cloned().unwrap_or_else(|| json!([]));
        assert_eq!((found("models"), found("resources")), (all, resources), "{at}");
    }
}

#[test]
fn a_key_of_the_operator_s_namespace_precedes_an_older_one_of_the_same_id() {
    let mut compiler = Compiler::new("keys");
    upsert(&mut compiler, key("a/abcdefgh2345", json!({"clientId": "theirs"})));
    upsert(&mut compiler, key("keys/abcdefgh2345", json!({"clientId": "ours"})));
    assert_eq!(document(&mut compiler, Kind::Key, "abcdefgh2345")["clientId"], "ours");
}

#[test]
fn an_owner_also_belongs_to_the_groups_found_for_it() {
    let mut compiler = Compiler::new("keys");
    let mut found = key("keys/abcdefgh2345", json!({}));
    let groups = ["/ml-team".to_owned(), "admins".to_owned()].into();
    found.status = Some(llm_crd::ApiKeyStatus { owner_groups: groups, ..Default::default() });
    upsert(&mut compiler, found);
    let record = document(&mut compiler, Kind::Key, "abcdefgh2345");
    assert_eq!(record["owner"]["groups"], json!(["ml-team", "admins"]));
}

#[test]
fn a_key_has_the_scope_and_the_groups_of_its_owner() {
    let mut compiler = Compiler::new("keys");
    upsert(&mut compiler, key("keys/abcdefgh2345", json!({"models": ["*", "models/qwen3"]})));
    let record = document(&mut compiler, Kind::Key, "abcdefgh2345");
    assert_eq!(
        (&record["models"], &record["resources"]),
        (&json!(["*"]), &json!(["models/qwen3"]))
    );
    assert_eq!(record["owner"], json!({"name": "ml-team", "groups": ["ml-team"]}));
    let service = json!({"owner": {"serviceAccount": "apps/chat"}});
    upsert(&mut compiler, key("keys/abcdefgh2345", service));
    let record = document(&mut compiler, Kind::Key, "abcdefgh2345");
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:apps"]);
    assert_eq!(record["owner"]["groups"], groups);
}

#[test]
fn a_key_without_a_valid_hash_is_not_in_the_table() {
    let mut compiler = Compiler::default();
    upsert(&mut compiler, key("keys/abcdefgh2345", json!({})));
    assert_eq!(compiler.take_changes().change.upserts.len(), 1);
    upsert(&mut compiler, key("keys/abcdefgh2345", json!({"hash": "$argon2id$nonsense"})));
    assert_eq!(compiler.take_changes().change.removals.len(), 1);
}

#[test]
fn a_replaced_key_expires_with_the_overlap_unless_the_new_one_is_deleted() {
    let mut compiler = Compiler::default();
    upsert(&mut compiler, key("keys/abcdefgh2345", json!({})));
    let replaces = json!({"id": "abcdefgh2345", "overlapUntil": "2030-02-01T00:00:00Z"});
    upsert(&mut compiler, key("keys/abcdefgh2346", json!({"replaces": replaces})));
    upsert(&mut compiler, key("other/abcdefgh2347", json!({"replaces": replaces})));
    let expires = |compiler: &mut Compiler| {
        document(compiler, Kind::Key, "abcdefgh2345")["expiresAt"].clone()
    };
    assert_eq!(expires(&mut compiler), "2030-02-01T00:00:00Z");
    compiler.set_key(&name("keys/abcdefgh2346"), None);
    assert_eq!(expires(&mut compiler), Value::Null);
}

#[test]
fn a_key_of_the_same_id_in_another_namespace_replaces_nothing() {
    let mut compiler = Compiler::default();
    upsert(&mut compiler, key("keys/abcdefgh2345", json!({"clientId": "ours"})));
    upsert(&mut compiler, key("later/abcdefgh2345", json!({"clientId": "theirs"})));
    assert_eq!(document(&mut compiler, Kind::Key, "abcdefgh2345")["clientId"], "ours");
    compiler.set_key(&name("keys/abcdefgh2345"), None);
    assert_eq!(document(&mut compiler, Kind::Key, "abcdefgh2345")["clientId"], "theirs");
}

/// A change in the cluster.
#[derive(Clone, Debug)]
enum Input {
    Model(u8, u8, Vec<u8>),
    Provider(u8, u8, bool, Vec<u8>),
    Key(u8, Option<u8>),
    Endpoints(u8, Vec<u8>),
    Secret(bool),
}

fn inputs() -> impl Strategy<Value = Input> {
    let few = || 0_u8..4;
    let some = || proptest::collection::vec(0_u8..6, 0..3);
    prop_oneof![
        (few(), few(), some()).prop_map(|(a, b, c)| Input::Model(a, b, c)),
        (few(), few(), any::<bool>(), some()).prop_map(|(a, b, c, d)| Input::Provider(a, b, c, d)),
        (few(), proptest::option::of(few())).prop_map(|(a, b)| Input::Key(a, b)),
        (few(), some()).prop_map(|(a, b)| Input::Endpoints(a, b)),
        any::<bool>().prop_map(Input::Secret),
    ]
}

impl Input {
    /// Of inputs with one subject the last counts.
    fn subject(&self) -> (u8, u8) {
        match self {
            Self::Model(name, ..) => (0, *name),
            Self::Provider(name, ..) => (1, *name),
            Self::Key(name, _) => (2, *name),
            Self::Endpoints(name, _) => (3, *name),
            Self::Secret(_) => (4, 0),
        }
    }

    fn apply(&self, compiler: &mut Compiler) {
        let id = |it: &u8| format!("id-{it}");
        match self {
            Self::Model(at, created, ids) => {
                let ids: Vec<_> = ids.iter().map(id).collect();
                let ids: Vec<_> = ids.iter().map(String::as_str).collect();
                match ids.split_first() {
                    None => compiler.set_model(&name(&format!("models/{at}")), None),
                    Some((id, aliases)) => {
                        upsert_model(
                            compiler,
                            model(&format!("models/{at}"), *created, id, aliases),
                        );
                    }
                }
            }
            Self::Provider(at, _, false, ids) if ids.is_empty() => {
                compiler.set_provider(&name(&format!("models/{at}")), None);
            }
            Self::Provider(at, created, catch_all, ids) => {
                let declared: Vec<_> = ids.iter().map(id).collect();
                let models = json!({"catchAll": catch_all, "declared": declared});
                upsert_provider(compiler, provider(&format!("models/{at}"), *created, models));
            }
            Self::Key(at, replaces) => {
                let id = |at: &u8| format!("abcdefgh234{}", at + 2);
                let replaces = replaces
                    .map(|it| json!({"id": id(&it), "overlapUntil": "2030-02-01T00:00:00Z"}));
                upsert(compiler, key(&format!("keys/{}", id(at)), json!({"replaces": replaces})));
            }
            Self::Endpoints(at, ready) => {
                let ready = ready.iter().map(|it| ([10, 0, 0, *it], 8000).into()).collect();
                compiler.set_endpoints(&name(&format!("models/{at}")), ready);
            }
            Self::Secret(exists) => {
                let data = secret("sk").filter(|_| *exists);
                // Only Secrets that are referred to are read.
                compiler.set_secret(&name("models/key"), data);
            }
        }
    }
}

proptest! {
    #[test]
    fn the_table_does_not_depend_on_the_order_or_the_history_of_changes(
        inputs in proptest::collection::vec(inputs(), 0..24),
        shuffle in any::<u64>(),
    ) {
        let mut documents = Documents::default();
        let mut incremental = Compiler::default();
        for it in &inputs {
            it.apply(&mut incremental);
            documents.apply(incremental.take_changes().change);
        }
        let mut last: BTreeMap<_, _> = inputs.iter().map(|it| (it.subject(), it)).collect();
        let secret = last.remove(&(4, 0));
        let mut last: Vec<_> = last.into_values().collect();
        if !last.is_empty() {
            let middle = usize::try_from(shuffle).unwrap_or(0) % last.len();
            last.rotate_left(middle);
        }
        let mut at_once = Compiler::default();
        for it in last {
            it.apply(&mut at_once);
        }
        // A Secret is read once it is referred to.
        for (compiler, documents) in [(&mut at_once, None), (&mut incremental, Some(&mut documents))] {
            Input::Secret(matches!(secret, Some(Input::Secret(true)))).apply(compiler);
            if let Some(documents) = documents {
                documents.apply(compiler.take_changes().change);
            }
        }
        let mut fresh = Documents::default();
        fresh.apply(at_once.take_changes().change);
        prop_assert_eq!(fresh.digest(), documents.digest());
        prop_assert_eq!(fresh, documents);
    }
}
