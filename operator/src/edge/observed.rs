//! What the edge observes in the cluster.

use super::{certificate::check::TlsSecret, settings::GatewayName};
use kube::api::ApiResource;
use serde_json::Value;
use std::collections::BTreeMap;

/// A kind of another project that the edge uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExternalKind {
    Gateway,
    HttpRoute,
    ReferenceGrant,
    Certificate,
}

impl ExternalKind {
    pub(super) const ALL: [Self; 4] =
        [Self::Gateway, Self::HttpRoute, Self::ReferenceGrant, Self::Certificate];

    /// The name of its custom resource definition.
    pub(super) const fn definition(self) -> &'static str {
        match self {
            Self::Gateway => "gateways.gateway.networking.k8s.io",
            Self::HttpRoute => "httproutes.gateway.networking.k8s.io",
            Self::ReferenceGrant => "referencegrants.gateway.networking.k8s.io",
            Self::Certificate => "certificates.cert-manager.io",
        }
    }
}

/// The external kinds that are installed, in the version to use.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct InstalledKinds {
    pub(super) gateway: Option<ApiResource>,
    pub(super) http_route: Option<ApiResource>,
    pub(super) reference_grant: Option<ApiResource>,
    pub(super) certificate: Option<ApiResource>,
}

impl InstalledKinds {
    pub(super) fn get_mut(&mut self, kind: ExternalKind) -> &mut Option<ApiResource> {
        match kind {
            ExternalKind::Gateway => &mut self.gateway,
            ExternalKind::HttpRoute => &mut self.http_route,
            ExternalKind::ReferenceGrant => &mut self.reference_grant,
            ExternalKind::Certificate => &mut self.certificate,
        }
    }
}

/// The live objects of the edge.
#[derive(Debug, Default)]
pub(super) struct ObservedEdge {
    /// Our Certificate for cert-manager.
    pub(super) certificate: Option<Value>,
    /// The Secret with the certificate.
    pub(super) secret: Option<TlsSecret>,
    /// The Gateways in use, and those used before.
    pub(super) gateways: BTreeMap<GatewayName, Value>,
    /// Our ReferenceGrants.
    pub(super) grants: Vec<Value>,
    /// Our HTTPRoutes.
    pub(super) routes: Vec<Value>,
}
