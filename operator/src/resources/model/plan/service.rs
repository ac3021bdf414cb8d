//! The Service of a model, and the ServiceAccount of its pods.

use super::{planner::Planner, pod::PORT};
use crate::{apply::Object, resources::model::names::selector};
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

    /// Models do not use the Kubernetes API. This is not set in the pod template, because that would
    /// restart running pods.
    pub(super) fn service_account(&self) -> Object {
        let account = ServiceAccount {
            metadata: self.metadata(),
            automount_service_account_token: Some(false),
            ..ServiceAccount::default()
        };
        Object::of(self.model.names.service_account.clone(), &account)
    }
}
