//! The words: each with what it means, once for the compiler and once for the documentation.

/// Makes an enum whose variants are words, with their doc comments as text.
macro_rules! words {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[doc = $doc:literal])+ $word:ident,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[doc = $doc])+ $word,)+
        }

        impl $name {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$word),+];

            /// The word, as it stands in a condition.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                }
            }

            /// What it means, and what to do next.
            pub fn doc(self) -> &'static str {
                match self {
                    $(Self::$word => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// What a condition is about.
    pub enum ConditionType {
        /// Whether the resource makes sense beside the others: its ids are free, and what it
        /// refers to is there. Nothing is served from a resource that is not accepted.
        Accepted,
        /// Whether the weights are where vLLM looks for them.
        WeightsReady,
        /// Whether replicas of vLLM serve the model.
        ServingReady,
        /// Whether the provider, its credential and its certificates are in the route table.
        BackendConfigured,
        /// Whether the key for the provider was found.
        UpstreamCredentialResolved,
        /// Whether the endpoint for callers with API keys is set up.
        ExternalEndpointReady,
        /// Whether the endpoint for callers with tokens is set up.
        InternalEndpointReady,
        /// Whether every ready proxy has this generation of the resource in force.
        RouteProgrammed,
        /// Whether fields are set that have no effect. `False` is the good news here. An ApiKey has
        /// this condition only while something is ignored.
        Ignored,
        /// Whether the key is in force.
        Active,
    }
}

words! {
    /// Why a condition has the status it has.
    pub enum Reason {
        /// Nothing is wrong with the resource.
        Accepted,
        /// Another resource has this model id: an LLMModel goes before a PassthroughModel, in
        /// whichever namespace, and of two of a kind the older one goes first. Choose another id,
        /// or delete the other resource; the message names it.
        ModelIdTaken,
        /// A resource of another kind in this namespace has this name. Choose another name.
        NameTaken,
        /// The Secret that the resource names is not there. Create it in the namespace of the
        /// resource; the message names it.
        SecretMissing,
        /// The Secret is there, and lacks the key that is read. Add the key; the message names
        /// it.
        SecretKeyMissing,
        /// The operator does not watch this namespace, or the namespace lacks the label
        /// `nebari.dev/managed=true`. Label it, or move the resource.
        NamespaceNotWatched,
        /// The resource says something that cannot be. The message says which field, and what it
        /// should be.
        InvalidSpec,
        /// The resource asks for something that this version of the gateway cannot do. The message
        /// names it.
        NotSupported,
        /// The weights are being fetched. `status.download` says how far it is.
        Downloading,
        /// The weights are on the volume, complete and verified.
        Downloaded,
        /// The volume is not bound yet. If it stays so, look at the PersistentVolumeClaim and its
        /// StorageClass.
        WaitingForVolume,
        /// The PersistentVolumeClaim that the resource names is not there. Create it, or correct
        /// `spec.model.storage.claimName`.
        ClaimMissing,
        /// The download failed, and is tried again. The message has what the hub said.
        DownloadFailed,
        /// Nothing is needed: the weights are there already, or the provider asks for no key.
        NotNeeded,
        /// All replicas serve.
        Ready,
        /// Some replicas serve, and some do not.
        Degraded,
        /// vLLM is starting: it loads the weights, which may take minutes.
        Starting,
        /// vLLM waits for the weights.
        WaitingForWeights,
        /// No node can take a pod. The message has what the scheduler said; often no GPU is free.
        Unschedulable,
        /// An image cannot be pulled. Check its name and `spec.serving.imagePullSecrets`.
        ImagePullFailed,
        /// vLLM ends again and again. The message has its last line.
        CrashLoop,
        /// No replica runs, because none is wanted now.
        ScaledToZero,
        /// What is needed is set up.
        Applied,
        /// The cluster refused what is needed. The message has what it said; it is tried again.
        ApplyFailed,
        /// The resource disables this endpoint.
        EndpointDisabled,
        /// The Gateway that the operator was told of is not there. Check the operator's settings.
        GatewayMissing,
        /// The Gateway lacks the listener for this endpoint, or does not accept it. Look at the
        /// Gateway's status.
        ListenerMissing,
        /// The certificate for this endpoint is missing, does not fit, or is not issued yet.
        CertificateNotReady,
        /// The cluster lacks the Gateway API. Install it, or choose another mode of exposure.
        GatewayApiMissing,
        /// Every ready proxy has this generation in force.
        Programmed,
        /// Some proxies do not have this generation yet. It takes a second, usually.
        Waiting,
        /// A proxy refused the route. The message has why.
        Refused,
        /// Its routes, or the route table with it, are too large for the proxies. The message has
        /// the size and the limit. Routes that were in force before stay so; a key does not.
        TooLarge,
        /// No proxy is connected to the operator. Look at the proxies.
        NoProxy,
        /// Nothing is set up for this resource, for example because it is not accepted.
        NotDesired,
        /// The key for the provider was found.
        Resolved,
        /// The cluster could not be asked. It is tried again.
        LookupFailed,
        /// Some fields are set that have no effect. The message names them.
        FieldsIgnored,
        /// Every field that is set has its effect.
        NothingIgnored,
        /// The key is in force.
        Active,
        /// The time of the key is over: its own, or the overlap with the key that replaces it.
        Expired,
        /// Somebody suspended the key. Set `spec.suspended` to false to take it back.
        Suspended,
        /// None of the models that the key may ask for is there, or its owner may use none of
        /// them.
        NoModelLeft,
        /// The time of the key has not come.
        NotYetValid,
        /// `spec.hash` is not argon2id as a PHC string, or costs more than the proxies allow.
        InvalidHash,
    }
}

impl ConditionType {
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

    /// The reasons it gives, the good ones first.
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
    /// The status it implies: `True`, `False` or `Unknown`.
    pub fn status(self) -> &'static str {
        match self {
            Self::Accepted
            | Self::Downloaded
            | Self::NotNeeded
            | Self::Ready
            | Self::Applied
            | Self::Programmed
            | Self::Resolved
            | Self::FieldsIgnored
            | Self::Active => "True",
            Self::LookupFailed => "Unknown",
            Self::ModelIdTaken
            | Self::NameTaken
            | Self::SecretMissing
            | Self::SecretKeyMissing
            | Self::NamespaceNotWatched
            | Self::InvalidSpec
            | Self::NotSupported
            | Self::Downloading
            | Self::WaitingForVolume
            | Self::ClaimMissing
            | Self::DownloadFailed
            | Self::Degraded
            | Self::Starting
            | Self::WaitingForWeights
            | Self::Unschedulable
            | Self::ImagePullFailed
            | Self::CrashLoop
            | Self::ScaledToZero
            | Self::ApplyFailed
            | Self::EndpointDisabled
            | Self::GatewayMissing
            | Self::ListenerMissing
            | Self::CertificateNotReady
            | Self::GatewayApiMissing
            | Self::Waiting
            | Self::Refused
            | Self::TooLarge
            | Self::NoProxy
            | Self::NotDesired
            | Self::NothingIgnored
            | Self::Expired
            | Self::Suspended
            | Self::NoModelLeft
            | Self::NotYetValid
            | Self::InvalidHash => "False",
        }
    }
}
