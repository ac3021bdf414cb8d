//! The operator's own certificate authority, stored in a Secret that all replicas share.
//!
//! The leader creates and rotates it; every replica issues itself a certificate. Proxies read the
//! roots they trust from a ConfigMap.

use crate::{
    clock,
    labels::{FIELD_MANAGER, MANAGED_BY},
    work_queue::{Action, WorkQueue},
};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    core::PartialObjectMeta,
    runtime::{WatchStreamExt as _, watcher::watch_object},
};
use llm_contract::Chain;
use llm_push::{
    Authority, IssueError, IssuedCertificate, RotationStep, ServingCertificate, next_step,
};
use std::{collections::BTreeMap, time::Duration};
use tokio_util::sync::CancellationToken;

/// The name of the Secret and of the ConfigMap.
pub const NAME: &str = "llm-operator-ca";
/// The key of the ConfigMap that holds the roots.
const BUNDLE: &str = "ca.crt";
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct AuthorityStore {
    client: Client,
    namespace: String,
}

#[derive(Debug, thiserror::Error)]
enum AuthorityStoreError {
    #[error("reading or writing {NAME}")]
    Api(#[from] kube::Error),
    #[error("creating a root certificate")]
    Create(#[from] rcgen::Error),
}

impl AuthorityStore {
    /// In the operator's namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.into() }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Returns when the next rotation step is due.
    async fn reconcile(&self, now: Timestamp) -> Result<Timestamp, AuthorityStoreError> {
        let stored = self.secrets().get_opt(NAME).await?;
        let authority = stored.as_ref().and_then(parse);
        let step = next_step(authority.as_ref(), now);
        let authority = match (step, authority) {
            (RotationStep::Keep { .. }, Some(authority)) => authority,
            (step, authority) => {
                let next = Authority::advance(authority, step, now)?;
                self.store(stored.map(|secret| secret.metadata), &next).await?;
                tracing::info!(?step, "certificate authority changed");
                next
            }
        };
        self.publish(&authority).await?;
        match next_step(Some(&authority), now) {
            RotationStep::Keep { until } => Ok(until),
            RotationStep::Create
            | RotationStep::Prepare
            | RotationStep::Promote
            | RotationStep::Retire => Ok(now),
        }
    }

    /// Fails with a conflict if another replica has written in between: there must not be two
    /// authorities.
    async fn store(&self, before: Option<ObjectMeta>, next: &Authority) -> kube::Result<()> {
        let data = next.to_data().into_iter();
        let data = data.map(|(name, part)| (name.into(), ByteString(part.reveal().into())));
        let resource_version = before.and_then(|metadata| metadata.resource_version);
        let exists = resource_version.is_some();
        let secret = Secret {
            metadata: ObjectMeta { resource_version, ..metadata() },
            data: Some(data.collect()),
            ..Secret::default()
        };
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        if exists {
            self.secrets().replace(NAME, &params, &secret).await?;
        } else {
            self.secrets().create(&params, &secret).await?;
        }
        Ok(())
    }

    async fn publish(&self, authority: &Authority) -> kube::Result<()> {
        let bundle = authority.bundle();
        let published = self.config_maps().get_opt(NAME).await?.and_then(|map| map.data);
        if published.is_some_and(|data| data.get(BUNDLE) == Some(&bundle)) {
            return Ok(());
        }
        let data = Some(BTreeMap::from([(BUNDLE.to_owned(), bundle)]));
        let map = ConfigMap { metadata: metadata(), data, ..ConfigMap::default() };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.config_maps().patch(NAME, &params, &Patch::Apply(&map)).await?;
        Ok(())
    }

    /// An item whenever the Secret or the ConfigMap has changed.
    fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let (client, namespace) = (self.client.clone(), &self.namespace);
        let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
        let maps: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, namespace);
        let secrets = watch_object(secrets, NAME).default_backoff().map_ok(drop);
        let maps = watch_object(maps, NAME).default_backoff().map_ok(drop);
        stream::select(secrets, maps).filter_map(async |change| change.ok())
    }

    fn versions(&self) -> impl Stream<Item = Authority> + Send + use<> {
        watch_object(self.secrets(), NAME).default_backoff().filter_map(async |secret| {
            let secret = secret.inspect_err(|error| {
                tracing::warn!(%error, "watch of certificate authority failed, retrying");
            });
            parse(&secret.ok()??)
        })
    }
}

/// Creates and rotates the authority until stopped; also if it is deleted or unusable. For
/// the leader.
pub async fn maintain(store: &AuthorityStore, stop: &CancellationToken) {
    let queue = WorkQueue::default();
    let changes = store.changes().for_each(async |()| queue.push(()));
    let reconcile = async |()| {
        let now = clock::wall();
        match store.reconcile(now).await {
            Ok(due) => {
                let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
                Action::RequeueAfter(wait.max(RETRY_INTERVAL))
            }
            Err(error) => {
                tracing::error!(error = %Chain(&error), "certificate authority not maintained");
                Action::Retry
            }
        }
    };
    tokio::select! {
        () = queue.run(1, [()], stop, reconcile) => {}
        () = changes => {}
    }
}

/// A certificate for these names, and the future that renews it. Waits until there is an
/// authority; fails if a name is not valid in DNS.
pub async fn serving_certificate(
    store: &AuthorityStore,
    names: Vec<String>,
) -> Result<(ServingCertificate, impl Future<Output = ()> + Send + use<>), IssueError> {
    let mut versions = Box::pin(store.versions().chain(stream::pending()));
    let mut authority = loop {
        if let Some(authority) = versions.next().await {
            break authority;
        }
    };
    let issued = authority.issue(&names, clock::wall())?;
    let mut renew_at = issued.renew_at;
    let certificate = ServingCertificate::new(issued);
    let renewed = certificate.clone();
    let renew = async move {
        loop {
            let left = Duration::try_from(renew_at.duration_since(clock::wall()));
            tokio::select! {
                Some(next) = versions.next() => authority = next,
                () = tokio::time::sleep(left.unwrap_or_default()) => {}
            }
            match authority.issue(&names, clock::wall()) {
                Ok(issued @ IssuedCertificate { renew_at: next, .. }) => {
                    renew_at = next;
                    renewed.replace(issued);
                }
                Err(error) => {
                    tracing::error!(%error, "serving certificate not renewed, retrying");
                    tokio::time::sleep(RETRY_INTERVAL).await;
                }
            }
        }
    };
    Ok((certificate, renew))
}

fn parse(secret: &Secret) -> Option<Authority> {
    let data = secret.data.as_ref()?;
    let authority = Authority::parse(|name| data.get(name).map(|it| it.0.as_slice()));
    if let Err(error) = &authority {
        tracing::error!(%error, "{NAME} is unusable, the leader creates a new authority");
    }
    authority.ok()
}

fn metadata() -> ObjectMeta {
    let labels = [MANAGED_BY, ("app.kubernetes.io/component", "push")];
    let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
    ObjectMeta { name: Some(NAME.into()), labels: Some(labels.into()), ..ObjectMeta::default() }
}
