//! The Service of a model, and the ServiceAccount of its pods.

use super::{Planner, selector, vllm::PORT};
use crate::apply::Object;
use k8s_openapi::{
    api::core::v1::{Service, ServiceAccount, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};

impl Planner<'_> {
    pub(super) fn service(&self) -> Object {
        let service = Service {
            metadata: self.metadata(),
            spec: Some(ServiceSpec {
                type_: Some("ClusterIP".into()),
                selector: Some(selector(self.name())),
                ports: Some(vec![ServicePort {
                    name: Some(PORT.1.into()),
                    port: PORT.0,
                    target_port: Some(IntOrString::String(PORT.1.into())),
                    protocol: Some("TCP".into()),
                    ..ServicePort::default()
                }]),
                ..ServiceSpec::default()
            }),
            ..Service::default()
        };
        Object::of(self.model.names.model.clone(), &service)
    }

    /// Models ask nothing of the cluster. It is said here and not in the pods, so that pods which
    /// run already are left alone.
    pub(super) fn service_account(&self) -> Object {
        let account = ServiceAccount {
            metadata: self.metadata(),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        };
        Object::of(self.model.names.account.clone(), &account)
    }
}
