//! Tells people: statuses and events, and both only when something has changed.

use crate::labels::FIELD_MANAGER;
use jiff::Timestamp;
use k8s_openapi::{api::core::v1::ObjectReference, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
    core::NamespaceResourceScope,
    runtime::events::{Event, EventType, Recorder, Reporter as Sender},
};
use llm_contract::ResourceName;
use llm_crd::{ConditionType, Finding, Reason, set_condition};
use serde::Serialize;
use serde_json::{Value, json};
use std::{
    fmt,
    sync::{Arc, Once},
};

/// The longest text of an event, in bytes, that the API server takes.
const NOTE_BYTES_MAX: usize = 1024;

/// What an API server says of a field that a definition does not have.
const UNDECLARED: &str = "field not declared in schema";

/// Writes statuses and events. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    client: Client,
    recorder: Recorder,
    /// Whether it was said that definitions are older.
    older: Arc<Once>,
}

/// Something a person would ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// Whether somebody should look at it.
    pub is_warning: bool,
    /// In one word.
    pub reason: String,
    /// For people.
    pub note: String,
}

impl Reporter {
    /// Writes as a pod.
    pub fn new(client: Client, pod: Option<String>) -> Self {
        let sender = Sender { controller: FIELD_MANAGER.into(), instance: pod };
        Self {
            recorder: Recorder::new(client.clone(), sender),
            client,
            older: Arc::new(Once::new()),
        }
    }

    /// Writes a status. What others wrote into it stays.
    ///
    /// # Errors
    /// If the API server does not take it.
    pub async fn status<K>(
        &self,
        name: &ResourceName,
        status: &impl Serialize,
    ) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), name.namespace(), &resource);
        let mut body = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": name.name(), "namespace": name.namespace()},
            "status": status,
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let written = loop {
            match api.patch_status(name.name(), &params, &Patch::Apply(&body)).await {
                // The definition is an older release's: what it does not know is left out.
                Err(kube::Error::Api(refused)) if leave_out(&mut body, &refused.message) => {
                    self.older.call_once(|| {
                        tracing::warn!(
                            kind = resource.kind,
                            error = refused.message,
                            "the custom resource definitions are older than this operator, so that \
                             statuses lack something: apply those of this release"
                        );
                    });
                }
                written => break written,
            }
        };
        match written {
            Ok(_) => Ok(()),
            // It has gone meanwhile.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes one condition of a resource whose manifest cannot be read, and leaves the rest of its
    /// status alone.
    ///
    /// # Errors
    /// If the API server does not take it.
    pub async fn condition<K>(
        &self,
        name: &ResourceName,
        finding: Finding,
        now: Timestamp,
    ) -> Result<(), kube::Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let resource = ApiResource::erase::<K>(&());
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), name.namespace(), &resource);
        let Some(object) = api.get_opt(name.name()).await? else { return Ok(()) };
        let conditions = object.data.pointer("/status/conditions").cloned().unwrap_or_default();
        let mut conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap_or_default();
        if !set_condition(&mut conditions, finding, object.metadata.generation, now) {
            return Ok(());
        }
        let patch = Patch::Merge(json!({"status": {"conditions": conditions}}));
        match api.patch_status(name.name(), &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            patched => patched.map(|_| ()),
        }
    }

    /// Publishes news of a resource. An event that is lost is lost: it is not worth a retry.
    pub async fn publish(&self, about: &ObjectReference, news: &[News]) {
        for News { is_warning, reason, note } in news {
            let type_ = if *is_warning { EventType::Warning } else { EventType::Normal };
            let end = note.floor_char_boundary(NOTE_BYTES_MAX);
            let event = Event {
                type_,
                reason: reason.clone(),
                note: note.get(..end).map(str::to_owned),
                action: "Reconcile".into(),
                secondary: None,
            };
            if let Err(error) = self.recorder.publish(&event, about).await {
                tracing::warn!(name = about.name, reason, %error, "an event was not published");
            }
        }
    }
}

/// Takes out of a status what the API server says is not declared, as `.status.name`: it names one
/// field or several. Says whether there was anything.
fn leave_out(body: &mut Value, message: &str) -> bool {
    let Some(status) = body.get_mut("status").and_then(Value::as_object_mut) else { return false };
    let before = status.len();
    if message.contains(UNDECLARED) {
        status.retain(|name, _| {
            let ends = [":", ".", "["].map(|end| format!(".status.{name}{end}"));
            !ends.iter().any(|path| message.contains(path))
        });
    }
    status.len() < before
}

/// What has changed from some conditions to others, as far as a person would ask about it: a
/// reason that was not there before.
pub fn news(before: &[Condition], after: &[Condition]) -> Vec<News> {
    let known = |new: &Condition| {
        before.iter().any(|old| old.type_ == new.type_ && old.reason == new.reason)
    };
    let new = after.iter().filter(|it| is_news(&it.type_, &it.reason) && !known(it));
    let news = new.map(|condition| News {
        is_warning: is_bad(&condition.reason),
        reason: condition.reason.clone(),
        note: condition.message.clone(),
    });
    news.collect()
}

/// Whether a person would ask about a condition. Those of the way in are the same for all models.
fn is_news(about: &str, reason: &str) -> bool {
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

/// Whether somebody should look at a resource for a reason.
fn is_bad(reason: &str) -> bool {
    const BAD: &[Reason] = &[
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
    BAD.iter().any(|bad| bad.as_str() == reason)
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}
