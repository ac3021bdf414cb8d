//! Assembles the status of a provider. Pure.

use crate::{
    app::settings::OperatorSettings,
    resources::{
        conditions::{EnabledEndpoints, with_findings},
        ignored,
    },
    routes::{MissingSecret, RouteStatus},
};
use jiff::Timestamp;
use llm_crd::{
    ConditionType, CredentialType, Finding, PassthroughModel, PassthroughModelStatus,
    PassthroughPhase, Reason,
};

/// Everything known about a provider.
pub(super) struct ProviderView {
    pub(super) route_status: RouteStatus,
    pub(super) is_managed_namespace: bool,
    /// Findings of the edge and the proxies.
    pub(super) reported: Vec<Finding>,
}

/// The key of the credential in its Secret.
const CREDENTIAL_KEY: &str = "apiKey";

pub(super) fn status(
    provider: &PassthroughModel,
    view: &ProviderView,
    settings: &OperatorSettings,
    now: Timestamp,
) -> PassthroughModelStatus {
    let PassthroughModel { spec, status, metadata } = provider;
    let accepted = accepted(provider, view);
    let configured = configured(&view.route_status);
    // Other ids keep working when some are taken.
    let is_ready = if accepted.reason == Reason::Accepted {
        configured.reason == Reason::Applied
    } else {
        accepted.reason == Reason::ModelIdTaken && view.route_status.is_routed
    };
    let endpoints =
        EnabledEndpoints { external: spec.external_enabled(), internal: spec.internal_enabled() };
    let ignored = ignored::finding(&ignored::of_provider(spec));
    let mut findings =
        vec![accepted, configured, credential(provider, &view.route_status), ignored];
    findings.extend(endpoints.findings(&view.reported));
    let before = status.clone().unwrap_or_default().conditions;
    let (kind, generation) = (ConditionType::PASSTHROUGH_MODEL, metadata.generation);
    PassthroughModelStatus {
        phase: Some(if is_ready { PassthroughPhase::Ready } else { PassthroughPhase::Error }),
        conditions: with_findings(before, kind, findings, generation, now),
        observed_generation: generation,
        endpoints: Some(endpoints.urls(settings)),
        provider_hostname: spec.provider.hostname(),
    }
}

fn accepted(provider: &PassthroughModel, view: &ProviderView) -> Finding {
    let ProviderView { route_status, is_managed_namespace, .. } = view;
    let finding = |reason, message: String| Finding::new(ConditionType::Accepted, reason, message);
    if !is_managed_namespace {
        let namespace = provider.metadata.namespace.as_deref().unwrap_or_default();
        let message = format!(
            "namespace {namespace} lacks the label nebari.dev/managed=true: label it or move the \
             provider"
        );
        return finding(Reason::NamespaceNotWatched, message);
    }
    if route_status.name_taken {
        let message = "an older LLMModel has the same name: rename one of them";
        return finding(Reason::NameTaken, message.into());
    }
    if let Some(wrong) = &route_status.invalid {
        return finding(Reason::InvalidSpec, wrong.clone());
    }
    if let Some(missing) = route_status.missing.first() {
        let (reason, message) = describe(missing);
        return finding(reason, message);
    }
    let taken = route_status.ids_taken.iter().map(|(id, holder)| {
        format!("the id `{id}` belongs to {holder}: choose another id or delete {holder}")
    });
    let taken: Vec<_> = taken.collect();
    if taken.is_empty() {
        return finding(Reason::Accepted, "the provider is accepted".into());
    }
    let rule = "served models take precedence over providers, and older providers over newer ones";
    finding(Reason::ModelIdTaken, format!("{}; {rule}", taken.join("; ")))
}

fn configured(route_status: &RouteStatus) -> Finding {
    let (reason, message) = match route_status.missing.first() {
        Some(missing) => describe(missing),
        None if route_status.is_routed => {
            (Reason::Applied, "the provider is in the route table".to_owned())
        }
        None => (Reason::NotDesired, "the provider is not in the route table".to_owned()),
    };
    Finding::new(ConditionType::BackendConfigured, reason, message)
}

fn credential(provider: &PassthroughModel, route_status: &RouteStatus) -> Finding {
    let about = ConditionType::UpstreamCredentialResolved;
    let provider = &provider.spec.provider;
    match provider.credential_type() {
        CredentialType::None | CredentialType::WorkloadIdentity => {
            return Finding::new(about, Reason::NotNeeded, "the provider needs no API key");
        }
        CredentialType::ApiKey => {}
    }
    let Some(secret) = &provider.credential_secret_name else {
        let message =
            "spec.provider.credentialSecretName: specify the Secret with the provider's API key";
        return Finding::new(about, Reason::SecretMissing, message);
    };
    let is_credential = |it: &&MissingSecret| {
        it.secret == *secret && it.key.is_none_or(|key| key == CREDENTIAL_KEY)
    };
    match route_status.missing.iter().find(is_credential) {
        Some(missing) => {
            let (reason, message) = describe(missing);
            Finding::new(about, reason, message)
        }
        None => Finding::new(about, Reason::Resolved, format!("the API key is in Secret {secret}")),
    }
}

fn describe(MissingSecret { secret, key }: &MissingSecret) -> (Reason, String) {
    match key {
        Some(key) => {
            (Reason::SecretKeyMissing, format!("Secret {secret} lacks the key {key}: add it"))
        }
        None => (Reason::SecretMissing, format!("Secret {secret} does not exist: create it")),
    }
}
