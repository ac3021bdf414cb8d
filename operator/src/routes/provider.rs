//! Compiles a `PassthroughModel` into its provider and its routes.

use super::{
    compiler::available_ids,
    served,
    status::{MissingSecret, RouteStatus},
};
use crate::cluster_state::{SecretData, resource_name};
use llm_contract::{Entries, ModelId, ResourceName, Secret, document};
use llm_crd::{BackendType, CredentialType, PassthroughModel, Provider};
use std::{collections::HashMap, sync::Arc};

/// Matches every id that nothing else serves.
const CATCH_ALL: &str = "*";
/// The key of the credential Secret that holds the API key.
const KEY_FIELD: &str = "apiKey";
/// The key of the CA Secret that holds the certificates.
const AUTHORITIES_FIELD: &str = "ca.crt";

type Secrets = HashMap<ResourceName, Arc<SecretData>>;

pub(super) fn ids(provider: &PassthroughModel) -> impl Iterator<Item = &str> {
    let named = provider.spec.model_ids().map(|(id, _)| id);
    named.chain(provider.spec.catch_all().then_some(CATCH_ALL))
}

pub(super) fn secrets(name: &ResourceName, provider: &PassthroughModel) -> Vec<ResourceName> {
    let Provider { credential_secret_name, ca_secret_name, .. } = &provider.spec.provider;
    let needs_key = provider.spec.provider.credential_type() == CredentialType::ApiKey;
    let credential = credential_secret_name.iter().filter(|_| needs_key);
    let secrets = credential.chain(ca_secret_name);
    secrets.filter_map(|secret| resource_name(name.namespace(), secret)).collect()
}

/// `owner` gives the other resource that owns an id; an error says why the resource is invalid.
pub(super) fn compile(
    name: &ResourceName,
    resource: &PassthroughModel,
    secrets: &Secrets,
    owner: &impl Fn(&str) -> Option<ResourceName>,
    status: &mut RouteStatus,
) -> Result<Option<document::Routes>, String> {
    let spec = &resource.spec;
    let ids = spec.model_ids().collect::<HashMap<_, _>>();
    let named = spec.model_ids().map(|(id, _)| id);
    let mut available = available_ids(named, owner, &mut status.ids_taken);
    available.sort_unstable();
    let catch_all = spec.catch_all() && {
        let owner = owner(CATCH_ALL);
        status.ids_taken.extend(owner.clone().map(|owner| (CATCH_ALL.to_owned(), owner)));
        owner.is_none()
    };
    let provider = account(name, &spec.provider, secrets, status)?;
    let access = served::access(&spec.access)?;
    if !status.missing.is_empty() {
        return Ok(None);
    }
    let route = |id: Option<ModelId>, upstream: Option<ModelId>| document::Route {
        model: id,
        aliases: Vec::new(),
        access: access.clone(),
        entries: Entries { external: spec.external_enabled(), internal: spec.internal_enabled() },
        upstream: document::Upstream::Provider { name: provider.name.clone(), model: upstream },
        limits: served::limits(spec.limits.as_ref()),
    };
    let named = available.into_iter().map(|id| {
        let upstream = ids.get(id.as_str()).and_then(|upstream| ModelId::parse(upstream).ok());
        route(Some(id), upstream)
    });
    let mut routes: Vec<_> = named.collect();
    routes.extend(catch_all.then(|| route(None, None)));
    Ok(Some(document::Routes { provider: Some(provider), routes }))
}

fn account(
    name: &ResourceName,
    provider: &Provider,
    secrets: &Secrets,
    status: &mut RouteStatus,
) -> Result<document::Provider, String> {
    if provider.backend_type() == BackendType::Bedrock {
        return Err("spec.provider.backend.type: Bedrock is not supported yet".into());
    }
    if provider.credential_type() == CredentialType::WorkloadIdentity {
        let field = "spec.provider.credential.type";
        return Err(format!("{field}: WorkloadIdentity is not supported yet; use APIKey"));
    }
    let url = provider.base_url().ok_or("spec.provider.hostname: required")?;
    let mut read = |secret: Option<&String>, field: &'static str| {
        let secret = secret?;
        let data = resource_name(name.namespace(), secret).and_then(|name| secrets.get(&name));
        let text = data.and_then(|data| data.get(field));
        let text = text.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
        // Editors and `echo` leave a line break at the end.
        let text = text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let text = text.filter(|text| !text.is_empty());
        if text.is_none() {
            let key = data.map(|_| field);
            status.missing.push(MissingSecret { secret: secret.clone(), key });
        }
        text
    };
    let credential = if provider.credential_type() == CredentialType::ApiKey {
        let secret = provider.credential_secret_name.as_ref();
        secret.ok_or("spec.provider.credentialSecretName: required")?;
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
        timeouts: provider.timeouts(),
    };
    match llm_contract::Provider::try_from(document.clone()) {
        Ok(_) => Ok(document),
        Err(error) => Err(format!("spec.provider: {}", llm_contract::Chain(&error))),
    }
}
