//! `PassthroughModel`: models of an external provider.

mod spec;
mod provider;
mod models;
mod status;
mod effective;

pub use models::{DeclaredAlias, EndpointSwitch, PassthroughEndpoints, PassthroughModels};
pub use provider::{
    Backend, BackendType, Bedrock, Credential, CredentialHeader, CredentialType, Header, Provider,
    ProviderTimeouts, Scheme,
};
pub use spec::{PassthroughModel, PassthroughModelSpec};
pub use status::{PassthroughModelStatus, PassthroughPhase};

#[cfg(test)]
mod tests;
