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
        peers.extend(self.settings.monitoring_namespace.as_ref().map(|namespace| NetworkPolicyPeer {
            namespace_selector: Some(named(namespace)),
            ..NetworkPolicyPeer::default()
        }));
        let rule = |peer| NetworkPolicyIngressRule {
            from: Some(vec![peer]),
            ports: Some(vec![NetworkPolicyPort {
                port: Some(IntOrString::Int(PORT.0)),
                protocol: Some("TCP".into()),
                ..NetworkPolicyPort::default()
            }]),
        };
        let name = self.name().to_owned();
        let pods = [(INSTANCE.to_owned(), name.clone()), ("llm.nebari.dev/model".to_owned(), name)];
        let policy = NetworkPolicy {
            metadata: self.metadata(),
            spec: Some(NetworkPolicySpec {
                pod_selector: Some(labelled(pods.into())),
                policy_types: Some(vec!["Ingress".into()]),
                ingress: Some(peers.into_iter().map(rule).collect()),
                ..NetworkPolicySpec::default()
            }),
        };
        Object::of(self.model.names.policy.clone(), &policy)
    }
}

fn named(namespace: &str) -> LabelSelector {
    labelled([(NAMESPACE.to_owned(), namespace.to_owned())].into())
}

fn labelled(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}
