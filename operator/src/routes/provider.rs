//! From a `PassthroughModel` to its provider and its routes.

use super::{Missing, SecretData, Verdict, served, won};
use llm_contract::{Entries, ModelId, ResourceName, Secret, document};
use llm_crd::{BackendType, CredentialType, PassthroughModel, Provider};
use std::{collections::HashMap, sync::Arc};

/// Stands for every id that nothing else serves.
const CATCH_ALL: &str = "*";
/// Where a provider's key is in its Secret.
const KEY_FIELD: &str = "apiKey";
/// Where the certificates of authorities are in their Secret.
const AUTHORITIES_FIELD: &str = "ca.crt";

type Secrets = HashMap<ResourceName, Arc<SecretData>>;

/// Every id that a provider wants.
pub(super) fn ids(provider: &PassthroughModel) -> impl Iterator<Item = &str> {
    let named = provider.spec.model_ids().map(|(id, _)| id);
    named.chain(provider.spec.catch_all().then_some(CATCH_ALL))
}

/// The Secrets that a provider refers to.
pub(super) fn secrets(name: &ResourceName, provider: &PassthroughModel) -> Vec<ResourceName> {
    let Provider { credential_secret_name, ca_secret_name, .. } = &provider.spec.provider;
    let credential = credential_secret_name.iter().filter(|_| wants_key(&provider.spec.provider));
    let named = credential.chain(ca_secret_name).filter_map(|secret| secret_of(name, secret));
    named.collect()
}

fn secret_of(name: &ResourceName, secret: &str) -> Option<ResourceName> {
    ResourceName::parse(&format!("{}/{secret}", name.namespace())).ok()
}

fn wants_key(provider: &Provider) -> bool {
    match provider.credential_type() {
        CredentialType::ApiKey => true,
        CredentialType::None | CredentialType::WorkloadIdentity => false,
    }
}

/// The routes of a provider, given the Secrets and who has an id instead of it.
pub(super) fn compile(
    name: &ResourceName,
    resource: &PassthroughModel,
    secrets: &Secrets,
    winner: &impl Fn(&str) -> Option<ResourceName>,
) -> (Option<document::Routes>, Verdict) {
    let mut verdict = Verdict::default();
    let spec = &resource.spec;
    let ids = spec.model_ids().collect::<HashMap<_, _>>();
    let mut won = won(spec.model_ids().map(|(id, _)| id), winner, &mut verdict.ids_taken);
    won.sort_unstable();
    let catch_all = spec.catch_all() && {
        let by = winner(CATCH_ALL);
        verdict.ids_taken.extend(by.clone().map(|by| (CATCH_ALL.to_owned(), by)));
        by.is_none()
    };
    let checked = account(name, &spec.provider, secrets, &mut verdict)
        .and_then(|provider| Ok((provider, served::access(&spec.access)?)));
    let (provider, access) = match checked {
        Ok(checked) => checked,
        Err(wrong) => {
            verdict.invalid = Some(wrong);
            return (None, verdict);
        }
    };
    if !verdict.missing.is_empty() {
        return (None, verdict);
    }
    let route = |id: Option<ModelId>, upstream: Option<ModelId>| document::Route {
        model: id,
        aliases: Vec::new(),
        access: access.clone(),
        entries: Entries { external: spec.external_enabled(), internal: spec.internal_enabled() },
        upstream: document::Upstream::Provider { name: provider.name.clone(), model: upstream },
        limits: served::limits(spec.limits.as_ref()),
    };
    let named = won.into_iter().map(|id| {
        let theirs = ids.get(id.as_str()).and_then(|theirs| ModelId::parse(theirs).ok());
        route(Some(id), theirs)
    });
    let mut routes: Vec<_> = named.collect();
    routes.extend(catch_all.then(|| route(None, None)));
    let entries = spec.external_enabled() || spec.internal_enabled();
    let any = entries && !routes.is_empty();
    (any.then_some(document::Routes { provider: Some(provider), routes }), verdict)
}

fn account(
    name: &ResourceName,
    provider: &Provider,
    secrets: &Secrets,
    verdict: &mut Verdict,
) -> Result<document::Provider, String> {
    if provider.backend_type() == BackendType::Bedrock {
        return Err("spec.provider.backend.type: Bedrock is not supported yet".into());
    }
    if provider.credential_type() == CredentialType::WorkloadIdentity {
        let field = "spec.provider.credential.type";
        return Err(format!("{field}: WorkloadIdentity is not supported yet; use APIKey"));
    }
    let url = provider.base_url().ok_or("spec.provider.hostname: it is missing")?;
    let mut read = |secret: Option<&String>, field: &'static str| {
        let secret = secret?;
        let data = secret_of(name, secret).and_then(|name| secrets.get(&name));
        let text = data.and_then(|data| data.get(field));
        let text = text.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        // A line break at the end is what editors and `echo` leave.
        let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let text = text.filter(|text| !text.is_empty());
        if text.is_none() {
            let key = data.map(|_| field);
            verdict.missing.push(Missing { secret: secret.clone(), key });
        }
        text
    };
    let credential = if wants_key(provider) {
        let secret = provider.credential_secret_name.as_ref();
        secret.ok_or("spec.provider.credentialSecretName: it is missing")?;
        read(secret, KEY_FIELD).map(|secret| document::Credential {
            header: provider.credential_header().into(),
            secret: Secret::new(secret),
        })
    } else {
        None
    };
    let headers = provider.headers.iter().map(|header| document::Header {
        name: header.name.clone(),
        value: Secret::new(header.value.clone()),
    });
    let document = document::Provider {
        name: name.name().into(),
        url,
        credential,
        headers: headers.collect(),
        ca_pem: read(provider.ca_secret_name.as_ref(), AUTHORITIES_FIELD),
        timeouts: provider.timeouts().into(),
    };
    match llm_contract::Provider::try_from(document.clone()) {
        Ok(_) => Ok(document),
        Err(wrong) => Err(format!("spec.provider: {}", llm_contract::Chain(&wrong))),
    }
}
