//! Records when keys were last used, to the hour.

use crate::{context::Context, labels::LAST_USED_FIELD_MANAGER};
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

/// The debounce: several proxies report the same key.
const DEBOUNCE: Duration = Duration::from_secs(2);
const CONCURRENT_WRITES: usize = 8;

/// Updates `status.lastUsedAt` of keys for as long as it runs. For the leader.
pub async fn record_last_used(context: &Context, push: &Push) {
    loop {
        let mut used = push.key_usage().take().await;
        tokio::time::sleep(DEBOUNCE).await;
        if let Some(more) = futures::FutureExt::now_or_never(push.key_usage().take()) {
            for (id, at) in more {
                let last = used.entry(id).or_insert(at);
                *last = at.max(*last);
            }
        }
        let newer = newer_uses(context, &used);
        let record = async |(name, at)| record(context, &name, at).await;
        stream::iter(newer).for_each_concurrent(CONCURRENT_WRITES, record).await;
    }
}

/// The uses that are later than the status says.
fn newer_uses(
    context: &Context,
    used: &BTreeMap<KeyId, Timestamp>,
) -> Vec<(ResourceName, Timestamp)> {
    let keys = context.cluster.keys.names().into_iter();
    let newer = keys.filter_map(|name| {
        let at = *used.get(&KeyId::parse(name.name()).ok()?)?;
        let key = context.cluster.keys.get(&name)?.key();
        let last = key.status.as_ref().and_then(|status| status.last_used_at.as_ref());
        last.is_none_or(|last| last.0 < at).then_some((name, at))
    });
    newer.collect()
}

async fn record(context: &Context, name: &ResourceName, at: Timestamp) {
    let client = context.applier.client().clone();
    let api: Api<ApiKeyResource> = Api::namespaced(client, name.namespace());
    let patch = json!({"status": {"lastUsedAt": Time(at)}});
    // Not applied like the rest of the status: an apply removes the fields it leaves out.
    let params = PatchParams {
        field_manager: Some(LAST_USED_FIELD_MANAGER.into()),
        ..PatchParams::default()
    };
    match api.patch_status(name.name(), &params, &Patch::Merge(patch)).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        // The next use, in an hour, is reported again.
        Err(error) => tracing::warn!(key = %name, %error, "last use of key not recorded"),
    }
}
