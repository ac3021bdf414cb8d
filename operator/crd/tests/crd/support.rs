//! An API server that has the kinds.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use llm_cluster::{ApiServer, ControlPlane};
use std::{path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;

/// The folder of the whole project.
pub(crate) fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The manifests of an example, in order.
pub(crate) fn manifests(text: &str) -> Vec<serde_json::Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// Installs definitions, and waits until the server has their kinds.
pub(crate) async fn install(api: &ApiServer, definitions: &[CustomResourceDefinition]) {
    for definition in definitions {
        api.apply(&serde_json::to_string(definition).unwrap()).await.unwrap();
    }
    api.wait_until_kinds_are_served().await.unwrap();
}

/// A control plane that has the kinds, which the tests of this file share.
pub(crate) async fn cluster() -> Arc<ControlPlane> {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let cluster = ControlPlane::shared().await.unwrap();
    let definitions = llm_crd::definitions().unwrap();
    INSTALLED.get_or_init(async || install(&cluster, &definitions).await).await;
    cluster
}
