use super::*;
use crate::legacy::kinds::{GRANT, KINDS, recognize_grant};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{ApiResource, GroupVersionKind};
use proptest::prelude::*;
use std::cell::RefCell;

fn object(name: &str, model: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some("llm".into()),
        name: Some(name.into()),
        uid: Some(format!("uid of {name}")),
        labels: Some([("llm.nebari.dev/model".to_owned(), model.to_owned())].into()),
        ..ObjectMeta::default()
    }
}

fn recognize(kind: &str, object: &ObjectMeta) -> Option<LegacyObject> {
    let known = KINDS.iter().find(|known| known.kind == kind).unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(known.group, "v1", kind));
    known.recognize(&resource, object)
}

/// All possible legacy objects of a model named `m`.
fn everything() -> Vec<LegacyObject> {
    let suffixes = [
        "-external",
        "-internal",
        "-external-auth",
        "-internal-auth",
        "",
        "-upstream-auth",
        "-backend-tls",
        "-backend",
        "-epp",
        "-epp-config",
    ];
    let objects = KINDS.iter().flat_map(|known| {
        suffixes.map(|suffix| recognize(known.kind, &object(&format!("m{suffix}"), "m")))
    });
    objects.flatten().collect()
}

/// What is removed in which round, if removals complete at once.
fn rounds(migration: Migration, ready: impl Fn(Entry) -> bool) -> Vec<Vec<String>> {
    let mut left = everything();
    let mut rounds = Vec::new();
    loop {
        let free: Vec<_> = removable(&left, |_| migration, &ready).into_iter().cloned().collect();
        if free.is_empty() {
            return rounds;
        }
        left.retain(|it| !free.contains(it));
        rounds.push(
            free.iter().map(|it| format!("{} {}", it.resource.kind, it.name.name())).collect(),
        );
    }
}

#[test]
fn objects_of_a_served_model_are_removed_from_the_routes_to_their_dependencies() {
    assert_eq!(
        rounds(Migration::Served, |_| true),
        [
            vec!["AIGatewayRoute m-external", "AIGatewayRoute m-internal"],
            vec!["HTTPRoute m-external", "HTTPRoute m-internal"],
            vec![
                "SecurityPolicy m-external-auth",
                "SecurityPolicy m-internal-auth",
                "InferencePool m"
            ],
            vec![
                "AIServiceBackend m",
                "BackendSecurityPolicy m-upstream-auth",
                "BackendTLSPolicy m-backend-tls",
                "Backend m-backend",
                "Deployment m-epp",
                "Service m-epp",
                "ConfigMap m-epp-config",
                "RoleBinding m-epp",
                "Role m-epp",
                "ServiceAccount m-epp",
            ],
        ]
    );
}

#[test]
fn a_model_that_the_proxies_do_not_serve_yet_keeps_everything() {
    assert!(rounds(Migration::Pending, |_| true).is_empty());
}

#[test]
fn routes_of_an_entry_that_is_not_ready_stay_with_their_dependencies() {
    assert_eq!(
        rounds(Migration::Served, |entry| entry == Entry::External),
        [
            ["AIGatewayRoute m-external"],
            ["HTTPRoute m-external"],
            ["SecurityPolicy m-external-auth"],
        ]
    );
}

#[test]
fn objects_of_a_deleted_model_are_removed_once_both_entries_are_ready() {
    assert!(rounds(Migration::Deleted, |entry| entry == Entry::External).is_empty());
    assert_eq!(rounds(Migration::Deleted, |_| true), rounds(Migration::Served, |_| true));
}

#[test]
fn terminating_objects_block_others_except_a_route_that_is_no_longer_translated() {
    let mut left = everything();
    left.iter_mut()
        .filter(|it| it.resource.kind == "AIGatewayRoute")
        .for_each(|it| it.is_terminating = true);
    let free = |left: &[LegacyObject]| -> Vec<String> {
        removable(left, |_| Migration::Served, |_| true)
            .iter()
            .map(|it| it.resource.kind.clone())
            .collect()
    };
    assert_eq!(free(&left), ["HTTPRoute", "HTTPRoute"]);
    left.iter_mut()
        .filter(|it| it.resource.kind == "HTTPRoute")
        .for_each(|it| it.is_terminating = true);
    assert_eq!(free(&left), [""; 0]);
}

#[test]
fn only_kinds_and_names_of_the_first_release_are_recognized() {
    for (kind, name, model, known) in [
        ("AIGatewayRoute", "m-external", "m", true),
        ("AIGatewayRoute", "m-external", "other", false),
        ("AIGatewayRoute", "m", "m", false),
        ("InferencePool", "m", "m", true),
        ("InferencePool", "m-pool", "m", false),
        ("Deployment", "m-epp", "m", true),
        ("Deployment", "m", "m", false),
        ("Deployment", "m-epp", "m-epp", false),
        ("Service", "m", "m", false),
        ("ServiceAccount", "m-sa", "m", false),
        ("ConfigMap", "m-api-key-metadata", "m", false),
        ("HTTPRoute", "llm-https", "", false),
    ] {
        assert_eq!(
            recognize(kind, &object(name, model)).is_some(),
            known,
            "{kind} {name} of {model}"
        );
    }
    assert!(KINDS.iter().all(|known| known.kind != "Secret"), "keys are never touched");
    let unlabelled = ObjectMeta { labels: None, ..object("m-external", "m") };
    assert_eq!(recognize("AIGatewayRoute", &unlabelled), None);
}

#[test]
fn a_generated_route_without_labels_is_recognized_by_its_owner() {
    let sources = [recognize("AIGatewayRoute", &object("m-external", "m")).unwrap()];
    let known = KINDS.iter().find(|known| known.kind == "HTTPRoute").unwrap();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(known.group, "v1", known.kind));
    let owned_by = |uid: &str| {
        let owner = OwnerReference { uid: uid.into(), ..OwnerReference::default() };
        ObjectMeta {
            owner_references: Some(vec![owner]),
            labels: None,
            ..object("m-external", "m")
        }
    };
    let found = known.recognize_generated(&resource, &owned_by("uid of m-external"), &sources);
    assert_eq!(found.unwrap().role, Role::GeneratedRoute(Entry::External));
    assert_eq!(known.recognize_generated(&resource, &owned_by("another"), &sources), None);
}

#[test]
fn a_grant_names_the_namespace_of_its_model() {
    let resource =
        ApiResource::from_gvk(&GroupVersionKind::gvk(GRANT.group, "v1beta1", GRANT.kind));
    let model =
        |name: &str| Some(recognize_grant(&resource, &object(name, "m"))?.model.to_string());
    assert_eq!(model("m-models-ref-grant").as_deref(), Some("models/m"));
    assert_eq!(model("nebari-llm-shared-tls-from-gateways"), None);
    assert_eq!(model("m-ref-grant"), None);
}

proptest! {
    #[test]
    fn in_any_order_no_route_is_ever_open_and_no_pool_without_its_picker(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let left = RefCell::new(everything());
        for pick in picks {
            let free: Vec<LegacyObject> = removable(&left.borrow(), |_| Migration::Served, |_| true)
                .into_iter().cloned().collect();
            if free.is_empty() {
                break;
            }
            let gone = pick.get(&free);
            left.borrow_mut().retain(|it| it != gone);
            let left = left.borrow();
            let there = |role| left.iter().any(|it| it.role == role);
            for entry in Entry::ALL {
                let routed = there(Role::Route(entry)) || there(Role::GeneratedRoute(entry));
                prop_assert!(!routed || there(Role::Policy(entry)));
                prop_assert!(!there(Role::Route(entry)) || there(Role::GeneratedRoute(entry)));
            }
            let picker = left.iter().filter(|it| it.name.name() == "m-epp").count();
            prop_assert!(!there(Role::Pool) || picker == 5);
        }
        prop_assert!(left.borrow().is_empty());
    }
}
