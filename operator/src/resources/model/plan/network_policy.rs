//! The NetworkPolicy of a model: only proxies and Prometheus reach its pods.

use super::{planner::Planner, pod::PORT};
use crate::{apply::Object, labels::INSTANCE};
use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort,
        NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use std::collections::BTreeMap;

const NAME: &str = "app.kubernetes.io/name";
/// The name of the endpoint pickers of the first release.
const ENDPOINT_PICKER: &str = "epp";
const NAMESPACE: &str = "kubernetes.io/metadata.name";

impl Planner<'_> {
    pub(super) fn network_policy(&self) -> Object {
        let proxies = &self.settings.proxies;
        let mut peers = vec![NetworkPolicyPeer {
            pod_selector: Some(labelled(proxies.labels.clone())),
            ..namespace_peer(&proxies.namespace)
        }];
        peers.extend(self.settings.monitoring_namespace.as_deref().map(namespace_peer));
        let rule = |peer| NetworkPolicyIngressRule {
            from: Some(vec![peer]),
            ports: Some(vec![NetworkPolicyPort {
                port: Some(IntOrString::Int(PORT.0)),
                protocol: Some("TCP".into()),
                ..NetworkPolicyPort::default()
            }]),
        };
        let mut ingress: Vec<_> = peers.into_iter().map(rule).collect();
        ingress.extend(self.legacy_gateways());
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
        Object::of(self.model.names.network_policy.clone(), &policy)
    }

    /// While routes of the first release may exist, its Gateways send requests directly to pods,
    /// and its endpoint pickers query their load.
    fn legacy_gateways(&self) -> Option<NetworkPolicyIngressRule> {
        let namespaces = &self.settings.older_gateways;
        let mut from: Vec<_> = namespaces.iter().map(|it| namespace_peer(it)).collect();
        from.push(NetworkPolicyPeer {
            pod_selector: Some(labelled([(NAME.to_owned(), ENDPOINT_PICKER.to_owned())].into())),
            ..NetworkPolicyPeer::default()
        });
        let rule = NetworkPolicyIngressRule { from: Some(from), ports: None };
        (!namespaces.is_empty()).then_some(rule)
    }
}

fn namespace_peer(namespace: &str) -> NetworkPolicyPeer {
    NetworkPolicyPeer {
        namespace_selector: Some(labelled([(NAMESPACE.to_owned(), namespace.to_owned())].into())),
        ..NetworkPolicyPeer::default()
    }
}

fn labelled(labels: BTreeMap<String, String>) -> LabelSelector {
    LabelSelector { match_labels: Some(labels), ..LabelSelector::default() }
}
