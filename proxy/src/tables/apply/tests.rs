use super::*;
use crate::tables::Conflict;

fn tables_of(text: &str) -> Tables {
    let tables = Tables::empty();
    tables.update(table(text));
    tables
}

fn table(routes: &str) -> Table {
    let text = format!(
        r#"{{"version": 1, "providers": [{{"name": "p", "url": "https://p.example/v1"}}],
            "routes": [{routes}]}}"#
    );
    Table::parse(text.as_bytes()).unwrap()
}

const SERVED: &str = r#"{"model": "m", "aliases": ["alias"], "access": {"public": true},
    "upstream": {"served": {"endpoints": ["http://10.0.0.5:8000"], "model": "m"}}}"#;
const PROVIDER: &str = r#"{"model": "m", "access": {"public": true},
    "upstream": {"provider": {"name": "p", "model": "theirs"}}}"#;
const CATCH_ALL: &str = r#"{"access": {"public": true}, "upstream": {"provider": {"name": "p"}}}"#;

#[test]
fn a_served_model_wins_over_a_provider_and_that_over_a_catch_all() {
    let owner = |routes: &str, model: &str| {
        tables_of(routes)
            .snapshot()
            .route(model)
            .map(|it| (it.owner().to_owned(), it.label.clone()))
    };
    let both = format!("{PROVIDER}, {SERVED}, {CATCH_ALL}");
    assert_eq!(owner(&both, "m"), Some(("vllm".into(), "m".into())));
    let some = format!("{CATCH_ALL}, {PROVIDER}");
    assert_eq!(owner(&some, "m"), Some(("p".into(), "m".into())));
    assert_eq!(owner(&some, "other"), Some(("p".into(), "*".into())));
    assert_eq!(owner(PROVIDER, "other"), None);
}

#[test]
fn an_alias_is_mapped_to_the_upstream_s_id() {
    let tables = tables_of(SERVED);
    let snapshot = tables.snapshot();
    assert_eq!(snapshot.route("alias").unwrap().upstream_model("alias"), "m");
    let provider = tables_of(PROVIDER);
    assert_eq!(provider.snapshot().route("m").unwrap().upstream_model("m"), "theirs");
    let catch_all = tables_of(CATCH_ALL);
    assert_eq!(catch_all.snapshot().route("x").unwrap().upstream_model("x"), "x");
}

#[test]
fn a_shadowed_model_is_listed_once() {
    let tables = tables_of(&format!("{PROVIDER}, {SERVED}, {CATCH_ALL}"));
    let listed: Vec<_> = tables.snapshot().listed().map(|it| it.label.clone()).collect();
    assert_eq!(listed, ["m".into()]);
}

#[test]
fn an_update_keeps_running_requests_and_endpoint_health() {
    let tables = tables_of(SERVED);
    let before = tables.snapshot();
    let entry = before.route("m").unwrap();
    let _running = entry.running.try_acquire(None);
    for _ in 0..crate::upstream::health::FAILURES_MAX {
        entry.endpoints[0].state.health.record_failure(crate::clock::now());
    }
    tables.update(table(&format!("{SERVED}, {CATCH_ALL}")));
    let after = tables.snapshot();
    let entry = after.route("m").unwrap();
    assert_eq!(entry.running.in_flight(), 1);
    assert!(!entry.endpoints[0].state.health.is_ready());
}

fn routes(resource: &str, routes: &str) -> (Name, Option<Resource>) {
    let name = Name::new(Kind::Routes, format!("models/{resource}"));
    let document = format!(
        r#"{{"provider": {{"name": "p", "url": "https://p.example/v1"}}, "routes": [{routes}]}}"#
    );
    let resource = Resource::parse(&name, document.as_bytes()).unwrap();
    (name, Some(resource))
}

fn removed(resource: &str) -> (Name, Option<Resource>) {
    (Name::new(Kind::Routes, format!("models/{resource}")), None)
}

fn served(model: &str) -> String {
    SERVED.replace(r#""m", "aliases": ["alias"]"#, &format!(r#""{model}""#))
}

/// Rejected resources, reasons, and whether their last routes stay.
fn described(rejected: &[RejectedRoutes]) -> Vec<String> {
    rejected
        .iter()
        .map(|it| format!("{}: {} ({})", it.name.name, it.conflict, it.keeps_last))
        .collect()
}

fn owner(tables: &Tables, model: &str) -> Option<String> {
    tables.snapshot().route(model).map(|it| it.resource().to_string())
}

#[test]
fn a_resource_whose_model_is_taken_is_rejected_and_the_owner_named() {
    let tables = Tables::empty();
    assert!(described(&tables.apply(vec![routes("one", SERVED)])).is_empty());
    let rejected = tables.apply(vec![routes("two", &served("alias"))]);
    assert_eq!(
        described(&rejected),
        [r#"models/two: the model "alias" is taken by models/one (false)"#]
    );
    assert_eq!(owner(&tables, "alias").unwrap(), "models/one");
    let rejected =
        tables.apply(vec![removed("two"), routes("odd", &[served("z"), served("z")].join(", "))]);
    assert_eq!(described(&rejected), [r#"models/odd: the model "z" is declared twice (false)"#]);
}

#[test]
fn rejected_routes_are_applied_when_their_model_is_free() {
    let tables = Tables::empty();
    tables.apply(vec![routes("one", SERVED)]);
    assert_eq!(tables.apply(vec![routes("two", SERVED)]).len(), 1);
    assert!(tables.apply(vec![removed("one")]).is_empty());
    assert_eq!(owner(&tables, "m").unwrap(), "models/two");
}

#[test]
fn a_rejected_resource_keeps_its_last_routes_until_another_wants_their_model() {
    let tables = Tables::empty();
    tables.apply(vec![routes("one", &served("a")), routes("two", &served("b"))]);
    let rejected = tables.apply(vec![routes("two", &served("a"))]);
    assert_eq!(
        described(&rejected),
        [r#"models/two: the model "a" is taken by models/one (true)"#]
    );
    assert_eq!(owner(&tables, "b").unwrap(), "models/two");
    let rejected = tables.apply(vec![routes("three", &served("b"))]);
    assert_eq!(
        described(&rejected),
        [r#"models/two: the model "a" is taken by models/one (false)"#]
    );
    assert_eq!(owner(&tables, "b").unwrap(), "models/three");
}

#[test]
fn two_resources_may_swap_their_models_in_one_change() {
    let tables = Tables::empty();
    tables.apply(vec![routes("one", &served("a")), routes("two", &served("b"))]);
    let rejected = tables.apply(vec![routes("one", &served("b")), routes("two", &served("a"))]);
    assert!(rejected.is_empty());
    assert_eq!(owner(&tables, "a").unwrap(), "models/two");
    assert_eq!(owner(&tables, "b").unwrap(), "models/one");
}

#[test]
fn unchanged_routes_keep_their_entry() {
    let tables = Tables::empty();
    tables.apply(vec![routes("one", &served("a")), routes("two", &served("b"))]);
    let before = tables.snapshot();
    tables.apply(vec![routes("one", &format!("{}, {}", served("a"), served("c")))]);
    let after = tables.snapshot();
    for model in ["a", "b"] {
        assert!(Arc::ptr_eq(before.route(model).unwrap(), after.route(model).unwrap()), "{model}");
    }
}

#[test]
fn the_state_of_an_unused_endpoint_is_removed() {
    let tables = Tables::empty();
    let (url, other) = ("http://10.0.0.5:8000", "http://10.0.0.6:8000");
    let elsewhere = served("a").replace(url, other);
    tables.apply(vec![routes("one", &served("a")), routes("two", &served("b"))]);
    assert_eq!(tables.snapshot().states(), [(url.to_owned(), 2)].into());
    tables.apply(vec![routes("one", &elsewhere)]);
    assert_eq!(tables.snapshot().states(), [(url.to_owned(), 1), (other.to_owned(), 1)].into());
    tables.apply(vec![removed("one"), removed("two")]);
    assert!(tables.snapshot().states().is_empty());
}

mod any {
    use super::*;
    use llm_contract::{Hashing, KeyHash, SecretKey};
    use proptest::prelude::*;
    use std::sync::LazyLock;

    /// A resource and its routes: kind, id, alias; `None` to remove it.
    type Declared = (u8, Option<Vec<(bool, u8, Option<u8>)>>);
    static HASH: LazyLock<KeyHash> = LazyLock::new(|| {
        let key = SecretKey::assemble(&KeyId::parse("abcdefgh2345").unwrap(), &[b'x'; 43]);
        KeyHash::of(&key, Hashing::MINTED, [7; 16], None).unwrap()
    });

    fn declared() -> impl Strategy<Value = Declared> {
        let route = (any::<bool>(), 0..7_u8, proptest::option::weighted(0.3, 0..7_u8));
        let some = proptest::collection::vec(route, 1..3);
        (0..5_u8, proptest::option::weighted(0.8, some))
    }

    fn changes() -> impl Strategy<Value = Vec<Vec<Declared>>> {
        let one = proptest::collection::vec(declared(), 0..4);
        proptest::collection::vec(one, 0..8)
    }

    /// Id 6 of a provider is the catch-all.
    fn route(&(is_served, id, alias): &(bool, u8, Option<u8>)) -> String {
        let aliases = alias.map(|it| format!(r#""m{it}""#)).unwrap_or_default();
        let upstream = if is_served {
            format!(r#"{{"served": {{"endpoints": ["http://10.0.0.{id}:8000", "http://h:1"]}}}}"#)
        } else {
            r#"{"provider": {"name": "p"}}"#.to_owned()
        };
        let matches = if id == 6 && !is_served {
            String::new()
        } else {
            format!(r#""model": "m{id}", "aliases": [{aliases}],"#)
        };
        format!(r#"{{{matches} "access": {{"public": true}}, "upstream": {upstream}}}"#)
    }

    fn change((resource, declares): &Declared) -> (Name, Option<Resource>) {
        let Some(declares) = declares else {
            return removed(&resource.to_string());
        };
        let text: Vec<_> = declares.iter().map(route).collect();
        routes(&resource.to_string(), &text.join(", "))
    }

    fn key(id: u8, suspended: bool) -> (Name, Option<Resource>) {
        let id = format!("abcdefgh234{}", char::from(b'a' + id));
        let document = format!(
            r#"{{"id": "{id}", "clientId": "c", "owner": {{"name": "me"}}, "hash": "{}",
                "suspended": {suspended}}}"#,
            *HASH
        );
        let name = Name::new(Kind::Key, id);
        let resource = Resource::parse(&name, document.as_bytes()).unwrap();
        (name, Some(resource))
    }

    /// Everything observable of a table.
    fn observed(tables: &Tables) -> impl PartialEq + std::fmt::Debug {
        let snapshot = tables.snapshot();
        let of = |model: &str| {
            let entry = snapshot.route(model)?;
            Some((entry.label.to_string(), entry.resource(), entry.owner().to_owned()))
        };
        let routes: Vec<_> = (0..8).map(|id| of(&format!("m{id}"))).collect();
        let listed: Vec<_> = snapshot.listed().map(|it| it.label.to_string()).collect();
        let mut endpoints: Vec<_> = snapshot.endpoints().map(|it| it.name.to_string()).collect();
        endpoints.sort();
        (routes, listed, endpoints, snapshot.states(), snapshot.resources())
    }

    proptest! {
        #[test]
        fn any_sequence_of_changes_equals_its_result_applied_at_once(sequence in changes()) {
            let (tables, mut left) = (Tables::empty(), BTreeMap::new());
            let mut rejected = Vec::new();
            for step in sequence {
                rejected = tables.apply(step.iter().map(change).collect());
                for (resource, declares) in step {
                    left.insert(resource, declares);
                }
                // Exactly the states of endpoints in use are retained.
                let mut counted = BTreeMap::<String, usize>::new();
                for endpoint in tables.snapshot().endpoints() {
                    *counted.entry(endpoint.name.to_string()).or_default() += 1;
                }
                prop_assert_eq!(counted, tables.snapshot().states());
            }
            let anew = Tables::empty();
            let left: Vec<_> = left.into_iter().collect();
            let at_once = anew.apply(left.iter().map(change).collect());
            prop_assert_eq!(at_once.is_empty(), rejected.is_empty());
            if rejected.is_empty() {
                prop_assert_eq!(observed(&tables), observed(&anew));
            }
            // Every rejection has a reason that still holds.
            for RejectedRoutes { name, conflict, .. } in rejected {
                let Conflict::Taken { model, owner } = conflict else { continue };
                prop_assert_ne!(&owner, &name.name);
                let declares = left.iter().find(|(id, _)| *owner == *format!("models/{id}"));
                let names = declares.and_then(|(_, it)| it.as_ref()).unwrap().iter();
                let has = |it: &(bool, u8, Option<u8>)| {
                    route(it).contains(&format!(r#""{model}""#)) || model == "*"
                };
                prop_assert!(names.clone().any(has));
            }
        }

        #[test]
        fn keys_are_their_latest_version(said: Vec<(u8, Option<bool>)>) {
            let (tables, mut last) = (Tables::empty(), BTreeMap::new());
            for (id, suspended) in said {
                let id = id % 4;
                let (name, resource) = key(id, suspended.unwrap_or_default());
                tables.apply(vec![(name.clone(), suspended.and(resource))]);
                match suspended {
                    Some(suspended) => last.insert(name.name.to_string(), suspended),
                    None => last.remove(&*name.name),
                };
            }
            let snapshot = tables.snapshot();
            let keys = snapshot.keys.iter();
            let keys = keys.map(|(id, entry)| (id.to_string(), entry.record.suspended));
            prop_assert_eq!(keys.collect::<BTreeMap<_, _>>(), last);
        }

        #[test]
        fn a_whole_table_removes_everything_else(keys: Vec<bool>) {
            let tables = Tables::empty();
            tables.update(table(SERVED));
            for (id, suspended) in keys.iter().take(4).enumerate() {
                tables.apply(vec![key(u8::try_from(id).unwrap(), *suspended)]);
            }
            tables.update(table(PROVIDER));
            let snapshot = tables.snapshot();
            prop_assert!(snapshot.keys.is_empty());
            prop_assert_eq!(snapshot.route("m").unwrap().owner(), "p");
            prop_assert!(snapshot.route("alias").is_none());
        }
    }
}
