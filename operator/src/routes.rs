//! From custom resources to the route table; pure.
//!
//! A [`Compiler`] is told what the cluster holds, in any order, and says what that changes in the
//! table. What comes out depends on what is there, not on how it came about: every replica
//! compiles the same documents. A change costs what it changes.
//!
//! Resources are written by whoever may write in their namespace. So nothing of a namespace that
//! does not count is in the table, and a key is for models beside it, unless it is in the
//! namespace of the operator itself: only there a key says in which groups its owner is and is
//! believed for other people's models.

pub mod feed;
mod claims;
mod served;
mod provider;
pub mod key;

use crate::cluster_state::PackedKey;
use claims::{Claimant, Claims};
use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use llm_contract::{
    KeyId, ModelId, ResourceName,
    push::{Change, Kind, Name},
};
use llm_crd::{LLMModel, PassthroughModel};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
};

pub use claims::Declares;

/// The data of a Secret.
pub type SecretData = BTreeMap<String, ByteString>;

/// A namespace, and the id of a key in it.
type InNamespace = (Arc<str>, Arc<str>);

/// Compiles the route table, a change at a time.
#[derive(Default)]
pub struct Compiler {
    /// The operator's own namespace.
    home: Arc<str>,
    /// The namespaces that count; all of them if there is no list.
    counted: Option<BTreeSet<String>>,
    models: HashMap<ResourceName, Arc<LLMModel>>,
    providers: HashMap<ResourceName, Arc<PassthroughModel>>,
    /// Several namespaces may hold a key of the same id; the first one counts.
    keys: HashMap<Arc<str>, Vec<(key::Seniority, Arc<PackedKey>)>>,
    /// Which keys say that they replace one: by namespace and id of the replaced one.
    replacements: HashMap<InNamespace, BTreeSet<Arc<str>>>,
    endpoints: HashMap<ResourceName, Vec<SocketAddr>>,
    secrets: HashMap<ResourceName, Arc<SecretData>>,
    users_of_secrets: HashMap<ResourceName, BTreeSet<ResourceName>>,
    claims: Claims,
    stale: BTreeSet<ResourceName>,
    stale_keys: BTreeSet<Arc<str>>,
}

/// What has changed since it was last asked for.
#[derive(Debug, Default, PartialEq)]
pub struct Compiled {
    /// In the table.
    pub change: Change,
    /// In what is to be said of custom resources that declare models.
    pub verdicts: Vec<(Declares, ResourceName, Verdict)>,
}

/// What came of a custom resource that declares models.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Whether the table holds routes of it.
    pub is_routed: bool,
    /// A resource of the other kind has the same name, and is older.
    pub name_taken: bool,
    /// The ids that older resources have, and which; `*` is the catch-all.
    pub ids_taken: Vec<(String, ResourceName)>,
    /// Why it cannot be used.
    pub invalid: Option<String>,
    /// What it refers to and is not there.
    pub missing: Vec<Missing>,
}

/// A part of a Secret that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The Secret's name.
    pub secret: String,
    /// The key in it, if the Secret itself is there.
    pub key: Option<&'static str>,
}

impl Compiler {
    /// Knows nothing yet but the operator's own namespace. All namespaces count.
    pub fn new(home: &str) -> Self {
        Self { home: home.into(), ..Self::default() }
    }

    /// These namespaces count and no others; all of them if there is no list.
    pub fn count(&mut self, namespaces: Option<BTreeSet<String>>) {
        if namespaces == self.counted {
            return;
        }
        let before = std::mem::replace(&mut self.counted, namespaces);
        let moved = |it: &str| counts(before.as_ref(), it) != counts(self.counted.as_ref(), it);
        let names = self.models.keys().chain(self.providers.keys());
        let names: BTreeSet<_> = names.filter(|it| moved(it.namespace())).cloned().collect();
        let keys =
            self.keys.iter().filter(|(_, held)| held.iter().any(|(it, _)| moved(it.namespace())));
        self.stale_keys.extend(keys.map(|(id, _)| Arc::clone(id)));
        for name in names {
            self.claim(&name);
        }
    }

    /// A model is there, or has changed.
    pub fn model(&mut self, model: Arc<LLMModel>) {
        let Some(name) = resource_name(&model.metadata) else { return };
        if model.metadata.deletion_timestamp.is_some() {
            return self.model_gone(&name);
        }
        self.models.insert(name.clone(), model);
        self.claim(&name);
    }

    /// A model is no more.
    pub fn model_gone(&mut self, name: &ResourceName) {
        if self.models.remove(name).is_some() {
            self.claim(name);
        }
    }

    /// A provider is there, or has changed.
    pub fn provider(&mut self, provider: Arc<PassthroughModel>) {
        let Some(name) = resource_name(&provider.metadata) else { return };
        if provider.metadata.deletion_timestamp.is_some() {
            return self.provider_gone(&name);
        }
        // Those that it goes on to refer to are not forgotten: they may not be readable now.
        let wanted = provider::secrets(&name, &provider);
        self.forget_secrets_of(&name, &wanted);
        for secret in wanted {
            self.users_of_secrets.entry(secret).or_default().insert(name.clone());
        }
        self.providers.insert(name.clone(), provider);
        self.claim(&name);
    }

    /// A provider is no more.
    pub fn provider_gone(&mut self, name: &ResourceName) {
        self.forget_secrets_of(name, &[]);
        if self.providers.remove(name).is_some() {
            self.claim(name);
        }
    }

    /// A key is there, or has changed.
    pub fn key(&mut self, name: &ResourceName, packed: Arc<PackedKey>) {
        self.key_gone(name);
        let key = packed.key();
        if key.metadata.deletion_timestamp.is_some() {
            return;
        }
        let id: Arc<str> = name.name().into();
        if let Some(replaces) = &key.spec.replaces {
            let replaced = (Arc::from(name.namespace()), Arc::from(replaces.id.as_str()));
            self.stale_keys.insert(Arc::clone(&replaced.1));
            self.replacements.entry(replaced).or_default().insert(Arc::clone(&id));
        }
        let seniority = key::Seniority::of(name, &key, &self.home);
        // One namespace has it, almost always, and there are many keys.
        let held = self.keys.entry(Arc::clone(&id)).or_insert_with(|| Vec::with_capacity(1));
        held.insert(held.partition_point(|(senior, _)| *senior < seniority), (seniority, packed));
        self.stale_keys.insert(id);
    }

    /// A key is no more.
    pub fn key_gone(&mut self, name: &ResourceName) {
        let Some(held) = self.keys.get_mut(name.name()) else { return };
        let Some(at) = held.iter().position(|(it, _)| it.namespace() == name.namespace()) else {
            return;
        };
        let key = held.remove(at).1.key();
        let is_last = held.is_empty();
        if let Some(replaces) = &key.spec.replaces {
            let replaced = (Arc::from(name.namespace()), Arc::from(replaces.id.as_str()));
            if let Some(by) = self.replacements.get_mut(&replaced) {
                by.remove(name.name());
                if by.is_empty() {
                    self.replacements.remove(&replaced);
                }
            }
            self.stale_keys.insert(replaced.1);
        }
        if is_last {
            self.keys.remove(name.name());
        }
        self.stale_keys.insert(name.name().into());
    }

    /// Where the ready pods of a model listen, by the name of its Service. None, if it is gone.
    pub fn endpoints(&mut self, service: &ResourceName, mut ready: Vec<SocketAddr>) {
        ready.sort_unstable();
        ready.dedup();
        let before = if ready.is_empty() {
            self.endpoints.remove(service)
        } else {
            self.endpoints.insert(service.clone(), ready.clone())
        };
        // A model's Service has its name.
        if before.unwrap_or_default() != ready && self.models.contains_key(service) {
            self.stale.insert(service.clone());
        }
    }

    /// What a Secret holds; `None`, if there is none of that name.
    pub fn secret(&mut self, name: &ResourceName, data: Option<Arc<SecretData>>) {
        let users = self.users_of_secrets.get(name);
        let data = data.filter(|_| users.is_some());
        let before = match &data {
            Some(data) => self.secrets.insert(name.clone(), Arc::clone(data)),
            None => self.secrets.remove(name),
        };
        if before != data {
            self.stale.extend(users.into_iter().flatten().cloned());
        }
    }

    /// Whether anything refers to a Secret, so that its data is wanted.
    pub fn wants(&self, secret: &ResourceName) -> bool {
        self.users_of_secrets.contains_key(secret)
    }

    /// The Secrets that a provider refers to.
    pub fn secrets_of(&self, provider: &ResourceName) -> Vec<ResourceName> {
        self.providers.get(provider).map(|it| provider::secrets(provider, it)).unwrap_or_default()
    }

    /// What has changed since this was last asked for.
    pub fn take(&mut self) -> Compiled {
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
        let mut document = None;
        if let Some(model) = self.models.get(name) {
            let endpoints = self.endpoints.get(name).map(Vec::as_slice).unwrap_or_default();
            let claims = |id: &str| self.claims.winner(Declares::Served, name, id);
            let (routes, verdict) = served::compile(model, endpoints, &claims);
            let verdict = self.judge(Declares::Served, name, verdict, routes.is_some());
            document = routes.filter(|_| verdict.is_routed);
            compiled.verdicts.push((Declares::Served, name.clone(), verdict));
        }
        if let Some(provider) = self.providers.get(name) {
            let claims = |id: &str| self.claims.winner(Declares::Provider, name, id);
            let (routes, verdict) = provider::compile(name, provider, &self.secrets, &claims);
            let verdict = self.judge(Declares::Provider, name, verdict, routes.is_some());
            document = document.or(routes.filter(|_| verdict.is_routed));
            compiled.verdicts.push((Declares::Provider, name.clone(), verdict));
        }
        put(&mut compiled.change, Name::new(Kind::Routes, name.as_str()), document.as_ref());
    }

    fn judge(
        &self,
        kind: Declares,
        name: &ResourceName,
        mut verdict: Verdict,
        has_routes: bool,
    ) -> Verdict {
        verdict.name_taken = self.name_winner(name).is_some_and(|winner| winner != kind);
        let counts = counts(self.counted.as_ref(), name.namespace());
        if verdict.name_taken || !counts {
            verdict.ids_taken.clear();
        }
        verdict.is_routed = has_routes && counts && !verdict.name_taken;
        verdict
    }

    fn key_document(&self, id: &Arc<str>) -> Option<llm_contract::KeyRecord> {
        KeyId::parse(id).ok()?;
        let mut held = self.keys.get(id)?.iter();
        let (held, key) = held.find(|(it, _)| counts(self.counted.as_ref(), it.namespace()))?;
        let namespace: Arc<str> = held.namespace().into();
        let by = self.replacements.get(&(Arc::clone(&namespace), Arc::clone(id)));
        let replacements = by.into_iter().flatten().filter_map(|id| {
            let (_, key) =
                self.keys.get(id)?.iter().find(|(it, _)| it.namespace() == &*namespace)?;
            Some(key.key().spec)
        });
        let replacements: Vec<_> = replacements.collect();
        key::compile(&key.key(), &self.home, &replacements).ok()
    }

    /// Says anew which ids the resources of a name want.
    fn claim(&mut self, name: &ResourceName) {
        let winner = self.name_winner(name);
        let winner = winner.filter(|_| counts(self.counted.as_ref(), name.namespace()));
        let mut wanted = Vec::new();
        if let Some(model) = self.models.get(name)
            && winner == Some(Declares::Served)
        {
            let claimant = Claimant::new(Declares::Served, &model.metadata, name);
            wanted.extend(served::ids(model).map(|id| (id.to_owned(), claimant.clone())));
        }
        if let Some(provider) = self.providers.get(name)
            && winner == Some(Declares::Provider)
        {
            let claimant = Claimant::new(Declares::Provider, &provider.metadata, name);
            wanted.extend(provider::ids(provider).map(|id| (id.to_owned(), claimant.clone())));
        }
        self.stale.extend(self.claims.replace(name, wanted));
        self.stale.insert(name.clone());
    }

    /// A model and a provider may not share a name; the older one has it.
    fn name_winner(&self, name: &ResourceName) -> Option<Declares> {
        let age = |metadata: &ObjectMeta| metadata.creation_timestamp.as_ref().map(|it| it.0);
        match (self.models.get(name), self.providers.get(name)) {
            (Some(model), Some(provider)) if age(&provider.metadata) < age(&model.metadata) => {
                Some(Declares::Provider)
            }
            (Some(_), _) => Some(Declares::Served),
            (None, Some(_)) => Some(Declares::Provider),
            (None, None) => None,
        }
    }

    fn forget_secrets_of(&mut self, name: &ResourceName, but: &[ResourceName]) {
        let Some(provider) = self.providers.get(name) else { return };
        let secrets = provider::secrets(name, provider).into_iter();
        for secret in secrets.filter(|it| !but.contains(it)) {
            let Some(users) = self.users_of_secrets.get_mut(&secret) else { continue };
            users.remove(name);
            if users.is_empty() {
                self.users_of_secrets.remove(&secret);
                self.secrets.remove(&secret);
            }
        }
    }
}

/// Whether a namespace is on a list; if there is none, all are.
fn counts(namespaces: Option<&BTreeSet<String>>, namespace: &str) -> bool {
    namespaces.is_none_or(|namespaces| namespaces.contains(namespace))
}

fn put(change: &mut Change, name: Name, document: Option<&impl Serialize>) {
    // These documents are structs of strings and numbers, which always become JSON.
    match document.and_then(|document| serde_json::to_vec(document).ok()) {
        // Without the room that it had to grow.
        Some(text) => change.upserts.push((name, text.into_boxed_slice().into())),
        None => change.removals.push(name),
    }
}

/// The name of an object that came from the API.
pub fn resource_name(metadata: &ObjectMeta) -> Option<ResourceName> {
    let (namespace, name) = (metadata.namespace.as_deref()?, metadata.name.as_deref()?);
    ResourceName::parse(&format!("{namespace}/{name}")).ok()
}

/// Splits ids into those that may be used and those that others have.
fn won<'a>(
    ids: impl IntoIterator<Item = &'a str>,
    winner: &impl Fn(&str) -> Option<ResourceName>,
    taken: &mut Vec<(String, ResourceName)>,
) -> Vec<ModelId> {
    let mut won = Vec::new();
    for id in ids {
        match (winner(id), ModelId::parse(id)) {
            (Some(by), _) => taken.push((id.to_owned(), by)),
            (None, Ok(id)) if !won.contains(&id) => won.push(id),
            // What no client can write is not routed; the resource's check says so.
            (None, Ok(_) | Err(_)) => {}
        }
    }
    won
}

#[cfg(test)]
mod tests;
