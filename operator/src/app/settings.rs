//! What the installation says about every model, checked.

use llm_crd::EndpointUrls;
use std::collections::{BTreeMap, BTreeSet};

/// What the installation says about every model. The configuration becomes this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where custom resources are looked for.
    pub scope: Scope,
    /// The images of models that name none.
    pub images: Images,
    /// The StorageClass of volumes whose model names none; the cluster's default if absent.
    pub storage_class: Option<String>,
    /// The proxies, which reach the models' pods.
    pub proxies: Pods,
    /// The namespace whose pods may read the metrics of models; nobody may if absent.
    pub monitoring_namespace: Option<String>,
    /// The namespaces of Gateways that may still send requests to pods by themselves, because routes
    /// of the first release may be in force there.
    pub older_gateways: BTreeSet<String>,
    /// Where models are reached.
    pub urls: EndpointUrls,
}

/// Where custom resources are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every namespace with the label `nebari.dev/managed=true`.
    All,
    /// In these, whatever their labels.
    Namespaces(BTreeSet<String>),
}

/// Images of containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// With vLLM.
    pub serving: String,
    /// Fetches weights.
    pub downloader: String,
}

/// Some pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pods {
    /// Their namespace.
    pub namespace: String,
    /// Their labels.
    pub labels: BTreeMap<String, String>,
}
