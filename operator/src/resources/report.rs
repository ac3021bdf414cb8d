//! Writes statuses and publishes Events, both only on changes.

use crate::labels::FIELD_MANAGER;
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Client, Error, Resource,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::NamespaceResourceScope,
    runtime::events::{Event, EventType, Recorder, Reporter as Source},
};
use llm_contract::ResourceName;
use llm_crd::{ConditionType, Finding, Reason, set_condition};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fmt,
    sync::{Arc, Once},
};

/// The API server's limit for the note of an Event.
const NOTE_BYTES_MAX: usize = 1024;
/// Part of the API server's error for a field that is not in the schema.
const UNDECLARED: &str = "field not declared in schema";

/// Writes statuses and publishes Events. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    client: Client,
    recorder: Recorder,
    outdated_crds_logged: Arc<Once>,
}

impl Reporter {
    /// `pod` is the reporting instance in Events.
    pub fn new(client: Client, pod: Option<String>) -> Self {
        let source = Source { controller: FIELD_MANAGER.into(), instance: pod };
        Self {
            recorder: Recorder::new(client.clone(), source),
            client,
            outdated_crds_logged: Arc::new(Once::new()),
        }
    }

    /// Writes a status that has changed, and publishes Events for its new conditions.
    pub(crate) async fn update<K, S: Serialize + PartialEq>(
        &self,
        (name, resource): (&ResourceName, &K),
        (before, after): (Option<&S>, &S),
        conditions: impl Fn(&S) -> &[Condition],
    ) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        if before == Some(after) {
            return Ok(());
        }
        self.status::<K>(name, after).await?;
        let events = new_events(before.map(&conditions).unwrap_or_default(), conditions(after));
        self.publish(&resource.object_ref(&()), &events).await;
        Ok(())
    }

    /// Applies a status. Fields of other managers stay.
    pub async fn status<K>(&self, name: &ResourceName, status: &impl Serialize) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let (resource, api) = self.api::<K>(name);
        let mut body = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name.name(), "namespace": name.namespace()},
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        loop {
            match api.patch_status(name.name(), &params, &Patch::Apply(&body)).await {
                // The definition is of an older release and lacks fields of the status.
                Err(Error::Api(rejected)) if remove_undeclared(&mut body, &rejected.message) => {
                    self.outdated_crds_logged.call_once(|| {
                        tracing::warn!(
                            kind = resource.kind,
                            error = rejected.message,
                            "the custom resource definitions are older than this operator, so \
                             statuses are incomplete: apply the definitions of this release"
                        );
                    });
                }
                written => return unless_deleted(written),
            }
        }
    }

    /// Sets one condition of a resource that cannot be decoded, and nothing else of its status.
    pub async fn condition<K>(
        &self,
        name: &ResourceName,
        finding: Finding,
        now: Timestamp,
    ) -> Result<(), Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let (_, api) = self.api::<K>(name);
        let Some(object) = api.get_opt(name.name()).await? else { return Ok(()) };
        let conditions = object.data.pointer("/status/conditions").cloned().unwrap_or_default();
        let mut conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap_or_default();
        if !set_condition(&mut conditions, finding, object.metadata.generation, now) {
            return Ok(());
        }
        let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
        unless_deleted(api.patch_status(name.name(), &PatchParams::default(), &patch).await)
    }

    /// Publishes Events. A lost Event is not worth a retry.
    pub(crate) async fn publish(&self, about: &ObjectReference, events: &[Event]) {
        for event in events {
            if let Err(error) = self.recorder.publish(event, about).await {
                let (name, reason) = (&about.name, &event.reason);
                tracing::warn!(name, reason, %error, "an event was not published");
            }
        }
    }

    fn api<K>(&self, name: &ResourceName) -> (ApiResource, Api<DynamicObject>)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let resource = ApiResource::erase::<K>(&());
        let api = Api::namespaced_with(self.client.clone(), name.namespace(), &resource);
        (resource, api)
    }
}

pub(crate) fn event(type_: EventType, reason: &str, note: &str) -> Event {
    let end = note.floor_char_boundary(NOTE_BYTES_MAX);
    Event {
        type_,
        reason: reason.to_owned(),
        note: note.get(..end).map(str::to_owned),
        action: "Reconcile".into(),
        secondary: None,
    }
}

fn unless_deleted(written: kube::Result<DynamicObject>) -> Result<(), Error> {
    match written {
        Err(Error::Api(status)) if status.code == 404 => Ok(()),
        written => written.map(drop),
    }
}

/// Removes status fields that the API server reports as undeclared, such as `.status.name`, and
/// returns whether there were any. A message may list several.
fn remove_undeclared(body: &mut Value, message: &str) -> bool {
    let Some(status) = body.get_mut("status").and_then(Value::as_object_mut) else { return false };
    let before = status.len();
    if message.contains(UNDECLARED) {
        status.retain(|name, _| {
            let paths = [":", ".", "["].map(|end| format!(".status.{name}{end}"));
            !paths.iter().any(|path| message.contains(path))
        });
    }
    status.len() < before
}

/// Events for conditions whose reason has changed.
fn new_events(before: &[Condition], after: &[Condition]) -> Vec<Event> {
    let is_known = |new: &Condition| {
        before.iter().any(|old| old.type_ == new.type_ && old.reason == new.reason)
    };
    let new = after.iter().filter(|it| is_notable(&it.type_, &it.reason) && !is_known(it));
    let events = new.map(|it| event(event_type(&it.reason), &it.reason, &it.message));
    events.collect()
}

/// Whether a condition gets Events. Conditions of the endpoints do not: they are the same for all
/// models.
fn is_notable(about: &str, reason: &str) -> bool {
    const ABOUT: &[ConditionType] = &[
        ConditionType::Accepted,
        ConditionType::WeightsReady,
        ConditionType::ServingReady,
        ConditionType::BackendConfigured,
        ConditionType::UpstreamCredentialResolved,
    ];
    const REASONS: &[Reason] = &[Reason::Refused, Reason::TooLarge];
    ABOUT.iter().any(|it| it.as_str() == about) || REASONS.iter().any(|it| it.as_str() == reason)
}

fn event_type(reason: &str) -> EventType {
    const WARNINGS: &[Reason] = &[
        Reason::ModelIdTaken,
        Reason::NameTaken,
        Reason::SecretMissing,
        Reason::SecretKeyMissing,
        Reason::NamespaceNotWatched,
        Reason::InvalidSpec,
        Reason::NotSupported,
        Reason::ClaimMissing,
        Reason::DownloadFailed,
        Reason::Degraded,
        Reason::Unschedulable,
        Reason::ImagePullFailed,
        Reason::CrashLoop,
        Reason::ApplyFailed,
        Reason::Refused,
        Reason::TooLarge,
        Reason::LookupFailed,
    ];
    let is_warning = WARNINGS.iter().any(|warning| warning.as_str() == reason);
    if is_warning { EventType::Warning } else { EventType::Normal }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}
