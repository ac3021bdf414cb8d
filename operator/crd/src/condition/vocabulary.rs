//! Condition types and reasons, each documented once for the compiler and the reference.

use strum::{Display, EnumMessage, IntoStaticStr, VariantArray};

/// What a condition reports on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumMessage, IntoStaticStr, VariantArray)]
pub enum ConditionType {
    /// Whether the resource is valid: its model ids do not conflict with other resources, and
    /// everything it refers to exists. Nothing is served from a resource that is not accepted.
    Accepted,
    /// Whether the weights are in place for vLLM.
    WeightsReady,
    /// Whether vLLM replicas are serving the model.
    ServingReady,
    /// Whether the provider, its credential and its CA certificates are in the route table.
    BackendConfigured,
    /// Whether the provider's API key was found.
    UpstreamCredentialResolved,
    /// Whether the endpoint for callers with API keys is set up.
    ExternalEndpointReady,
    /// Whether the endpoint for callers with identity provider tokens is set up.
    InternalEndpointReady,
    /// Whether every ready proxy has applied this generation of the resource.
    RouteProgrammed,
    /// Whether any fields are set that have no effect. `False` is the healthy state. An ApiKey has
    /// this condition only while a field is ignored.
    Ignored,
    /// Whether the key can be used.
    Active,
}

/// Why a condition has its status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumMessage, IntoStaticStr, VariantArray)]
pub enum Reason {
    /// The resource is valid.
    Accepted,
    /// Another resource already has this model id. An LLMModel takes precedence over a
    /// PassthroughModel in any namespace; between two resources of the same kind, the older one
    /// wins. Choose another id or delete the other resource; the message names it.
    ModelIdTaken,
    /// A resource of another kind in this namespace has the same name. Rename one of them.
    NameTaken,
    /// The Secret named by the resource does not exist. Create it in the resource's namespace; the
    /// message names it.
    SecretMissing,
    /// The Secret exists but lacks a required key. Add the key; the message names it.
    SecretKeyMissing,
    /// The operator does not watch this namespace, or the namespace lacks the label
    /// `nebari.dev/managed=true`. Label the namespace or move the resource.
    NamespaceNotWatched,
    /// A field has an invalid value. The message names the field and what it expects.
    InvalidSpec,
    /// The resource uses a feature that this version of the gateway does not support. The message
    /// names it.
    NotSupported,
    /// The weights are being downloaded. `status.download` shows the progress.
    Downloading,
    /// The weights are on the volume, complete and verified.
    Downloaded,
    /// The volume is not bound yet. If this persists, check the PersistentVolumeClaim and its
    /// StorageClass.
    WaitingForVolume,
    /// The PersistentVolumeClaim named by the resource does not exist. Create it or correct
    /// `spec.model.storage.claimName`.
    ClaimMissing,
    /// The download failed and is being retried. The message contains the hub's response.
    DownloadFailed,
    /// Nothing is required: the weights are already in place, or the provider needs no API key.
    NotNeeded,
    /// All replicas are serving.
    Ready,
    /// Some replicas are serving, but not all.
    Degraded,
    /// vLLM is starting. Loading the weights can take several minutes.
    Starting,
    /// vLLM is waiting for the weights.
    WaitingForWeights,
    /// No node can run a pod. The message contains the scheduler's explanation; often no GPU is
    /// free.
    Unschedulable,
    /// An image cannot be pulled. Check its name and `spec.serving.imagePullSecrets`.
    ImagePullFailed,
    /// vLLM keeps crashing. The message contains the last line of its log.
    CrashLoop,
    /// No replica is running because none is currently requested.
    ScaledToZero,
    /// Everything required is set up.
    Applied,
    /// The cluster rejected an object. The message contains its response; the operator retries.
    ApplyFailed,
    /// The resource disables this endpoint.
    EndpointDisabled,
    /// The Gateway in the operator's configuration does not exist. Check the operator's settings.
    GatewayMissing,
    /// The Gateway has no listener for this endpoint, or does not accept it. Check the Gateway's
    /// status.
    ListenerMissing,
    /// The certificate for this endpoint is missing, invalid, or not issued yet.
    CertificateNotReady,
    /// The Gateway API is not installed. Install it or choose another exposure mode.
    GatewayApiMissing,
    /// Every ready proxy has applied this generation.
    Programmed,
    /// Some proxies have not applied this generation yet. This usually takes a second.
    Waiting,
    /// A proxy rejected the route. The message explains why.
    Refused,
    /// The routes, or the route table including them, are too large for the proxies. The message
    /// states the size and the limit. Routes that were already applied stay active; a key does
    /// not.
    TooLarge,
    /// No proxy is connected to the operator. Check the proxies.
    NoProxy,
    /// Nothing is set up for this resource, for example because it is not accepted.
    NotDesired,
    /// The provider's API key was found.
    Resolved,
    /// The Kubernetes API could not be queried. The operator retries.
    LookupFailed,
    /// Some fields are set but have no effect. The message lists them.
    FieldsIgnored,
    /// Every field that is set takes effect.
    NothingIgnored,
    /// The key can be used.
    Active,
    /// The key has expired, or its overlap with the key that replaces it has ended.
    Expired,
    /// The key is suspended. Set `spec.suspended` to false to reactivate it.
    Suspended,
    /// None of the key's models exist, or its owner has access to none of them.
    NoModelLeft,
    /// The key is not valid yet.
    NotYetValid,
    /// `spec.hash` is not an argon2id PHC string, or exceeds the cost that the proxies allow.
    InvalidHash,
}

impl ConditionType {
    /// All condition types, in the order of the reference.
    pub const ALL: &[Self] = Self::VARIANTS;
    /// The conditions of an LLMModel.
    pub const LLM_MODEL: &[Self] = &[
        Self::Accepted,
        Self::WeightsReady,
        Self::ServingReady,
        Self::ExternalEndpointReady,
        Self::InternalEndpointReady,
        Self::RouteProgrammed,
        Self::Ignored,
    ];
    /// The conditions of a PassthroughModel.
    pub const PASSTHROUGH_MODEL: &[Self] = &[
        Self::Accepted,
        Self::BackendConfigured,
        Self::UpstreamCredentialResolved,
        Self::ExternalEndpointReady,
        Self::InternalEndpointReady,
        Self::RouteProgrammed,
        Self::Ignored,
    ];
    /// The conditions of an ApiKey.
    pub const API_KEY: &[Self] = &[Self::Active, Self::Ignored];

    /// The name in a condition's `type`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The description in the reference.
    pub fn doc(self) -> &'static str {
        self.get_documentation().unwrap_or_default().trim_end()
    }

    /// The reasons of this condition, healthy ones first.
    pub fn reasons(self) -> &'static [Reason] {
        match self {
            Self::Accepted => ACCEPTED,
            Self::WeightsReady => WEIGHTS_READY,
            Self::ServingReady => SERVING_READY,
            Self::BackendConfigured => BACKEND_CONFIGURED,
            Self::UpstreamCredentialResolved => UPSTREAM_CREDENTIAL_RESOLVED,
            Self::ExternalEndpointReady | Self::InternalEndpointReady => ENDPOINT,
            Self::RouteProgrammed => ROUTE_PROGRAMMED,
            Self::Ignored => IGNORED,
            Self::Active => ACTIVE,
        }
    }
}

const ACCEPTED: &[Reason] = &[
    Reason::Accepted,
    Reason::ModelIdTaken,
    Reason::NameTaken,
    Reason::SecretMissing,
    Reason::SecretKeyMissing,
    Reason::NamespaceNotWatched,
    Reason::InvalidSpec,
    Reason::NotSupported,
];
const WEIGHTS_READY: &[Reason] = &[
    Reason::Downloaded,
    Reason::NotNeeded,
    Reason::Downloading,
    Reason::WaitingForVolume,
    Reason::ClaimMissing,
    Reason::DownloadFailed,
    Reason::NotDesired,
];
const SERVING_READY: &[Reason] = &[
    Reason::Ready,
    Reason::Degraded,
    Reason::Starting,
    Reason::WaitingForWeights,
    Reason::Unschedulable,
    Reason::ImagePullFailed,
    Reason::CrashLoop,
    Reason::ScaledToZero,
    Reason::ApplyFailed,
    Reason::NotDesired,
];
const BACKEND_CONFIGURED: &[Reason] = &[
    Reason::Applied,
    Reason::ApplyFailed,
    Reason::SecretMissing,
    Reason::SecretKeyMissing,
    Reason::NotDesired,
];
const UPSTREAM_CREDENTIAL_RESOLVED: &[Reason] = &[
    Reason::Resolved,
    Reason::NotNeeded,
    Reason::SecretMissing,
    Reason::SecretKeyMissing,
    Reason::LookupFailed,
];
const ENDPOINT: &[Reason] = &[
    Reason::Applied,
    Reason::ApplyFailed,
    Reason::EndpointDisabled,
    Reason::GatewayMissing,
    Reason::ListenerMissing,
    Reason::CertificateNotReady,
    Reason::GatewayApiMissing,
];
const ROUTE_PROGRAMMED: &[Reason] = &[
    Reason::Programmed,
    Reason::Waiting,
    Reason::Refused,
    Reason::TooLarge,
    Reason::NoProxy,
    Reason::NotDesired,
];
const IGNORED: &[Reason] = &[Reason::NothingIgnored, Reason::FieldsIgnored];
const ACTIVE: &[Reason] = &[
    Reason::Active,
    Reason::NotYetValid,
    Reason::Expired,
    Reason::Suspended,
    Reason::NoModelLeft,
    Reason::TooLarge,
    Reason::InvalidHash,
    Reason::NamespaceNotWatched,
    Reason::InvalidSpec,
];

impl Reason {
    /// All reasons, in the order of the reference.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// The name in a condition's `reason`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The description in the reference: the meaning and the remedy.
    pub fn doc(self) -> &'static str {
        self.get_documentation().unwrap_or_default().trim_end()
    }

    /// The status this reason implies: `True`, `False` or `Unknown`.
    pub fn status(self) -> &'static str {
        let is_true = matches!(
            self,
            Self::Accepted
                | Self::Downloaded
                | Self::NotNeeded
                | Self::Ready
                | Self::Applied
                | Self::Programmed
                | Self::Resolved
                | Self::FieldsIgnored
                | Self::Active
        );
        if is_true {
            return "True";
        }
        if self == Self::LookupFailed { "Unknown" } else { "False" }
    }
}
