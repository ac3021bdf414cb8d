use super::*;
use llm_contract::push::{Documents, Resource};
use llm_crd::ApiKeyResource;
use proptest::prelude::*;
use serde_json::{Value, json};

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

fn tell(compiler: &mut Compiler, key: ApiKeyResource) {
    let name = resource_name(&key.metadata).unwrap();
    compiler.key(&name, Arc::new(PackedKey::of(key)));
}

fn name(text: &str) -> ResourceName {
    ResourceName::parse(text).unwrap()
}

fn secret(text: &str) -> Option<Arc<SecretData>> {
    let value = ByteString(text.as_bytes().to_vec());
    Some(Arc::new(SecretData::from([("apiKey".to_owned(), value)])))
}

/// The table after everything that was told, each document checked as a proxy checks it.
fn table(compiler: &mut Compiler) -> Documents {
    let mut documents = Documents::default();
    documents.apply(compiler.take().change);
    for (name, document) in documents.iter() {
        Resource::parse(name, document).unwrap();
    }
    documents
}

fn document(compiler: &mut Compiler, kind: Kind, name: &str) -> Value {
    let table = table(compiler);
    table.get(&Name::new(kind, name)).map_or(Value::Null, |it| serde_json::from_slice(it).unwrap())
}

fn verdict(compiled: &Compiled, of: &str) -> Verdict {
    compiled.verdicts.iter().find(|(_, it, _)| it.as_str() == of).unwrap().2.clone()
}

#[test]
fn a_model_is_served_where_its_ready_pods_listen() {
    let mut compiler = Compiler::default();
    compiler.endpoints(&name("models/qwen3"), vec!["10.0.0.6:8000".parse().unwrap()]);
    compiler.model(model("models/qwen3", 1, "Qwen/Qwen3-8B", &["qwen3"]));
    let routes = document(&mut compiler, Kind::Routes, "models/qwen3");
    let route = &routes["routes"][0];
    assert_eq!((&route["model"], &route["aliases"]), (&json!("Qwen/Qwen3-8B"), &json!(["qwen3"])));
    assert_eq!(route["upstream"]["served"]["endpoints"], json!(["http://10.0.0.6:8000"]));
    compiler.endpoints(&name("models/qwen3"), vec!["10.0.0.6:8000".parse().unwrap()]);
    assert_eq!(compiler.take(), Compiled::default());
    compiler.endpoints(&name("models/qwen3"), Vec::new());
    assert_eq!(compiler.take().change.upserts.len(), 1);
}

#[test]
fn an_id_belongs_to_the_older_model_until_that_one_goes() {
    let mut compiler = Compiler::default();
    compiler.model(model("models/newer", 2, "m", &["n"]));
    compiler.model(model("models/older", 1, "m", &[]));
    let compiled = compiler.take();
    let older = name("models/older");
    assert_eq!(verdict(&compiled, "models/newer").ids_taken, [("m".to_owned(), older.clone())]);
    assert_eq!(verdict(&compiled, "models/older").ids_taken, []);
    compiler.model_gone(&older);
    let compiled = compiler.take();
    assert_eq!(verdict(&compiled, "models/newer").ids_taken, []);
    assert_eq!(compiled.change.removals, [Name::new(Kind::Routes, "models/older")]);
}

#[test]
fn a_served_model_wins_over_an_older_provider_and_the_oldest_catch_all_over_others() {
    let mut compiler = Compiler::default();
    let all = json!({"catchAll": true, "declared": ["m", "other"]});
    compiler.provider(provider("models/first", 1, all));
    compiler.provider(provider("models/second", 2, json!({"catchAll": true})));
    compiler.secret(&name("models/key"), secret("sk"));
    compiler.model(model("models/served", 3, "m", &[]));
    let compiled = compiler.take();
    let taken = |of: &str| verdict(&compiled, of).ids_taken;
    assert_eq!(taken("models/served"), []);
    assert_eq!(taken("models/first"), [("m".to_owned(), name("models/served"))]);
    assert_eq!(taken("models/second"), [("*".to_owned(), name("models/first"))]);
}

#[test]
fn of_a_model_and_a_provider_of_one_name_the_older_has_it() {
    let mut compiler = Compiler::default();
    compiler.provider(provider("models/same", 1, json!({"declared": ["a"]})));
    compiler.model(model("models/same", 2, "b", &[]));
    compiler.secret(&name("models/key"), secret("sk"));
    let compiled = compiler.take();
    let taken: Vec<_> =
        compiled.verdicts.iter().map(|(kind, _, it)| (*kind, it.name_taken)).collect();
    assert_eq!(taken, [(Declares::Served, true), (Declares::Provider, false)]);
    compiler.provider_gone(&name("models/same"));
    assert_eq!(document(&mut compiler, Kind::Routes, "models/same")["routes"][0]["model"], "b");
}

#[test]
fn a_provider_waits_for_its_secret_and_follows_it() {
    let mut compiler = Compiler::default();
    compiler.provider(provider("models/openai", 1, json!({"declared": ["fast"]})));
    assert!(compiler.wants(&name("models/key")));
    let missing = Missing { secret: "key".into(), key: None };
    let compiled = compiler.take();
    assert_eq!(verdict(&compiled, "models/openai").missing, [missing]);
    assert_eq!(compiled.change.upserts, []);
    compiler.secret(&name("models/key"), Some(Arc::default()));
    let missing = Missing { secret: "key".into(), key: Some("apiKey") };
    assert_eq!(verdict(&compiler.take(), "models/openai").missing, [missing]);
    for value in ["one\n", "two"] {
        compiler.secret(&name("models/key"), secret(value));
        let routes = document(&mut compiler, Kind::Routes, "models/openai");
        assert_eq!(routes["provider"]["credential"]["secret"], value.trim());
    }
    compiler.secret(&name("models/key"), None);
    assert_eq!(compiler.take().change.removals.len(), 1);
    compiler.provider_gone(&name("models/openai"));
    assert!(!compiler.wants(&name("models/key")));
}

#[test]
fn a_disabled_endpoint_is_no_entry_of_the_route() {
    let mut compiler = Compiler::default();
    let mut spec = serde_json::to_value(&model("models/m", 1, "m", &[]).spec).unwrap();
    spec["endpoints"] = json!({"external": {"enabled": false}});
    compiler.model(object("models/m", 1, spec.clone()));
    let routes = document(&mut compiler, Kind::Routes, "models/m");
    assert_eq!(routes["routes"][0]["entries"], json!({"external": false, "internal": true}));
    spec["endpoints"]["internal"] = json!({"enabled": false});
    compiler.model(object("models/m", 1, spec));
    assert_eq!(compiler.take().change.removals.len(), 1);
}

#[test]
fn a_provider_that_changes_keeps_the_credential_that_was_read_last() {
    let mut compiler = Compiler::default();
    compiler.provider(provider("models/openai", 1, json!({"declared": ["fast"]})));
    compiler.secret(&name("models/key"), secret("one"));
    compiler.provider(provider("models/openai", 1, json!({"declared": ["faster"]})));
    let routes = document(&mut compiler, Kind::Routes, "models/openai");
    assert_eq!(routes["provider"]["credential"]["secret"], "one");
    assert_eq!(routes["routes"][0]["model"], "faster");
}

#[test]
fn nothing_of_a_namespace_that_does_not_count_is_in_the_table() {
    let mut compiler = Compiler::new("llm");
    let counted = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect());
    compiler.count(counted(&["models"]));
    compiler.model(model("elsewhere/older", 1, "m", &[]));
    compiler.model(model("models/newer", 2, "m", &[]));
    compiler.provider(provider("elsewhere/openai", 1, json!({"catchAll": true})));
    compiler.secret(&name("elsewhere/key"), secret("sk"));
    tell(&mut compiler, key("elsewhere/abcdefgh2345", json!({"models": ["elsewhere/*"]})));
    let compiled = compiler.take();
    let names: Vec<_> = compiled.change.upserts.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["routes models/newer"]);
    assert_eq!(verdict(&compiled, "elsewhere/older"), Verdict::default());
    compiler.count(counted(&["models", "elsewhere"]));
    let compiled = compiler.take();
    assert_eq!(compiled.change.upserts.len(), 3, "{:?}", compiled.change);
    assert_eq!(compiled.change.removals, [Name::new(Kind::Routes, "models/newer")]);
    compiler.count(counted(&["models"]));
    assert_eq!(compiler.take().change.removals.len(), 3);
}

#[test]
fn a_key_is_for_models_beside_it_unless_it_is_in_the_operator_s_namespace() {
    let models = json!({"models": ["*", "team/*", "team/a", "models/b"]});
    for (at, all, resources) in [
        ("llm", json!(["*"]), json!(["team/*", "team/a", "models/b"])),
        ("team", json!([]), json!(["team/*", "team/a"])),
    ] {
        let mut compiler = Compiler::new("llm");
        tell(&mut compiler, key(&format!("{at}/abcdefgh2345"), models.clone()));
        let record = document(&mut compiler, Kind::Key, "abcdefgh2345");
        let found = |field: &str| record.get(field).cloned().unwrap_or_else(|| json!([]));
        assert_eq!((found("models"), found("resources")), (all, resources), "{at}");
    }
}

#[test]
fn a_key_of_the_operator_s_namespace_comes_before_an_older_one_of_its_id() {
    let mut compiler = Compiler::new("keys");
    tell(&mut compiler, key("a/abcdefgh2345", json!({"clientId": "theirs"})));
    tell(&mut compiler, key("keys/abcdefgh2345", json!({"clientId": "ours"})));
    assert_eq!(document(&mut compiler, Kind::Key, "abcdefgh2345")["clientId"], "ours");
}

#[test]
fn an_owner_is_also_in_the_groups_in_which_it_was_found() {
    let mut compiler = Compiler::new("keys");
    let mut found = key("keys/abcdefgh2345", json!({}));
    let groups = ["/ml-team".to_owned(), "admins".to_owned()].into();
    found.status = Some(llm_crd::ApiKeyStatus { owner_groups: groups, ..Default::default() });
    tell(&mut compiler, found);
    let record = document(&mut compiler, Kind::Key, "abcdefgh2345");
    assert_eq!(record["owner"]["groups"], json!(["ml-team", "admins"]));
}

#[test]
fn a_key_has_the_scope_and_the_groups_of_its_owner() {
    let mut compiler = Compiler::new("keys");
    tell(&mut compiler, key("keys/abcdefgh2345", json!({"models": ["*", "models/qwen3"]})));
    let record = document(&mut compiler, Kind::Key, "abcdefgh2345");
    assert_eq!(
        (&record["models"], &record["resources"]),
        (&json!(["*"]), &json!(["models/qwen3"]))
    );
    assert_eq!(record["owner"], json!({"name": "ml-team", "groups": ["ml-team"]}));
    let service = json!({"owner": {"serviceAccount": "apps/chat"}});
    tell(&mut compiler, key("keys/abcdefgh2345", service));
    let record = document(&mut compiler, Kind::Key, "abcdefgh2345");
    let groups = json!(["system:serviceaccounts", "system:serviceaccounts:apps"]);
    assert_eq!(record["owner"]["groups"], groups);
}

#[test]
fn a_key_without_a_good_hash_is_not_in_force() {
    let mut compiler = Compiler::default();
    tell(&mut compiler, key("keys/abcdefgh2345", json!({})));
    assert_eq!(compiler.take().change.upserts.len(), 1);
    tell(&mut compiler, key("keys/abcdefgh2345", json!({"hash": "$argon2id$nonsense"})));
    assert_eq!(compiler.take().change.removals.len(), 1);
}

#[test]
fn a_replaced_key_ends_with_the_overlap_and_lives_on_if_the_new_one_goes() {
    let mut compiler = Compiler::default();
    tell(&mut compiler, key("keys/abcdefgh2345", json!({})));
    let replaces = json!({"id": "abcdefgh2345", "overlapUntil": "2030-02-01T00:00:00Z"});
    tell(&mut compiler, key("keys/abcdefgh2346", json!({"replaces": replaces})));
    tell(&mut compiler, key("other/abcdefgh2347", json!({"replaces": replaces})));
    let expires = |compiler: &mut Compiler| {
        document(compiler, Kind::Key, "abcdefgh2345")["expiresAt"].clone()
    };
    assert_eq!(expires(&mut compiler), "2030-02-01T00:00:00Z");
    compiler.key_gone(&name("keys/abcdefgh2346"));
    assert_eq!(expires(&mut compiler), Value::Null);
}

#[test]
fn a_key_of_the_same_id_in_another_namespace_takes_nothing_over() {
    let mut compiler = Compiler::default();
    tell(&mut compiler, key("keys/abcdefgh2345", json!({"clientId": "ours"})));
    tell(&mut compiler, key("later/abcdefgh2345", json!({"clientId": "theirs"})));
    assert_eq!(document(&mut compiler, Kind::Key, "abcdefgh2345")["clientId"], "ours");
    compiler.key_gone(&name("keys/abcdefgh2345"));
    assert_eq!(document(&mut compiler, Kind::Key, "abcdefgh2345")["clientId"], "theirs");
}

/// Something that the cluster may hold, or hold no longer.
#[derive(Clone, Debug)]
enum Told {
    Model(u8, u8, Vec<u8>),
    Provider(u8, u8, bool, Vec<u8>),
    Key(u8, Option<u8>),
    Endpoints(u8, Vec<u8>),
    Secret(bool),
}

fn told() -> impl Strategy<Value = Told> {
    let few = || 0_u8..4;
    let some = || proptest::collection::vec(0_u8..6, 0..3);
    prop_oneof![
        (few(), few(), some()).prop_map(|(a, b, c)| Told::Model(a, b, c)),
        (few(), few(), any::<bool>(), some()).prop_map(|(a, b, c, d)| Told::Provider(a, b, c, d)),
        (few(), proptest::option::of(few())).prop_map(|(a, b)| Told::Key(a, b)),
        (few(), some()).prop_map(|(a, b)| Told::Endpoints(a, b)),
        any::<bool>().prop_map(Told::Secret),
    ]
}

impl Told {
    /// What it is about: the last that is told of it counts.
    fn about(&self) -> (u8, u8) {
        match self {
            Self::Model(name, ..) => (0, *name),
            Self::Provider(name, ..) => (1, *name),
            Self::Key(name, _) => (2, *name),
            Self::Endpoints(name, _) => (3, *name),
            Self::Secret(_) => (4, 0),
        }
    }

    fn tell(&self, compiler: &mut Compiler) {
        let id = |it: &u8| format!("id-{it}");
        match self {
            Self::Model(at, created, ids) => {
                let ids: Vec<_> = ids.iter().map(id).collect();
                let ids: Vec<_> = ids.iter().map(String::as_str).collect();
                match ids.split_first() {
                    None => compiler.model_gone(&name(&format!("models/{at}"))),
                    Some((id, aliases)) => {
                        compiler.model(model(&format!("models/{at}"), *created, id, aliases));
                    }
                }
            }
            Self::Provider(at, _, false, ids) if ids.is_empty() => {
                compiler.provider_gone(&name(&format!("models/{at}")));
            }
            Self::Provider(at, created, catch_all, ids) => {
                let declared: Vec<_> = ids.iter().map(id).collect();
                let models = json!({"catchAll": catch_all, "declared": declared});
                compiler.provider(provider(&format!("models/{at}"), *created, models));
            }
            Self::Key(at, replaces) => {
                let id = |at: &u8| format!("abcdefgh234{}", at + 2);
                let replaces = replaces
                    .map(|it| json!({"id": id(&it), "overlapUntil": "2030-02-01T00:00:00Z"}));
                tell(compiler, key(&format!("keys/{}", id(at)), json!({"replaces": replaces})));
            }
            Self::Endpoints(at, ready) => {
                let ready = ready.iter().map(|it| ([10, 0, 0, *it], 8000).into()).collect();
                compiler.endpoints(&name(&format!("models/{at}")), ready);
            }
            Self::Secret(there) => {
                let data = secret("sk").filter(|_| *there);
                // Only what is wanted is read, and then it is read anew.
                compiler.secret(&name("models/key"), data);
            }
        }
    }
}

proptest! {
    #[test]
    fn what_comes_out_does_not_depend_on_the_order_or_on_what_was_before(
        told in proptest::collection::vec(told(), 0..24),
        shuffle in any::<u64>(),
    ) {
        let mut documents = Documents::default();
        let mut gradually = Compiler::default();
        for it in &told {
            it.tell(&mut gradually);
            documents.apply(gradually.take().change);
        }
        let mut last: BTreeMap<_, _> = told.iter().map(|it| (it.about(), it)).collect();
        let secret = last.remove(&(4, 0));
        let mut last: Vec<_> = last.into_values().collect();
        if !last.is_empty() {
            let middle = usize::try_from(shuffle).unwrap_or(0) % last.len();
            last.rotate_left(middle);
        }
        let mut at_once = Compiler::default();
        for it in last {
            it.tell(&mut at_once);
        }
        // A Secret is read when somebody refers to it.
        for (compiler, documents) in [(&mut at_once, None), (&mut gradually, Some(&mut documents))] {
            Told::Secret(matches!(secret, Some(Told::Secret(true)))).tell(compiler);
            if let Some(documents) = documents {
                documents.apply(compiler.take().change);
            }
        }
        let mut anew = Documents::default();
        anew.apply(at_once.take().change);
        prop_assert_eq!(anew.digest(), documents.digest());
        prop_assert_eq!(anew, documents);
    }
}
