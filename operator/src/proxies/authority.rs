//! The operator's own certificate authority, kept in a Secret that all replicas share.
//!
//! The leader makes it and rotates it; every replica issues itself a certificate of it. Proxies
//! get the roots they are to trust from a ConfigMap.

use crate::{apply::FIELD_MANAGER, clock};
use futures::{Stream, StreamExt, stream};
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
    runtime::{WatchStreamExt, watcher},
};
use llm_push::{Authority, Certificate, IssueError, IssuedCertificate, RotationStep, next_step};
use std::{collections::BTreeMap, pin::pin, time::Duration};
use tokio_util::sync::CancellationToken;

/// The Secret and the ConfigMap.
pub const NAME: &str = "llm-operator-ca";
/// Where the ConfigMap holds the roots.
const BUNDLE: &str = "ca.crt";
/// Before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What the replicas share.
#[derive(Clone)]
pub struct Published {
    client: Client,
    namespace: String,
}

/// Why the authority is not as it should be.
#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error("reading or writing {NAME}")]
    Api(#[from] kube::Error),
    #[error("making a root certificate")]
    Make(#[from] rcgen::Error),
}

impl Published {
    /// In the operator's namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, namespace: namespace.into() }
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Does what is due, and says when to look again.
    async fn step(&self, now: Timestamp) -> Result<Timestamp, NotKept> {
        let stored = self.secrets().get_opt(NAME).await?;
        let authority = stored.as_ref().and_then(parse);
        let step = next_step(authority.as_ref(), now);
        let authority = match (step, authority) {
            (RotationStep::Keep { .. }, Some(authority)) => authority,
            (step, authority) => {
                let next = Authority::advance(authority, step, now)?;
                self.store(stored.map(|secret| secret.metadata), &next).await?;
                tracing::info!(?step, "the certificate authority was changed");
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

    /// Never over what another replica has written meanwhile: two authorities would be one too
    /// many.
    async fn store(&self, before: Option<ObjectMeta>, next: &Authority) -> kube::Result<()> {
        let data = next.to_data().into_iter();
        let data = data.map(|(name, part)| (name.into(), ByteString(part.reveal().into())));
        let metadata = ObjectMeta {
            name: Some(NAME.into()),
            labels: Some(labels()),
            resource_version: before.and_then(|metadata| metadata.resource_version),
            ..ObjectMeta::default()
        };
        let exists = metadata.resource_version.is_some();
        let secret = Secret { metadata, data: Some(data.collect()), ..Secret::default() };
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
        let published = self.maps().get_opt(NAME).await?.and_then(|map| map.data);
        if published.is_some_and(|data| data.get(BUNDLE) == Some(&bundle)) {
            return Ok(());
        }
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.into()),
                labels: Some(labels()),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(BUNDLE.to_owned(), bundle)])),
            ..ConfigMap::default()
        };
        let params = PatchParams::apply(FIELD_MANAGER).force();
        self.maps().patch(NAME, &params, &Patch::Apply(&map)).await?;
        Ok(())
    }

    /// Whenever what is stored or published may be other than it was.
    fn touched(&self) -> impl Stream<Item = ()> + Send + use<> {
        let (client, namespace) = (self.client.clone(), &self.namespace);
        let secrets: Api<PartialObjectMeta<Secret>> = Api::namespaced(client.clone(), namespace);
        let maps: Api<PartialObjectMeta<ConfigMap>> = Api::namespaced(client, namespace);
        let stored = watcher(secrets, only()).default_backoff().map(is_change);
        let published = watcher(maps, only()).default_backoff().map(is_change);
        stream::select(stored, published).filter_map(async |is_change| is_change.then_some(()))
    }

    /// Every version of the authority, as it is stored.
    fn versions(&self) -> impl Stream<Item = Authority> + Send + use<> {
        let events = watcher(self.secrets(), only()).default_backoff().applied_objects();
        events.filter_map(async |event| match event {
            Ok(secret) => parse(&secret),
            Err(error) => {
                tracing::warn!(%error, "the certificate authority is not seen");
                None
            }
        })
    }
}

/// Makes the authority and rotates it, until told to stop; makes it anew if somebody removes or
/// breaks it. For the leader.
pub async fn keep(published: &Published, stop: &CancellationToken) {
    let mut touched = pin!(published.touched());
    loop {
        let now = clock::wall();
        let Some(stepped) = stop.run_until_cancelled(published.step(now)).await else { return };
        let wait = match stepped {
            Ok(until) => {
                Duration::try_from(until.duration_since(now)).unwrap_or_default().max(RETRY)
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the certificate authority"
                );
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            Some(()) = touched.next() => {}
        }
    }
}

/// A certificate for these names that is kept current by the future beside it. Waits until there
/// is an authority.
///
/// # Errors
/// [`IssueError`]; most likely a name that DNS could not have.
pub async fn serving(
    published: &Published,
    names: Vec<String>,
) -> Result<(Certificate, impl Future<Output = ()> + Send + use<>), IssueError> {
    let mut versions = Box::pin(published.versions().chain(stream::pending()));
    let mut authority = loop {
        if let Some(authority) = versions.next().await {
            break authority;
        }
    };
    let issued = authority.issue(&names, clock::wall())?;
    let mut renew_at = issued.renew_at;
    let certificate = Certificate::new(issued);
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
                    tracing::error!(%error, "the operator's certificate could not be renewed");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    };
    Ok((certificate, renew))
}

/// The one object of our name.
fn only() -> watcher::Config {
    watcher::Config::default().fields(&format!("metadata.name={NAME}"))
}

/// A list that is complete counts too: it may lack what was there.
fn is_change<K>(event: watcher::Result<watcher::Event<K>>) -> bool {
    match event {
        Ok(watcher::Event::Apply(_) | watcher::Event::Delete(_) | watcher::Event::InitDone) => true,
        Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => false,
        Err(error) => {
            tracing::debug!(%error, "the certificate authority is not seen");
            false
        }
    }
}

fn parse(secret: &Secret) -> Option<Authority> {
    let data = secret.data.as_ref()?;
    let authority = Authority::parse(|name| data.get(name).map(|it| it.0.as_slice()));
    if let Err(error) = &authority {
        tracing::error!(%error, "{NAME} cannot be used; the leader makes a new one");
    }
    authority.ok()
}

fn labels() -> BTreeMap<String, String> {
    let (name, value) = crate::cluster_state::MANAGED_BY;
    BTreeMap::from([
        (name.to_owned(), value.to_owned()),
        ("app.kubernetes.io/component".to_owned(), "push".to_owned()),
    ])
}
