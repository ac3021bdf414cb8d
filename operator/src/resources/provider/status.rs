//! The status of a provider. Pure.

use crate::{
    app::settings::OperatorSettings,
    resources::{ignored, model::status::endpoint},
    routes::{MissingSecret, RouteStatus},
};
use jiff::Timestamp;
use llm_crd::{
    ConditionType, CredentialType, EndpointUrls, Finding, PassthroughModel, PassthroughModelStatus,
    PassthroughPhase, Reason, retain_conditions, set_condition,
};

/// What is known of a provider.
pub(super) struct Judgement {
    /// From the route table.
    pub(super) verdict: RouteStatus,
    /// Whether its namespace counts.
    pub(super) is_managed: bool,
    /// From other parts.
    pub(super) elsewhere: Vec<Finding>,
}

/// The key of a provider's credential in its Secret.
const CREDENTIAL_KEY: &str = "apiKey";

pub(super) fn status(
    provider: &PassthroughModel,
    judgement: &Judgement,
    settings: &OperatorSettings,
    now: Timestamp,
) -> PassthroughModelStatus {
    let (spec, generation) = (&provider.spec, provider.metadata.generation);
    let accepted = accepted(provider, judgement);
    let configured = configured(&judgement.verdict);
    // A missing credential is said, and does not keep what works from being ready.
    let works = accepted.reason == Reason::Accepted && configured.reason == Reason::Applied;
    let taken = accepted.reason == Reason::ModelIdTaken && judgement.verdict.is_routed;
    let mut conditions = provider.status.clone().unwrap_or_default().conditions;
    retain_conditions(&mut conditions, ConditionType::PASSTHROUGH_MODEL);
    let ignored = ignored::finding(&ignored::of_provider(spec));
    let mut findings =
        vec![accepted, configured, credential(provider, &judgement.verdict), ignored];
    for (about, enabled) in [
        (ConditionType::ExternalEndpointReady, spec.external_enabled()),
        (ConditionType::InternalEndpointReady, spec.internal_enabled()),
    ] {
        findings.extend(endpoint(about, enabled, &judgement.elsewhere));
    }
    let programmed = |it: &&Finding| it.about == ConditionType::RouteProgrammed;
    findings.extend(judgement.elsewhere.iter().find(programmed).cloned());
    for finding in findings {
        set_condition(&mut conditions, finding, generation, now);
    }
    PassthroughModelStatus {
        phase: Some(if works || taken { PassthroughPhase::Ready } else { PassthroughPhase::Error }),
        conditions,
        observed_generation: generation,
        endpoints: Some(EndpointUrls {
            external: settings.urls.external.clone().filter(|_| spec.external_enabled()),
            internal: settings.urls.internal.clone().filter(|_| spec.internal_enabled()),
        }),
        provider_hostname: spec.provider.hostname(),
    }
}

fn accepted(provider: &PassthroughModel, judgement: &Judgement) -> Finding {
    let Judgement { verdict, is_managed, .. } = judgement;
    let finding = |reason, message: String| Finding::new(ConditionType::Accepted, reason, message);
    if !is_managed {
        let namespace = provider.metadata.namespace.as_deref().unwrap_or_default();
        let message = format!(
            "namespace {namespace} lacks the label nebari.dev/managed=true: label it, or move the \
             provider"
        );
        return finding(Reason::NamespaceNotWatched, message);
    }
    if verdict.name_taken {
        let message = "an LLMModel of this name is there and is older: rename one of them";
        return finding(Reason::NameTaken, message.into());
    }
    if let Some(wrong) = &verdict.invalid {
        return finding(Reason::InvalidSpec, wrong.clone());
    }
    if let Some(missing) = verdict.missing.first() {
        let (reason, message) = says(missing);
        return finding(reason, message);
    }
    let taken = verdict
        .ids_taken
        .iter()
        .map(|(id, by)| format!("{by} has the id `{id}`: choose another id, or delete {by}"));
    match taken.reduce(|all, one| format!("{all}; {one}")) {
        Some(taken) => {
            let rule =
                "a served model goes before a provider, and the older of two providers first";
            finding(Reason::ModelIdTaken, format!("{rule}: {taken}"))
        }
        None => finding(Reason::Accepted, "the provider is accepted".into()),
    }
}

fn configured(verdict: &RouteStatus) -> Finding {
    let (reason, message) = match verdict.missing.first() {
        Some(missing) => says(missing),
        None if verdict.is_routed => {
            (Reason::Applied, "the provider is in the route table".to_owned())
        }
        None => (Reason::NotDesired, "nothing of it is in the route table".to_owned()),
    };
    Finding::new(ConditionType::BackendConfigured, reason, message)
}

fn credential(provider: &PassthroughModel, verdict: &RouteStatus) -> Finding {
    let about = ConditionType::UpstreamCredentialResolved;
    let provider = &provider.spec.provider;
    match provider.credential_type() {
        CredentialType::None | CredentialType::WorkloadIdentity => {
            return Finding::new(about, Reason::NotNeeded, "the provider needs no key");
        }
        CredentialType::ApiKey => {}
    }
    let Some(secret) = &provider.credential_secret_name else {
        let message = "spec.provider.credentialSecretName: name the Secret with the provider's key";
        return Finding::new(about, Reason::SecretMissing, message);
    };
    let its = |it: &&MissingSecret| {
        it.secret == *secret && it.key.is_none_or(|key| key == CREDENTIAL_KEY)
    };
    match verdict.missing.iter().find(its) {
        Some(missing) => {
            let (reason, message) = says(missing);
            Finding::new(about, reason, message)
        }
        None => Finding::new(about, Reason::Resolved, format!("the key is in Secret {secret}")),
    }
}

fn says(missing: &MissingSecret) -> (Reason, String) {
    let MissingSecret { secret, key } = missing;
    match key {
        Some(key) => {
            (Reason::SecretKeyMissing, format!("Secret {secret} lacks the key {key}: add it"))
        }
        None => (Reason::SecretMissing, format!("Secret {secret} is not there: create it")),
    }
}
