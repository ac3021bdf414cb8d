//! Says of keys when they were used last, to within an hour.

use crate::{context::Context, resources::report::FIELD_MANAGER_OF_USE};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use llm_contract::{KeyId, ResourceName};
use llm_crd::ApiKeyResource;
use llm_push::Push;
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use tokio_util::sync::CancellationToken;

/// Uses are gathered for as long: several proxies report the same key.
const GATHER: Duration = Duration::from_secs(2);
/// Keys that are written at a time.
const AT_A_TIME: usize = 8;

/// Writes into the statuses of keys when they were used, until told to stop. For the leader.
pub async fn note_uses(context: &Context, push: &Push, stop: &CancellationToken) {
    loop {
        let mut used = tokio::select! {
            () = stop.cancelled() => return,
            used = push.key_usage().take() => used,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(GATHER) => {}
        }
        if let Some(more) = futures::FutureExt::now_or_never(push.key_usage().take()) {
            for (id, at) in more {
                let last = used.entry(id).or_insert(at);
                *last = at.max(*last);
            }
        }
        let news = newer(context, &used);
        stream::iter(news)
            .for_each_concurrent(AT_A_TIME, async |(name, at)| {
                stop.run_until_cancelled(note(context, &name, at)).await;
            })
            .await;
    }
}

/// The keys of which a later use is known than their status says.
fn newer(context: &Context, used: &BTreeMap<KeyId, Timestamp>) -> Vec<(ResourceName, Timestamp)> {
    let keys = context.world.keys.names().into_iter();
    let news = keys.filter_map(|name| {
        let at = *used.get(&KeyId::parse(name.name()).ok()?)?;
        let key = context.world.keys.get(&name)?.key();
        let last = key.status.as_ref().and_then(|status| status.last_used_at.as_ref());
        last.is_none_or(|last| last.0 < at).then_some((name, at))
    });
    news.collect()
}

async fn note(context: &Context, name: &ResourceName, at: Timestamp) {
    let client = context.applier.client().clone();
    let api: Api<ApiKeyResource> = Api::namespaced(client, name.namespace());
    let patch = json!({"status": {"lastUsedAt": Time(at)}});
    // Not applied like the rest of the status: what one apply leaves out it takes away.
    let params =
        PatchParams { field_manager: Some(FIELD_MANAGER_OF_USE.into()), ..PatchParams::default() };
    match api.patch_status(name.name(), &params, &Patch::Merge(patch)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        // Its next use, in an hour, says it again.
        Err(error) => tracing::warn!(key = %name, %error, "the last use of a key was not noted"),
    }
}
