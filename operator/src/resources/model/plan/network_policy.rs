//! Who may reach the pods of a model: the proxies, and what reads their metrics.

use super::{INSTANCE, Planner, vllm::PORT};
use crate::apply::Object;
use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use std::collections::BTreeMap;

/// The label with the name of a program.
const NAME: &str = "app.kubernetes.io/name";
/// What the endpoint pickers of the first release are called.
const OLDER_PICKER: &str = "epp";
/// The label with the name of a namespace.
const NAMESPACE: &str = "kubernetes.io/metadata.name";

impl Planner<'_> {
    pub(super) fn network_policy(&self) -> Object {
        let proxies = &self.settings.proxies;
        let mut peers = vec![NetworkPolicyPeer {
            namespace_selector: Some(named(&proxies.namespace)),
            pod_selector: Some(labelled(proxies.labels.clone())),
            ..NetworkPolicyPeer::default()
        }];
        peers.extend(self.settings.monitoring_namespace.as_ref().map(|namespace| {
            NetworkPolicyPeer {
                namespace_selector: Some(named(namespace)),
                ..NetworkPolicyPeer::default()
            }
        }));
        let rule = |peer| NetworkPolicyIngressRule {
            from: Some(vec![peer]),
            ports: Some(vec![NetworkPolicyPort {
                port: Some(IntOrString::Int(PORT.0)),
                protocol: Some("TCP".into()),
                ..NetworkPolicyPort::default()
            }]),
        };
        let mut ingress: Vec<_> = peers.into_iter().map(rule).collect();
        ingress.extend(self.older_gateways());
        let name = self.name().to_owned();
        let pods = [(INSTANCE.to_owned(), name.clone()), ("llm.nebari.dev/model".to_owned(), name)];
        let policy = NetworkPolicy {
            metadata: self.metadata(),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(labelled(pods.into())),
                policy_types: Some(vec!["Ingress".into()]),
                ingress: Some(ingress),
                ..NetworkPolicySpec::default()
            }),
        };
        Object::of(self.model.names.policy.clone(), &policy)
    }
}

impl Planner<'_> {
    /// While routes of the first release may be in force, its Gateways send requests to pods
    /// themselves, and its endpoint pickers ask them how busy they are.
    fn older_gateways(&self) -> Option<NetworkPolicyIngressRule> {
        let namespaces = &self.settings.older_gateways;
        let mut from: Vec<_> = namespaces
            .iter()
            .map(|namespace| NetworkPolicyPeer {
                namespace_selector: Some(named(namespace)),
                ..NetworkPolicyPeer::default()
            })
            .collect();
        from.push(NetworkPolicyPeer {
            pod_selector: Some(labelled([(NAME.to_owned(), OLDER_PICKER.to_owned())].into())),
            ..NetworkPolicyPeer::default()
        });
        let rule = NetworkPolicyIngressRule { from: Some(from), ports: None };
        (!namespaces.is_empty()).then_some(rule)
    }
}

fn named(namespace: &str) -> LabelSelector {
    labelled([(NAMESPACE.to_owned(), namespace.to_owned())].into())
}

fn labelled(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}
