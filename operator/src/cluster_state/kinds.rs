//! The kinds that are watched: what is kept of each, and whom a change concerns.

use crate::cluster_state::{
    LiveObjects, PackedKey, Seen, Store, World, endpoints, follow::Watched, live::Live,
};
use crate::labels::INSTANCE;
use k8s_openapi::api::{
    core::v1::{Pod, Secret},
    discovery::v1::EndpointSlice,
};
use kube::{
    Resource, ResourceExt as _,
    api::DynamicObject,
    core::{DeserializeGuard, PartialObjectMeta},
};
use llm_contract::ResourceName;
use llm_crd::{ApiKeyResource, LLMModel, PassthroughModel};
use std::sync::Arc;

/// The kind of models served here, as in a manifest.
pub const LLM_MODEL: &str = "LLMModel";
/// The kind of models of providers.
pub const PASSTHROUGH_MODEL: &str = "PassthroughModel";
/// The kind of keys.
pub const API_KEY: &str = "ApiKey";

pub(super) struct Models;
pub(super) struct Providers;
pub(super) struct Keys;
pub(super) struct Pods;
pub(super) struct Slices;
pub(super) struct Secrets;
/// One of the kinds we write, by its place in [`LiveObjects`].
pub(super) struct Written {
    pub(super) kind: usize,
    pub(super) name: String,
}

impl Watched for Models {
    type Object = DeserializeGuard<LLMModel>;
    type Kept = LLMModel;

    fn kind(&self) -> &str {
        LLM_MODEL
    }

    fn store<'a>(&self, world: &'a World) -> Option<&'a Store<LLMModel>> {
        Some(&world.models)
    }

    fn keep(&self, world: &World, name: &ResourceName, object: Self::Object) -> Option<LLMModel> {
        readable(self.kind(), world, name, object, |world| world.queues.models.push(name.clone()))
    }

    fn changed(
        &self,
        world: &World,
        name: &ResourceName,
        old: Option<&Arc<LLMModel>>,
        new: Option<&Arc<LLMModel>>,
    ) -> Option<Seen> {
        world.queues.models.push(name.clone());
        if old.is_some() != new.is_some() {
            came_or_went(world, name, new.is_some());
        }
        Some(new.map_or(Seen::ModelGone(name.clone()), |new| {
            Seen::Model(name.clone(), Arc::clone(new))
        }))
    }
}

impl Watched for Providers {
    type Object = DeserializeGuard<PassthroughModel>;
    type Kept = PassthroughModel;

    fn kind(&self) -> &str {
        PASSTHROUGH_MODEL
    }

    fn store<'a>(&self, world: &'a World) -> Option<&'a Store<PassthroughModel>> {
        Some(&world.providers)
    }

    fn keep(
        &self,
        world: &World,
        name: &ResourceName,
        object: Self::Object,
    ) -> Option<PassthroughModel> {
        readable(self.kind(), world, name, object, |world| {
            world.queues.providers.push(name.clone());
        })
    }

    fn changed(
        &self,
        world: &World,
        name: &ResourceName,
        old: Option<&Arc<PassthroughModel>>,
        new: Option<&Arc<PassthroughModel>>,
    ) -> Option<Seen> {
        world.queues.providers.push(name.clone());
        if old.is_some() != new.is_some() {
            came_or_went(world, name, new.is_some());
        }
        let gone = || Seen::ProviderGone(name.clone());
        Some(new.map_or_else(gone, |new| Seen::Provider(name.clone(), Arc::clone(new))))
    }
}

impl Watched for Keys {
    type Object = DeserializeGuard<ApiKeyResource>;
    type Kept = PackedKey;

    fn kind(&self) -> &str {
        API_KEY
    }

    fn store<'a>(&self, world: &'a World) -> Option<&'a Store<PackedKey>> {
        Some(&world.keys)
    }

    fn keep(&self, world: &World, name: &ResourceName, object: Self::Object) -> Option<PackedKey> {
        let look = |world: &World| world.queues.keys.push(name.clone());
        readable(self.kind(), world, name, object, look).map(PackedKey::of)
    }

    fn changed(
        &self,
        world: &World,
        name: &ResourceName,
        old: Option<&Arc<PackedKey>>,
        new: Option<&Arc<PackedKey>>,
    ) -> Option<Seen> {
        let read = |key: Option<&Arc<PackedKey>>| key.map(|key| key.key());
        let others = world.links.write().moved(name, read(old).as_ref(), read(new).as_ref());
        world.queues.keys.push(name.clone());
        for other in others {
            world.queues.keys.push(other);
        }
        Some(
            new.map_or(Seen::KeyGone(name.clone()), |new| Seen::Key(name.clone(), Arc::clone(new))),
        )
    }
}

impl Watched for Pods {
    type Object = Pod;
    type Kept = Pod;

    fn kind(&self) -> &str {
        "Pod"
    }

    fn store<'a>(&self, world: &'a World) -> Option<&'a Store<Pod>> {
        Some(&world.pods)
    }

    /// Its state is all that is asked for.
    fn keep(&self, _: &World, _: &ResourceName, mut pod: Pod) -> Option<Pod> {
        slim(&mut pod);
        pod.metadata.annotations = None;
        pod.spec = None;
        Some(pod)
    }

    fn changed(
        &self,
        world: &World,
        name: &ResourceName,
        old: Option<&Arc<Pod>>,
        new: Option<&Arc<Pod>>,
    ) -> Option<Seen> {
        let model = new.or(old).and_then(|pod| instance(name, pod.labels().get(INSTANCE)?));
        if let Some(model) = model {
            world.pods_of.write().moved(&model, name, new.is_some());
            world.queues.models.push(model);
        }
        None
    }
}

impl Watched for Slices {
    type Object = EndpointSlice;
    type Kept = EndpointSlice;

    fn kind(&self) -> &str {
        "EndpointSlice"
    }

    fn store<'a>(&self, world: &'a World) -> Option<&'a Store<EndpointSlice>> {
        Some(&world.slices)
    }

    fn keep(&self, _: &World, _: &ResourceName, mut slice: EndpointSlice) -> Option<EndpointSlice> {
        slim(&mut slice);
        Some(slice)
    }

    fn changed(
        &self,
        world: &World,
        name: &ResourceName,
        old: Option<&Arc<EndpointSlice>>,
        new: Option<&Arc<EndpointSlice>>,
    ) -> Option<Seen> {
        let service = new.or(old).and_then(|slice| endpoints::service(slice))?;
        world.slices_of.write().moved(&service, name, new.is_some());
        let ready = world.endpoints(&service);
        Some(Seen::Endpoints { service, ready })
    }
}

impl Watched for Secrets {
    type Object = PartialObjectMeta<Secret>;
    type Kept = ();

    fn kind(&self) -> &str {
        "Secret"
    }

    fn store<'a>(&self, world: &'a World) -> Option<&'a Store<()>> {
        Some(&world.secret_versions)
    }

    fn keep(&self, _: &World, _: &ResourceName, _: Self::Object) -> Option<()> {
        Some(())
    }

    fn changed(
        &self,
        world: &World,
        name: &ResourceName,
        _: Option<&Arc<()>>,
        _: Option<&Arc<()>>,
    ) -> Option<Seen> {
        let here = |it: &ResourceName| it.namespace() == name.namespace();
        for model in world.models.select(|it, model| here(it) && uses(model, name.name())) {
            world.queues.models.push(of(&*model)?);
        }
        let providers = &world.providers;
        let mut used = false;
        for provider in providers.select(|it, provider| here(it) && refers(provider, name.name())) {
            used = true;
            world.queues.providers.push(of(&*provider)?);
        }
        used.then(|| Seen::Secret(name.clone()))
    }
}

impl Watched for Written {
    type Object = DynamicObject;
    type Kept = Live;

    fn kind(&self) -> &str {
        &self.name
    }

    fn store<'a>(&self, world: &'a World) -> Option<&'a Store<Live>> {
        world.live.at(self.kind)
    }

    fn keep(&self, _: &World, _: &ResourceName, object: DynamicObject) -> Option<Live> {
        Some(Live::of(object))
    }

    fn changed(
        &self,
        world: &World,
        name: &ResourceName,
        old: Option<&Arc<Live>>,
        new: Option<&Arc<Live>>,
    ) -> Option<Seen> {
        LiveObjects::moved(
            &world.live,
            self.kind,
            name,
            old.map(Arc::as_ref),
            new.map(Arc::as_ref),
        );
        for live in old.into_iter().chain(new) {
            if let Some(model) = instance_of(name, live) {
                world.queues.models.push(model);
            }
        }
        None
    }
}

/// The model that an object of ours belongs to: the one that controls it, or the one it names.
fn instance_of(name: &ResourceName, live: &Live) -> Option<ResourceName> {
    match &live.controller {
        Some(owner) if owner.kind == LLM_MODEL => instance(name, &owner.name),
        Some(_) => None,
        None => instance(name, live.labels.get(INSTANCE)?),
    }
}

/// What a manifest says, if it can be read. If not, its last good version stays, and it is noted.
fn readable<K: Resource>(
    kind: &str,
    world: &World,
    name: &ResourceName,
    DeserializeGuard(object): DeserializeGuard<K>,
    look: impl Fn(&World),
) -> Option<K> {
    match object {
        Ok(mut object) => {
            world.forget_unreadable(kind, name);
            slim(&mut object);
            Some(object)
        }
        Err(invalid) => {
            tracing::warn!(kind, %name, error = %invalid, "a resource cannot be read");
            world.note_unreadable(kind, name, invalid.error);
            look(world);
            None
        }
    }
}

/// Leaves out what is large and nobody asks for.
fn slim(object: &mut impl Resource) {
    object.meta_mut().managed_fields = None;
    if let Some(annotations) = &mut object.meta_mut().annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

/// A resource that declares models is new, or gone: tells the keys that name it, and those for all
/// models that get their first one or lose their last. Other keys cost nothing.
fn came_or_went(world: &World, name: &ResourceName, there: bool) {
    let here = name.namespace();
    let mut declared = world.declared.write();
    let here_changes = declared.moved(here, there);
    let elsewhere = |it: &str| it != here && world.is_managed(it);
    let all_changes = here_changes && !declared.namespaces().any(elsewhere);
    drop(declared);
    let links = world.links.read();
    let mut keys = links.naming(name.as_str());
    if here_changes {
        keys.extend(links.naming(&format!("{here}/*")));
    }
    if all_changes {
        keys.extend(links.naming("*"));
    }
    drop(links);
    for key in keys {
        world.queues.keys.push(key);
    }
}

/// The Secrets that a model's pods need, beside those that images are pulled with.
fn uses(model: &LLMModel, secret: &str) -> bool {
    model.spec.model.auth_secret_name.as_deref() == Some(secret)
}

fn refers(provider: &PassthroughModel, secret: &str) -> bool {
    let provider = &provider.spec.provider;
    [&provider.credential_secret_name, &provider.ca_secret_name]
        .into_iter()
        .any(|name| name.as_deref() == Some(secret))
}

fn instance(beside: &ResourceName, name: &str) -> Option<ResourceName> {
    ResourceName::parse(&format!("{}/{name}", beside.namespace())).ok()
}

fn of(object: &impl Resource) -> Option<ResourceName> {
    let (namespace, name) = (object.meta().namespace.as_deref()?, object.meta().name.as_deref()?);
    ResourceName::parse(&format!("{namespace}/{name}")).ok()
}
