//! Effective values, with defaults applied.

use super::{
    BackendType, CredentialHeader, CredentialType, EndpointSwitch, PassthroughModelSpec, Provider,
    ProviderTimeouts, Scheme,
};
use crate::DurationText;
use llm_contract::Timeouts;
use std::time::Duration;

impl PassthroughModelSpec {
    /// Whether the provider receives all otherwise unknown model ids.
    pub fn catch_all(&self) -> bool {
        self.models.as_ref().and_then(|models| models.catch_all) == Some(true)
    }

    /// Pairs of client-facing and upstream model ids, without the catch-all.
    pub fn model_ids(&self) -> impl Iterator<Item = (&str, &str)> {
        self.models.iter().flat_map(|models| {
            let declared = models.declared.iter().map(|id| (id.as_str(), id.as_str()));
            let aliases = models.aliases.iter();
            declared.chain(aliases.map(|alias| (alias.id.as_str(), alias.upstream.as_str())))
        })
    }

    /// Whether the models are available to callers with API keys.
    pub fn external_enabled(&self) -> bool {
        enabled(self.endpoints.as_ref().and_then(|endpoints| endpoints.external.as_ref()))
    }

    /// Whether the models are available to callers with identity provider tokens.
    pub fn internal_enabled(&self) -> bool {
        enabled(self.endpoints.as_ref().and_then(|endpoints| endpoints.internal.as_ref()))
    }
}

fn enabled(endpoint: Option<&EndpointSwitch>) -> bool {
    endpoint.and_then(|endpoint| endpoint.enabled) != Some(false)
}

impl Provider {
    /// The host name in lowercase without a trailing dot; `None` if empty.
    pub fn hostname(&self) -> Option<String> {
        let name = self.hostname.as_deref()?.trim().trim_end_matches('.').to_ascii_lowercase();
        (!name.is_empty()).then_some(name)
    }

    /// URL scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme.unwrap_or_default()
    }

    /// Port; 0 counts as not set.
    pub fn port(&self) -> i32 {
        self.port.filter(|port| *port != 0).unwrap_or(443)
    }

    /// Path prefix that replaces `/v1`, without leading and trailing slashes.
    pub fn schema_version(&self) -> &str {
        match self.schema_version.as_deref().unwrap_or_default().trim_matches('/') {
            "" => "v1",
            version => version,
        }
    }

    /// Base URL such as `https://openrouter.ai:443/api/v1`; `None` without a host name.
    pub fn base_url(&self) -> Option<String> {
        let scheme = match self.scheme() {
            Scheme::Https => "https",
            Scheme::Http => "http",
        };
        let (hostname, port) = (self.hostname()?, self.port());
        Some(format!("{scheme}://{hostname}:{port}/{}", self.schema_version()))
    }

    /// API protocol of the provider.
    pub fn backend_type(&self) -> BackendType {
        self.backend.as_ref().and_then(|backend| backend.kind).unwrap_or_default()
    }

    /// Type of credential.
    pub fn credential_type(&self) -> CredentialType {
        self.credential.as_ref().and_then(|credential| credential.kind).unwrap_or_default()
    }

    /// Header that carries the API key.
    pub fn credential_header(&self) -> CredentialHeader {
        self.credential.as_ref().and_then(|credential| credential.header).unwrap_or_default()
    }

    /// Timeouts for requests to the provider.
    pub fn timeouts(&self) -> Timeouts {
        const MAX: Duration = Duration::from_secs(24 * 3600);
        let Some(ProviderTimeouts { connect, request, idle }) = &self.timeouts else {
            return Timeouts::PROVIDER;
        };
        let effective = |given: &Option<DurationText>, default| match given
            .as_ref()
            .and_then(DurationText::parse)
        {
            None => default,
            Some(Duration::ZERO) => MAX,
            Some(given) => given.min(MAX),
        };
        Timeouts {
            connect: effective(connect, Timeouts::PROVIDER.connect),
            request: effective(request, Timeouts::PROVIDER.request),
            idle: effective(idle, Timeouts::PROVIDER.idle),
        }
    }
}

impl From<CredentialHeader> for llm_contract::CredentialHeader {
    fn from(header: CredentialHeader) -> Self {
        match header {
            CredentialHeader::Authorization => Self::Authorization,
            CredentialHeader::XApiKey => Self::XApiKey,
            CredentialHeader::ApiKey => Self::ApiKey,
        }
    }
}
