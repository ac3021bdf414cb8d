//! The kinds and names that the older pack used. What has its label and another kind or name is
//! somebody else's, and stays.

use crate::edge::settings::Entry;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ApiResource;
use llm_contract::ResourceName;
use std::fmt;

/// Something that the older pack made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leftover {
    /// Its kind.
    pub(super) resource: ApiResource,
    /// Its name.
    pub(super) name: ResourceName,
    /// Which one it is of all that have had its name.
    pub(super) uid: String,
    /// The model it was made for.
    pub(super) model: ResourceName,
    /// What it is for.
    pub(super) part: Part,
    /// Whether it is being deleted.
    pub(super) leaving: bool,
}

/// What something is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Makes requests of an entry arrive at the model.
    Route(Entry),
    /// The same, as a controller translated it.
    Generated(Entry),
    /// Says who may.
    Policy(Entry),
    /// The pods of the model; its controller does not survive that the picker goes first.
    Pool,
    /// What those refer to.
    Rest,
}

/// A kind, and what its objects were called after the name of their model.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    names: &'static [(&'static str, Part)],
}

const AI: &str = "aigateway.envoyproxy.io";
const ENVOY: &str = "gateway.envoyproxy.io";
const GATEWAYS: &str = "gateway.networking.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const EXTERNAL: Entry = Entry::External;
const INTERNAL: Entry = Entry::Internal;
const PICKER: &[(&str, Part)] = &[("-epp", Part::Rest)];

/// Everything that it made, but for what the operator still makes, for keys, and for grants.
pub(super) const KNOWN: &[Known] = &[
    Known {
        group: AI,
        kind: "AIGatewayRoute",
        names: &[("-external", Part::Route(EXTERNAL)), ("-internal", Part::Route(INTERNAL))],
    },
    Known {
        group: GATEWAYS,
        kind: "HTTPRoute",
        names: &[
            ("-external", Part::Generated(EXTERNAL)),
            ("-internal", Part::Generated(INTERNAL)),
        ],
    },
    Known {
        group: ENVOY,
        kind: "SecurityPolicy",
        names: &[
            ("-external-auth", Part::Policy(EXTERNAL)),
            ("-internal-auth", Part::Policy(INTERNAL)),
        ],
    },
    Known {
        group: "inference.networking.k8s.io",
        kind: "InferencePool",
        names: &[("", Part::Pool)],
    },
    Known { group: AI, kind: "AIServiceBackend", names: &[("", Part::Rest)] },
    Known { group: AI, kind: "BackendSecurityPolicy", names: &[("-upstream-auth", Part::Rest)] },
    Known { group: GATEWAYS, kind: "BackendTLSPolicy", names: &[("-backend-tls", Part::Rest)] },
    Known { group: ENVOY, kind: "Backend", names: &[("-backend", Part::Rest)] },
    Known { group: "apps", kind: "Deployment", names: PICKER },
    Known { group: "", kind: "Service", names: PICKER },
    Known { group: "", kind: "ConfigMap", names: &[("-epp-config", Part::Rest)] },
    Known { group: RBAC, kind: "RoleBinding", names: PICKER },
    Known { group: RBAC, kind: "Role", names: PICKER },
    Known { group: "", kind: "ServiceAccount", names: PICKER },
];

/// The grants that let its routes read keys of another namespace.
pub(super) const GRANT: Known =
    Known { group: GATEWAYS, kind: "ReferenceGrant", names: &[("-ref-grant", Part::Rest)] };

/// The label with the name of the model.
const MODEL: &str = "llm.nebari.dev/model";

impl Known {
    /// What an object of this kind is, if the older pack made it.
    pub(super) fn recognize(
        &self,
        resource: &ApiResource,
        object: &ObjectMeta,
    ) -> Option<Leftover> {
        let (namespace, name) = (object.namespace.as_deref()?, object.name.as_deref()?);
        let model = object.labels.as_ref()?.get(MODEL)?;
        let rest = name.strip_prefix(model.as_str())?;
        let (_, part) = self.names.iter().find(|(suffix, _)| *suffix == rest)?;
        Leftover::of(resource, object, (namespace, model), *part)
    }

    /// What an object of this kind is, if a controller made it from one that was recognized. Not
    /// all of them copy labels.
    pub(super) fn recognize_generated(
        &self,
        resource: &ApiResource,
        object: &ObjectMeta,
        sources: &[Leftover],
    ) -> Option<Leftover> {
        let owners = object.owner_references.as_ref()?;
        let source = sources.iter().find(|it| owners.iter().any(|owner| owner.uid == it.uid))?;
        let Part::Route(entry) = source.part else { return None };
        let is_known = self.names.iter().any(|(_, part)| *part == Part::Generated(entry));
        if !is_known || object.name.as_deref() != Some(source.name.name()) {
            return None;
        }
        let model = (source.model.namespace(), source.model.name());
        Leftover::of(resource, object, model, Part::Generated(entry))
    }
}

/// What a grant is, if the older pack made it: it is called after the model and its namespace,
/// which is another one.
pub(super) fn recognize_grant(resource: &ApiResource, object: &ObjectMeta) -> Option<Leftover> {
    let model = object.labels.as_ref()?.get(MODEL)?;
    let rest = object.name.as_deref()?.strip_prefix(model.as_str())?.strip_prefix('-')?;
    let (suffix, part) = GRANT.names.first()?;
    let namespace = rest.strip_suffix(suffix)?;
    Leftover::of(resource, object, (namespace, model), *part)
}

impl Leftover {
    fn of(
        resource: &ApiResource,
        object: &ObjectMeta,
        (namespace, model): (&str, &str),
        part: Part,
    ) -> Option<Self> {
        let place =
            |namespace: &str, name: &str| ResourceName::parse(&format!("{namespace}/{name}")).ok();
        Some(Self {
            resource: resource.clone(),
            name: place(object.namespace.as_deref()?, object.name.as_deref()?)?,
            uid: object.uid.clone()?,
            model: place(namespace, model)?,
            part,
            leaving: object.deletion_timestamp.is_some(),
        })
    }
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource.kind, self.name)
    }
}
