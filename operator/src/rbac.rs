//! What the operator must be allowed to do, and nothing more; pure.
//!
//! A test runs the operator with exactly these rights and fails on a call that is denied. Rights
//! over what people write are given in the watched namespaces only; the whole cluster is read for
//! definitions of kinds and, if every namespace is watched, for namespaces.

use crate::{
    app::{config::Config, run, settings::WatchScope},
    edge::settings::Exposure,
    legacy, proxies,
};
use k8s_openapi::{
    api::rbac::v1::{
        ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde_json::Value;
use std::collections::BTreeSet;

/// The name of every Role and ClusterRole, and of the service account they are for.
pub const NAME: &str = "llm-operator";
/// Group, resources, verbs.
type Right = (&'static str, &'static [&'static str], &'static [&'static str]);

const READ: &[&str] = &["get", "list", "watch"];
const KEEP: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// In every namespace that may hold resources of ours.
const WATCHED: &[Right] = &[
    // Patch: the older pack's finalizer is taken off.
    ("llm.nebari.dev", &["llmmodels", "passthroughmodels"], &["get", "list", "watch", "patch"]),
    ("llm.nebari.dev", &["apikeys"], READ),
    (
        "llm.nebari.dev",
        &["llmmodels/status", "passthroughmodels/status", "apikeys/status"],
        &["patch"],
    ),
    // Owner references that block deletion need it where that admission plugin is on.
    ("llm.nebari.dev", &["llmmodels/finalizers", "passthroughmodels/finalizers"], &["update"]),
    ("", &["services", "serviceaccounts", "persistentvolumeclaims"], KEEP),
    ("apps", &["deployments"], KEEP),
    ("networking.k8s.io", &["networkpolicies"], KEEP),
    ("monitoring.coreos.com", &["podmonitors"], KEEP),
    ("", &["pods", "secrets"], READ),
    ("", &["pods/log"], &["get"]),
    ("discovery.k8s.io", &["endpointslices"], READ),
    ("events.k8s.io", &["events"], &["create", "patch"]),
];
/// In the operator's own namespace. What is to be created cannot be given by name.
const OWN: &[Right] = &[
    ("coordination.k8s.io", &["leases"], &["create"]),
    ("", &["secrets"], &["get", "list", "watch", "create"]),
    ("", &["configmaps"], &["create"]),
    ("cert-manager.io", &["certificates"], KEEP),
    // Also without Gateways: what is left of a time with them goes.
    ("gateway.networking.k8s.io", &["httproutes", "referencegrants"], KEEP),
];
/// There too, each for the one object of that name.
const OWN_NAMED: &[(Right, &str)] = &[
    (("coordination.k8s.io", &["leases"], &["get", "update"]), run::LEASE),
    (("", &["secrets"], &["update"]), proxies::AUTHORITY),
    (("", &["configmaps"], &["get", "list", "watch", "patch"]), proxies::AUTHORITY),
];
/// In the namespaces of the Gateways.
const GATEWAYS: &[Right] =
    &[("gateway.networking.k8s.io", &["gateways"], &["get", "list", "watch", "patch"])];
/// In the whole cluster.
const CLUSTER: &[Right] = &[
    ("apiextensions.k8s.io", &["customresourcedefinitions"], READ),
    ("authentication.k8s.io", &["tokenreviews"], &["create"]),
];
/// In the whole cluster, if every namespace is watched.
const NAMESPACES: Right = ("", &["namespaces"], READ);

/// The Roles and ClusterRoles that a configuration needs, each with its binding.
pub fn objects(config: &Config) -> Vec<Value> {
    let mut objects = Vec::new();
    let mut cluster = rules(CLUSTER);
    match &config.settings.scope {
        WatchScope::Labelled => {
            cluster.extend(rules(&[NAMESPACES]));
            cluster.extend(rules(WATCHED));
            cluster.extend(legacy_rules(config));
        }
        WatchScope::Namespaces(namespaces) => {
            for namespace in namespaces {
                let mut rules = rules(WATCHED);
                rules.extend(legacy_rules(config));
                objects.extend(role("watched", namespace, rules, config));
            }
        }
    }
    objects.extend(cluster_role(cluster, config));
    let mut own = rules(OWN);
    own.extend(OWN_NAMED.iter().map(|(right, name)| PolicyRule {
        resource_names: Some(vec![(*name).to_owned()]),
        ..rule(right)
    }));
    if let Exposure::Gateways(gateways) = config.edge.exposure() {
        let hops = [&gateways.external, &gateways.internal];
        let namespaces: BTreeSet<_> = hops.iter().map(|hop| &hop.gateway.namespace).collect();
        for namespace in namespaces {
            objects.extend(role("gateways", namespace, rules(GATEWAYS), config));
        }
    }
    objects.extend(role("own", &config.namespace, own, config));
    if let Some(namespace) = &config.legacy.keys_namespace {
        objects.extend(role("legacy", namespace, legacy_rules(config), config));
    }
    objects
}

fn legacy_rules(config: &Config) -> Vec<PolicyRule> {
    let verbs: &[&str] = match config.legacy.mode {
        legacy::Mode::Keep => return Vec::new(),
        legacy::Mode::DryRun => &["list"],
        legacy::Mode::Remove => &["list", "delete"],
    };
    let rule = |(group, resource): (&str, String)| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    legacy::rights().map(rule).collect()
}

fn rules(rights: &[Right]) -> Vec<PolicyRule> {
    rights.iter().map(rule).collect()
}

fn rule((group, resources, verbs): &Right) -> PolicyRule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    PolicyRule {
        api_groups: Some(vec![(*group).to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

fn role(part: &str, namespace: &str, rules: Vec<PolicyRule>, config: &Config) -> [Value; 2] {
    let metadata = ObjectMeta {
        // Several installations may share a namespace, such as that of the Gateways.
        name: Some(format!("{NAME}-{part}-{}", config.namespace)),
        namespace: Some(namespace.to_owned()),
        ..ObjectMeta::default()
    };
    let role = Role { metadata: metadata.clone(), rules: Some(rules) };
    let binding = RoleBinding {
        role_ref: reference("Role", metadata.name.clone()),
        metadata,
        subjects: Some(vec![subject(config)]),
    };
    [value(&role), value(&binding)]
}

fn cluster_role(rules: Vec<PolicyRule>, config: &Config) -> [Value; 2] {
    // Two installations in one cluster do not share it.
    let name = Some(format!("{NAME}-{}", config.namespace));
    let metadata = ObjectMeta { name, ..ObjectMeta::default() };
    let role =
        ClusterRole { metadata: metadata.clone(), rules: Some(rules), ..ClusterRole::default() };
    let binding = ClusterRoleBinding {
        role_ref: reference("ClusterRole", metadata.name.clone()),
        metadata,
        subjects: Some(vec![subject(config)]),
    };
    [value(&role), value(&binding)]
}

fn reference(kind: &str, name: Option<String>) -> RoleRef {
    RoleRef {
        api_group: Some("rbac.authorization.k8s.io".into()),
        kind: kind.into(),
        name: name.unwrap_or_default(),
    }
}

fn subject(config: &Config) -> Subject {
    Subject {
        kind: "ServiceAccount".into(),
        name: NAME.into(),
        namespace: Some(config.namespace.clone()),
        ..Subject::default()
    }
}

/// Structs of strings always become JSON.
fn value(object: &impl serde::Serialize) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::cli::{Cli, Command};
    use clap::Parser;

    fn objects_of(namespace: &str) -> Vec<Value> {
        let words = [
            "llm-operator",
            "rbac",
            "--base-domain=example.org",
            "--external-gateway-name=a",
            "--internal-gateway-name=b",
            "--oidc-issuer-url=https://sso.example.org",
            "--watch-namespaces=models",
            "--namespace",
            namespace,
        ];
        let Command::Rbac(options) = Cli::parse_from(words).command else {
            panic!("rbac expected")
        };
        objects(&options.check("h").unwrap())
    }

    fn names(objects: &[Value]) -> BTreeSet<String> {
        let name = |it: &Value| {
            format!("{} {}/{}", it["kind"], it["metadata"]["namespace"], it["metadata"]["name"])
        };
        objects.iter().map(name).collect()
    }

    #[test]
    fn two_installations_that_share_namespaces_do_not_share_rights() {
        let (one, other) = (names(&objects_of("one")), names(&objects_of("other")));
        assert_eq!(one.len(), 8);
        assert!(one.is_disjoint(&other), "{one:?} {other:?}");
    }

    #[test]
    fn in_its_own_namespace_the_operator_changes_objects_of_its_names_only() {
        let objects = objects_of("llm");
        let own = objects.iter().find(|it| it["metadata"]["name"] == "llm-operator-own-llm");
        let rules: Vec<PolicyRule> = serde_json::from_value(own.unwrap()["rules"].clone()).unwrap();
        for (resource, verb, name) in [
            ("leases", "update", run::LEASE),
            ("secrets", "update", proxies::AUTHORITY),
            ("configmaps", "patch", proxies::AUTHORITY),
        ] {
            let allows = |rule: &&PolicyRule| {
                rule.resources.iter().flatten().any(|it| it == resource)
                    && rule.verbs.iter().any(|it| it == verb)
            };
            let allowing: Vec<_> = rules.iter().filter(allows).collect();
            assert_eq!(allowing.len(), 1, "{resource}");
            assert_eq!(allowing[0].resource_names, Some(vec![name.to_owned()]));
        }
    }
}
