//! The incremental compiler.

use super::{
    id_owners::{Contender, IdOwners},
    key::{self, KeyPrecedence},
    provider, served,
    status::RouteStatus,
};
use crate::{
    cluster_state::{CompactKey, ModelKind, SecretData},
    multimap::MultiMap,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use llm_contract::{
    KeyId, ModelId, ResourceName, document,
    push::{Change, Kind, Name},
};
use llm_crd::{LLMModel, PassthroughModel};
use serde::Serialize;
use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
};

type NamespacedKeyId = (Arc<str>, Arc<str>);

#[derive(Default)]
pub struct Compiler {
    operator_namespace: Arc<str>,
    /// The namespaces whose resources take effect; all of them if `None`.
    namespaces: Option<BTreeSet<String>>,
    models: HashMap<ResourceName, Arc<LLMModel>>,
    providers: HashMap<ResourceName, Arc<PassthroughModel>>,
    /// Several namespaces may hold a key of the same id; the first in order takes effect.
    keys: HashMap<Arc<str>, Vec<(KeyPrecedence, Arc<CompactKey>)>>,
    replacements: MultiMap<NamespacedKeyId, Arc<str>>,
    endpoints: HashMap<ResourceName, Vec<SocketAddr>>,
    secrets: HashMap<ResourceName, Arc<SecretData>>,
    /// The providers that refer to a Secret.
    secret_users: MultiMap<ResourceName, ResourceName>,
    id_owners: IdOwners,
    stale: BTreeSet<ResourceName>,
    stale_keys: BTreeSet<Arc<str>>,
}

/// What has changed since the compiler was last asked.
#[derive(Debug, Default, PartialEq)]
pub struct Compiled {
    pub change: Change,
    /// `None` for a deleted resource.
    pub statuses: Vec<(ModelKind, ResourceName, Option<RouteStatus>)>,
}

impl Compiler {
    pub fn new(operator_namespace: &str) -> Self {
        Self { operator_namespace: operator_namespace.into(), ..Self::default() }
    }

    /// Sets the namespaces whose resources take effect; all of them if `None`.
    pub fn set_namespaces(&mut self, namespaces: Option<BTreeSet<String>>) {
        if namespaces == self.namespaces {
            return;
        }
        let before = std::mem::replace(&mut self.namespaces, namespaces);
        let (before, after) = (before.as_ref(), self.namespaces.as_ref());
        let is_changed = |it: &str| is_in(before, it) != is_in(after, it);
        let names = self.models.keys().chain(self.providers.keys());
        let names: BTreeSet<_> = names.filter(|it| is_changed(it.namespace())).cloned().collect();
        let keys = self.keys.iter();
        let keys = keys.filter(|(_, held)| held.iter().any(|(it, _)| is_changed(it.namespace())));
        self.stale_keys.extend(keys.map(|(id, _)| Arc::clone(id)));
        for name in names {
            self.update_ids(&name);
        }
    }

    fn is_active(&self, namespace: &str) -> bool {
        is_in(self.namespaces.as_ref(), namespace)
    }

    /// `None` if it was deleted, here and below.
    pub fn set_model(&mut self, name: &ResourceName, model: Option<Arc<LLMModel>>) {
        let model = model.filter(|model| model.metadata.deletion_timestamp.is_none());
        if replace(&mut self.models, name, model) {
            self.update_ids(name);
        }
    }

    pub fn set_provider(&mut self, name: &ResourceName, provider: Option<Arc<PassthroughModel>>) {
        let provider = provider.filter(|it| it.metadata.deletion_timestamp.is_none());
        let secrets = provider.as_ref().map(|provider| provider::secrets(name, provider));
        let secrets = secrets.unwrap_or_default();
        // The data of those it still refers to is kept: it may not be readable now.
        self.drop_secrets_of(name, &secrets);
        for secret in secrets {
            self.secret_users.insert(secret, name.clone());
        }
        if replace(&mut self.providers, name, provider) {
            self.update_ids(name);
        }
    }

    pub fn set_key(&mut self, name: &ResourceName, compact: Option<Arc<CompactKey>>) {
        self.remove_key(name);
        let Some(compact) = compact else { return };
        let key = compact.key();
        if key.metadata.deletion_timestamp.is_some() {
            return;
        }
        let id: Arc<str> = name.name().into();
        if let Some(replaces) = &key.spec.replaces {
            let replaced = (Arc::from(name.namespace()), Arc::from(replaces.id.as_str()));
            self.stale_keys.insert(Arc::clone(&replaced.1));
            self.replacements.insert(replaced, Arc::clone(&id));
        }
        let precedence = KeyPrecedence::of(name, &key, &self.operator_namespace);
        // There are many keys, and almost all ids occur in one namespace.
        let held = self.keys.entry(Arc::clone(&id)).or_insert_with(|| Vec::with_capacity(1));
        held.insert(held.partition_point(|(it, _)| *it < precedence), (precedence, compact));
        self.stale_keys.insert(id);
    }

    fn remove_key(&mut self, name: &ResourceName) {
        let Some(held) = self.keys.get_mut(name.name()) else { return };
        let Some(at) = held.iter().position(|(it, _)| it.namespace() == name.namespace()) else {
            return;
        };
        let key = held.remove(at).1.key();
        let is_last = held.is_empty();
        if let Some(replaces) = &key.spec.replaces {
            let replaced = (Arc::from(name.namespace()), Arc::from(replaces.id.as_str()));
            self.replacements.remove(&replaced, &name.name().into());
            self.stale_keys.insert(replaced.1);
        }
        if is_last {
            self.keys.remove(name.name());
        }
        self.stale_keys.insert(name.name().into());
    }

    /// Sets the ready endpoints of a Service; none if it was deleted.
    pub fn set_endpoints(&mut self, service: &ResourceName, mut ready: Vec<SocketAddr>) {
        ready.sort_unstable();
        ready.dedup();
        let ready = Some(ready).filter(|ready| !ready.is_empty());
        if self.endpoints.get(service) == ready.as_ref() {
            return;
        }
        replace(&mut self.endpoints, service, ready);
        // A model's Service has its name.
        if self.models.contains_key(service) {
            self.stale.insert(service.clone());
        }
    }

    /// `None` if the Secret does not exist.
    pub fn set_secret(&mut self, name: &ResourceName, data: Option<Arc<SecretData>>) {
        let data = data.filter(|_| self.needs_secret(name));
        if self.secrets.get(name) != data.as_ref() {
            replace(&mut self.secrets, name, data);
            self.stale.extend(self.secret_users.get(name).cloned());
        }
    }

    pub fn needs_secret(&self, secret: &ResourceName) -> bool {
        self.secret_users.contains_key(secret)
    }

    pub fn secrets_of(&self, provider: &ResourceName) -> Vec<ResourceName> {
        self.providers.get(provider).map(|it| provider::secrets(provider, it)).unwrap_or_default()
    }

    /// Compiles what has changed since the last call.
    pub fn take_changes(&mut self) -> Compiled {
        let mut compiled = Compiled::default();
        for name in std::mem::take(&mut self.stale) {
            self.compile(&name, &mut compiled);
        }
        for id in std::mem::take(&mut self.stale_keys) {
            let document = self.key_document(&id);
            put(&mut compiled.change, Name::new(Kind::Key, id), document.as_ref());
        }
        compiled
    }

    fn compile(&self, name: &ResourceName, compiled: &mut Compiled) {
        let served = self.models.get(name).map(|model| {
            let endpoints = self.endpoints.get(name).map(Vec::as_slice).unwrap_or_default();
            let owner = |id: &str| self.id_owners.other_owner(ModelKind::Served, name, id);
            let mut status = RouteStatus::of(&model.metadata);
            let routes = served::compile(model, endpoints, &owner, &mut status);
            self.complete(ModelKind::Served, name, routes, status)
        });
        let provider = self.providers.get(name).map(|provider| {
            let owner = |id: &str| self.id_owners.other_owner(ModelKind::Provider, name, id);
            let mut status = RouteStatus::of(&provider.metadata);
            let routes = provider::compile(name, provider, &self.secrets, &owner, &mut status);
            self.complete(ModelKind::Provider, name, routes, status)
        });
        let mut document = None;
        for (kind, result) in [(ModelKind::Served, served), (ModelKind::Provider, provider)] {
            let (routes, status) = result.unzip();
            document = document.or(routes.flatten());
            compiled.statuses.push((kind, name.clone(), status));
        }
        put(&mut compiled.change, Name::new(Kind::Routes, name.as_str()), document.as_ref());
    }

    fn complete(
        &self,
        kind: ModelKind,
        name: &ResourceName,
        routes: Result<Option<document::Routes>, String>,
        mut status: RouteStatus,
    ) -> (Option<document::Routes>, RouteStatus) {
        status.name_taken = self.name_owner(name).is_some_and(|owner| owner != kind);
        let is_effective = self.is_active(name.namespace()) && !status.name_taken;
        if !is_effective {
            status.ids_taken.clear();
        }
        let routes = routes.unwrap_or_else(|error| {
            status.invalid = Some(error);
            None
        });
        let is_served = |it: &document::Route| it.entries.external || it.entries.internal;
        let routes = routes.filter(|it| is_effective && it.routes.iter().any(is_served));
        status.is_routed = routes.is_some();
        (routes, status)
    }

    fn key_document(&self, id: &Arc<str>) -> Option<llm_contract::KeyRecord> {
        KeyId::parse(id).ok()?;
        let mut held = self.keys.get(id)?.iter();
        let (held, key) = held.find(|(it, _)| self.is_active(it.namespace()))?;
        let namespace: Arc<str> = held.namespace().into();
        let ids = self.replacements.get(&(Arc::clone(&namespace), Arc::clone(id)));
        let replacements = ids.filter_map(|id| {
            let mut held = self.keys.get(id)?.iter();
            Some(held.find(|(it, _)| it.namespace() == &*namespace)?.1.key().spec)
        });
        let replacements: Vec<_> = replacements.collect();
        key::compile(&key.key(), &self.operator_namespace, &replacements).ok()
    }

    fn update_ids(&mut self, name: &ResourceName) {
        let owner = self.name_owner(name).filter(|_| self.is_active(name.namespace()));
        let mut declared = Vec::new();
        if let Some(model) = self.models.get(name)
            && owner == Some(ModelKind::Served)
        {
            let contender = Contender::new(ModelKind::Served, &model.metadata, name);
            declared.extend(served::ids(model).map(|id| (id.to_owned(), contender.clone())));
        }
        if let Some(provider) = self.providers.get(name)
            && owner == Some(ModelKind::Provider)
        {
            let contender = Contender::new(ModelKind::Provider, &provider.metadata, name);
            declared.extend(provider::ids(provider).map(|id| (id.to_owned(), contender.clone())));
        }
        self.stale.extend(self.id_owners.replace(name, declared));
        self.stale.insert(name.clone());
    }

    /// A model and a provider may not share a name; the older one owns it.
    fn name_owner(&self, name: &ResourceName) -> Option<ModelKind> {
        let age = |metadata: &ObjectMeta| metadata.creation_timestamp.as_ref().map(|it| it.0);
        match (self.models.get(name), self.providers.get(name)) {
            (Some(model), Some(provider)) if age(&provider.metadata) < age(&model.metadata) => {
                Some(ModelKind::Provider)
            }
            (Some(_), _) => Some(ModelKind::Served),
            (None, Some(_)) => Some(ModelKind::Provider),
            (None, None) => None,
        }
    }

    fn drop_secrets_of(&mut self, name: &ResourceName, except: &[ResourceName]) {
        let secrets = self.secrets_of(name).into_iter();
        for secret in secrets.filter(|it| !except.contains(it)) {
            if self.secret_users.remove(&secret, name) {
                self.secrets.remove(&secret);
            }
        }
    }
}

fn is_in(namespaces: Option<&BTreeSet<String>>, namespace: &str) -> bool {
    namespaces.is_none_or(|namespaces| namespaces.contains(namespace))
}

/// Returns whether there is a value, or was one.
fn replace<T>(map: &mut HashMap<ResourceName, T>, name: &ResourceName, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            map.insert(name.clone(), value);
            true
        }
        None => map.remove(name).is_some(),
    }
}

fn put(change: &mut Change, name: Name, document: Option<&impl Serialize>) {
    // Structs of strings and numbers always serialize.
    match document.and_then(|document| serde_json::to_vec(document).ok()) {
        // Without spare capacity.
        Some(text) => change.upserts.push((name, text.into_boxed_slice().into())),
        None => change.removals.push(name),
    }
}

/// Splits ids into those that are available and those that other resources own.
pub(super) fn available_ids<'a>(
    ids: impl IntoIterator<Item = &'a str>,
    owner: &impl Fn(&str) -> Option<ResourceName>,
    taken: &mut Vec<(String, ResourceName)>,
) -> Vec<ModelId> {
    let mut available = Vec::new();
    for id in ids {
        match (owner(id), ModelId::parse(id)) {
            (Some(owner), _) => taken.push((id.to_owned(), owner)),
            (None, Ok(id)) if !available.contains(&id) => available.push(id),
            // The check of the resource reports ids that no client can send.
            (None, Ok(_) | Err(_)) => {}
        }
    }
    available
}

#[cfg(test)]
mod tests;
