//! The watched kinds: what is stored of each object, and what depends on it.

use crate::{
    cluster_state::{
        ClusterState, CompactKey, LLM_MODEL, ModelKind, OwnedObject, WatchEvent, endpoints,
        informer::{ObjectChange, ResourceHandler},
        names::resource_name,
    },
    labels::INSTANCE,
    work_queue::WorkQueue,
};
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

pub(super) struct Models;
pub(super) struct Providers;
pub(super) struct Keys;
pub(super) struct Pods;
pub(super) struct EndpointSlices;
pub(super) struct Secrets;
/// The kind at this index of [`crate::cluster_state::OwnedObjects`].
pub(super) struct Owned(pub(super) usize);

impl ResourceHandler for Models {
    type Object = DeserializeGuard<LLMModel>;
    type Stored = LLMModel;

    fn convert(object: Self::Object) -> Result<LLMModel, String> {
        decode(object)
    }

    fn queue(cluster: &ClusterState) -> Option<&WorkQueue<ResourceName>> {
        Some(&cluster.queues.models)
    }

    fn on_change(&self, change: &ObjectChange<'_, LLMModel>) -> Option<WatchEvent> {
        requeue_keys(ModelKind::Served, change);
        Some(WatchEvent::Model(change.name.clone(), change.new.cloned()))
    }
}

impl ResourceHandler for Providers {
    type Object = DeserializeGuard<PassthroughModel>;
    type Stored = PassthroughModel;

    fn convert(object: Self::Object) -> Result<PassthroughModel, String> {
        decode(object)
    }

    fn queue(cluster: &ClusterState) -> Option<&WorkQueue<ResourceName>> {
        Some(&cluster.queues.providers)
    }

    fn on_change(&self, change: &ObjectChange<'_, PassthroughModel>) -> Option<WatchEvent> {
        requeue_keys(ModelKind::Provider, change);
        Some(WatchEvent::Provider(change.name.clone(), change.new.cloned()))
    }
}

impl ResourceHandler for Keys {
    type Object = DeserializeGuard<ApiKeyResource>;
    type Stored = CompactKey;

    fn convert(object: Self::Object) -> Result<CompactKey, String> {
        decode(object).map(CompactKey::of)
    }

    fn queue(cluster: &ClusterState) -> Option<&WorkQueue<ResourceName>> {
        Some(&cluster.queues.keys)
    }

    fn on_change(&self, change: &ObjectChange<'_, CompactKey>) -> Option<WatchEvent> {
        let &ObjectChange { cluster, name, old, new } = change;
        let (before, after) = (old.map(|key| key.key()), new.map(|key| key.key()));
        let related = cluster.key_index.write().update(name, before.as_ref(), after.as_ref());
        related.into_iter().for_each(|key| cluster.queues.keys.push(key));
        Some(WatchEvent::Key(name.clone(), new.cloned()))
    }
}

impl ResourceHandler for Pods {
    type Object = Pod;
    type Stored = Pod;

    /// Only labels and status are used.
    fn convert(pod: Pod) -> Result<Pod, String> {
        let mut pod = trim(pod);
        pod.metadata.annotations = None;
        pod.spec = None;
        Ok(pod)
    }

    fn on_change(&self, change: &ObjectChange<'_, Pod>) -> Option<WatchEvent> {
        let &ObjectChange { cluster, name, old, new } = change;
        let instance = new.or(old)?.labels().get(INSTANCE)?;
        let model = resource_name(name.namespace(), instance)?;
        cluster.pods_by_model.write().set(&model, name, new.is_some());
        cluster.queues.models.push(model);
        None
    }
}

impl ResourceHandler for EndpointSlices {
    type Object = EndpointSlice;
    type Stored = EndpointSlice;

    fn convert(slice: EndpointSlice) -> Result<EndpointSlice, String> {
        Ok(trim(slice))
    }

    fn on_change(&self, change: &ObjectChange<'_, EndpointSlice>) -> Option<WatchEvent> {
        let &ObjectChange { cluster, name, old, new } = change;
        let service = endpoints::service(new.or(old)?)?;
        cluster.slices_by_service.write().set(&service, name, new.is_some());
        let ready = cluster.ready_endpoints(&service);
        Some(WatchEvent::Endpoints { service, ready })
    }
}

/// Only the metadata is watched, and only the version stored.
impl ResourceHandler for Secrets {
    type Object = PartialObjectMeta<Secret>;
    type Stored = ();

    fn convert(_: Self::Object) -> Result<(), String> {
        Ok(())
    }

    fn on_change(&self, change: &ObjectChange<'_, ()>) -> Option<WatchEvent> {
        let &ObjectChange { cluster, name, .. } = change;
        let is_it = |it: &ResourceName, secret: &Option<String>| {
            it.namespace() == name.namespace() && secret.as_deref() == Some(name.name())
        };
        let models =
            cluster.models.select(|it, model| is_it(it, &model.spec.model.auth_secret_name));
        models.into_iter().for_each(|model| cluster.queues.models.push(model));
        let providers = cluster.providers.select(|it, provider| {
            let provider = &provider.spec.provider;
            is_it(it, &provider.credential_secret_name) || is_it(it, &provider.ca_secret_name)
        });
        let is_used = !providers.is_empty();
        providers.into_iter().for_each(|provider| cluster.queues.providers.push(provider));
        is_used.then(|| WatchEvent::Secret(name.clone()))
    }
}

impl ResourceHandler for Owned {
    type Object = DynamicObject;
    type Stored = OwnedObject;

    fn convert(object: DynamicObject) -> Result<OwnedObject, String> {
        Ok(OwnedObject::of(object))
    }

    fn on_change(&self, change: &ObjectChange<'_, OwnedObject>) -> Option<WatchEvent> {
        let &ObjectChange { cluster, name, old, new } = change;
        cluster.owned.update_index(self.0, name, old, new);
        let models = old.into_iter().chain(new).filter_map(|object| model_of(name, object));
        models.for_each(|model| cluster.queues.models.push(model));
        None
    }
}

/// The model that controls an object, or that an object without controller names.
fn model_of(name: &ResourceName, object: &OwnedObject) -> Option<ResourceName> {
    let model = match &object.controller {
        Some(owner) if owner.kind == LLM_MODEL => &owner.name,
        Some(_) => return None,
        None => object.labels.get(INSTANCE)?,
    };
    resource_name(name.namespace(), model)
}

fn decode<K: Resource>(DeserializeGuard(object): DeserializeGuard<K>) -> Result<K, String> {
    object.map(trim).map_err(|invalid| invalid.error)
}

/// Drops what is large and unused.
fn trim<K: Resource>(mut object: K) -> K {
    object.meta_mut().managed_fields = None;
    if let Some(annotations) = &mut object.meta_mut().annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    object
}

/// Queues the keys for a model that was created or deleted, and the keys for all models of its
/// namespace, or of the cluster, that got their first or lost their last.
fn requeue_keys<K>(kind: ModelKind, change: &ObjectChange<'_, K>) {
    let &ObjectChange { cluster, name, old, new } = change;
    let is_present = new.is_some();
    if old.is_some() == is_present {
        return;
    }
    let namespace = name.namespace();
    let mut models = cluster.models_by_namespace.write();
    let namespace_changes = models.set(&namespace.into(), &(kind, name.clone()), is_present);
    let counts_elsewhere = |it: &str| it != namespace && cluster.is_managed(it);
    let all_changes = namespace_changes && !models.keys().any(|it| counts_elsewhere(it));
    drop(models);
    let index = cluster.key_index.read();
    let mut keys = index.for_scope(name.as_str());
    if namespace_changes {
        keys.extend(index.for_scope(&format!("{namespace}/*")));
    }
    if all_changes {
        keys.extend(index.for_scope("*"));
    }
    drop(index);
    keys.into_iter().for_each(|key| cluster.queues.keys.push(key));
}
