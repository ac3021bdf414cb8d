//! The kinds and names of legacy objects. Other objects with the label of the first release are not
//! ours to remove.

use crate::edge::settings::Entry;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ApiResource;
use llm_contract::ResourceName;
use std::fmt;

/// An object created by the first release.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LegacyObject {
    pub(super) resource: ApiResource,
    pub(super) name: ResourceName,
    pub(super) uid: String,
    /// The model it was created for.
    pub(super) model: ResourceName,
    pub(super) role: Role,
    pub(super) is_terminating: bool,
}

/// The purpose of a legacy object, in the order of removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Routes requests of an entry to the model.
    Route(Entry),
    /// The same, as translated by a controller.
    GeneratedRoute(Entry),
    /// Authorizes requests.
    Policy(Entry),
    /// The pods of the model. Its controller crashes if the endpoint picker is removed first.
    Pool,
    /// What those refer to.
    Dependency,
}

/// A kind, and the name suffixes of its legacy objects by role.
#[derive(Debug)]
pub(super) struct LegacyKind {
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    names: &'static [(&'static str, Role)],
}

const AI: &str = "aigateway.envoyproxy.io";
const ENVOY: &str = "gateway.envoyproxy.io";
const GATEWAYS: &str = "gateway.networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const EXTERNAL: Entry = Entry::External;
const INTERNAL: Entry = Entry::Internal;
const PICKER: &[(&str, Role)] = &[("-epp", Role::Dependency)];

/// All legacy kinds except grants, keys, and what the operator still creates.
pub(super) const KINDS: &[LegacyKind] = &[
    LegacyKind {
        group: AI,
        kind: "AIGatewayRoute",
        names: &[("-external", Role::Route(EXTERNAL)), ("-internal", Role::Route(INTERNAL))],
    },
    LegacyKind {
        group: GATEWAYS,
        kind: "HTTPRoute",
        names: &[
            ("-external", Role::GeneratedRoute(EXTERNAL)),
            ("-internal", Role::GeneratedRoute(INTERNAL)),
        ],
    },
    LegacyKind {
        group: ENVOY,
        kind: "SecurityPolicy",
        names: &[
            ("-external-auth", Role::Policy(EXTERNAL)),
            ("-internal-auth", Role::Policy(INTERNAL)),
        ],
    },
    LegacyKind {
        group: "inference.networking.k8s.io",
        kind: "InferencePool",
        names: &[("", Role::Pool)],
    },
    LegacyKind { group: AI, kind: "AIServiceBackend", names: &[("", Role::Dependency)] },
    LegacyKind {
        group: AI,
        kind: "BackendSecurityPolicy",
        names: &[("-upstream-auth", Role::Dependency)],
    },
    LegacyKind {
        group: GATEWAYS,
        kind: "BackendTLSPolicy",
        names: &[("-backend-tls", Role::Dependency)],
    },
    LegacyKind { group: ENVOY, kind: "Backend", names: &[("-backend", Role::Dependency)] },
    LegacyKind { group: "apps", kind: "Deployment", names: PICKER },
    LegacyKind { group: "", kind: "Service", names: PICKER },
    LegacyKind { group: "", kind: "ConfigMap", names: &[("-epp-config", Role::Dependency)] },
    LegacyKind { group: RBAC, kind: "RoleBinding", names: PICKER },
    LegacyKind { group: RBAC, kind: "Role", names: PICKER },
    LegacyKind { group: "", kind: "ServiceAccount", names: PICKER },
];

/// Grants that let routes read keys of another namespace.
pub(super) const GRANT: LegacyKind = LegacyKind {
    group: GATEWAYS,
    kind: "ReferenceGrant",
    names: &[("-ref-grant", Role::Dependency)],
};

const MODEL: &str = "llm.nebari.dev/model";

impl LegacyKind {
    pub(super) fn recognize(
        &self,
        resource: &ApiResource,
        object: &ObjectMeta,
    ) -> Option<LegacyObject> {
        let (namespace, name) = (object.namespace.as_deref()?, object.name.as_deref()?);
        let model = object.labels.as_ref()?.get(MODEL)?;
        let rest = name.strip_prefix(model.as_str())?;
        let (_, role) = self.names.iter().find(|(suffix, _)| *suffix == rest)?;
        LegacyObject::of(resource, object, (namespace, model), *role)
    }

    /// Recognizes an object that a controller generated from another legacy object. Not every
    /// controller copies labels.
    pub(super) fn recognize_generated(
        &self,
        resource: &ApiResource,
        object: &ObjectMeta,
        sources: &[LegacyObject],
    ) -> Option<LegacyObject> {
        let owners = object.owner_references.as_ref()?;
        let source = sources.iter().find(|it| owners.iter().any(|owner| owner.uid == it.uid))?;
        let Role::Route(entry) = source.role else { return None };
        let is_known = self.names.iter().any(|(_, role)| *role == Role::GeneratedRoute(entry));
        if !is_known || object.name.as_deref() != Some(source.name.name()) {
            return None;
        }
        let model = (source.model.namespace(), source.model.name());
        LegacyObject::of(resource, object, model, Role::GeneratedRoute(entry))
    }
}

/// Recognizes a grant, which is named after the model and the model's namespace.
pub(super) fn recognize_grant(resource: &ApiResource, object: &ObjectMeta) -> Option<LegacyObject> {
    let model = object.labels.as_ref()?.get(MODEL)?;
    let rest = object.name.as_deref()?.strip_prefix(model.as_str())?.strip_prefix('-')?;
    let (suffix, role) = GRANT.names.first()?;
    let namespace = rest.strip_suffix(suffix)?;
    LegacyObject::of(resource, object, (namespace, model), *role)
}

/// Groups and plural resources that [`crate::rbac`] has to allow.
pub fn resources() -> impl Iterator<Item = (&'static str, String)> {
    KINDS.iter().chain([&GRANT]).map(|it| {
        let kind = it.kind.to_ascii_lowercase();
        let plural = match kind.strip_suffix('y') {
            Some(stem) => format!("{stem}ies"),
            None => format!("{kind}s"),
        };
        (it.group, plural)
    })
}

impl LegacyObject {
    fn of(
        resource: &ApiResource,
        object: &ObjectMeta,
        (namespace, model): (&str, &str),
        role: Role,
    ) -> Option<Self> {
        let place =
            |namespace: &str, name: &str| ResourceName::parse(&format!("{namespace}/{name}")).ok();
        Some(Self {
            resource: resource.clone(),
            name: place(object.namespace.as_deref()?, object.name.as_deref()?)?,
            uid: object.uid.clone()?,
            model: place(namespace, model)?,
            role,
            is_terminating: object.deletion_timestamp.is_some(),
        })
    }
}

impl fmt::Display for LegacyObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource.kind, self.name)
    }
}
