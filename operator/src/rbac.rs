//! The minimal RBAC permissions of the operator. Pure.
//!
//! A test runs the operator with exactly these permissions and fails on a forbidden call. Access to
//! users' objects is granted only in the watched namespaces; cluster-wide access is limited to
//! custom resource definitions, token reviews and, if all namespaces are watched, namespaces.

use crate::{
    app::{config::Config, run, settings::WatchScope},
    edge::settings::Exposure,
    legacy, proxies,
};
use k8s_openapi::api::rbac::v1::PolicyRule;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The service account, and the prefix of the roles' names.
pub const NAME: &str = "llm-operator";
/// API group, resources and verbs of a rule.
type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

const READ: &[&str] = &["get", "list", "watch"];
const MANAGE: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// In every watched namespace.
const WATCHED: &[Rule] = &[
    // Patch: to remove the finalizer of the first release.
    ("llm.nebari.dev", &["llmmodels", "passthroughmodels"], &["get", "list", "watch", "patch"]),
    ("llm.nebari.dev", &["apikeys"], READ),
    (
        "llm.nebari.dev",
        &["llmmodels/status", "passthroughmodels/status", "apikeys/status"],
        &["patch"],
    ),
    // Required for owner references that block deletion if that admission plugin is enabled.
    ("llm.nebari.dev", &["llmmodels/finalizers", "passthroughmodels/finalizers"], &["update"]),
    ("", &["services", "serviceaccounts", "persistentvolumeclaims"], MANAGE),
    ("apps", &["deployments"], MANAGE),
    ("networking.k8s.io", &["networkpolicies"], MANAGE),
    ("monitoring.coreos.com", &["podmonitors"], MANAGE),
    ("", &["pods", "secrets"], READ),
    ("", &["pods/log"], &["get"]),
    ("discovery.k8s.io", &["endpointslices"], READ),
    ("events.k8s.io", &["events"], &["create", "patch"]),
];
/// In the operator's own namespace. RBAC cannot restrict `create` to names.
const OWN: &[Rule] = &[
    ("coordination.k8s.io", &["leases"], &["create"]),
    ("", &["secrets"], &["get", "list", "watch", "create"]),
    ("", &["configmaps"], &["create"]),
    ("cert-manager.io", &["certificates"], MANAGE),
    // Also without Gateways, to remove what remains from a time with them.
    ("gateway.networking.k8s.io", &["httproutes", "referencegrants"], MANAGE),
];
/// In the operator's own namespace, each for one named object.
const OWN_NAMED: &[(Rule, &str)] = &[
    (("coordination.k8s.io", &["leases"], &["get", "update"]), run::LEASE),
    (("", &["secrets"], &["update"]), proxies::AUTHORITY),
    (("", &["configmaps"], &["get", "list", "watch", "patch"]), proxies::AUTHORITY),
];
/// In the namespaces of the Gateways.
const GATEWAYS: &[Rule] =
    &[("gateway.networking.k8s.io", &["gateways"], &["get", "list", "watch", "patch"])];
/// Cluster-wide.
const CLUSTER: &[Rule] = &[
    ("apiextensions.k8s.io", &["customresourcedefinitions"], READ),
    ("authentication.k8s.io", &["tokenreviews"], &["create"]),
];
/// Cluster-wide, if all namespaces are watched.
const NAMESPACES: Rule = ("", &["namespaces"], READ);

/// The Roles and ClusterRole for a configuration, each with its binding.
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
                objects.extend(role("watched", namespace, &rules, config));
            }
        }
    }
    objects.extend(cluster_role(&cluster, config));
    let mut own = rules(OWN);
    own.extend(OWN_NAMED.iter().map(|(of, name)| PolicyRule {
        resource_names: Some(vec![(*name).to_owned()]),
        ..rule(of)
    }));
    if let Exposure::Gateways(gateways) = config.edge.exposure() {
        let hops = [&gateways.external, &gateways.internal];
        let namespaces: BTreeSet<_> = hops.iter().map(|hop| &hop.gateway.namespace).collect();
        for namespace in namespaces {
            objects.extend(role("gateways", namespace, &rules(GATEWAYS), config));
        }
    }
    objects.extend(role("own", &config.namespace, &own, config));
    if let Some(namespace) = &config.legacy.keys_namespace {
        objects.extend(role("legacy", namespace, &legacy_rules(config), config));
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
    legacy::resources().map(rule).collect()
}

fn rules(rules: &[Rule]) -> Vec<PolicyRule> {
    rules.iter().map(rule).collect()
}

fn rule((group, resources, verbs): &Rule) -> PolicyRule {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    PolicyRule {
        api_groups: Some(vec![(*group).to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

fn role(part: &str, namespace: &str, rules: &[PolicyRule], config: &Config) -> [Value; 2] {
    // Several installations may share a namespace, such as that of the Gateways.
    let name = format!("{NAME}-{part}-{}", config.namespace);
    with_binding("Role", &json!({"name": name, "namespace": namespace}), rules, config)
}

fn cluster_role(rules: &[PolicyRule], config: &Config) -> [Value; 2] {
    let name = format!("{NAME}-{}", config.namespace);
    with_binding("ClusterRole", &json!({"name": name}), rules, config)
}

fn with_binding(kind: &str, metadata: &Value, rules: &[PolicyRule], config: &Config) -> [Value; 2] {
    const GROUP: &str = "rbac.authorization.k8s.io";
    let api_version = format!("{GROUP}/v1");
    [
        json!({"apiVersion": api_version, "kind": kind, "metadata": metadata, "rules": rules}),
        json!({
            "apiVersion": api_version,
            "kind": format!("{kind}Binding"),
            "metadata": metadata,
            "roleRef": {"apiGroup": GROUP, "kind": kind, "name": metadata["name"]},
            "subjects": [
                {"kind": "ServiceAccount", "name": NAME, "namespace": config.namespace},
            ],
        }),
    ]
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
