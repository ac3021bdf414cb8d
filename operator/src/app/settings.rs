//! The settings of the installation that apply to every model, checked.

use llm_crd::EndpointUrls;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSettings {
    pub scope: WatchScope,
    pub images: Images,
    /// For models that name none; the cluster's default if absent.
    pub storage_class: Option<String>,
    /// The proxies, which reach the pods of models.
    pub proxies: PodSelector,
    /// The namespace whose pods may scrape the metrics of models; none if absent.
    pub monitoring_namespace: Option<String>,
    /// The namespaces of Gateways that may still send requests to pods directly, because routes
    /// of the first release may be in force there.
    pub older_gateways: BTreeSet<String>,
    pub urls: EndpointUrls,
}

/// The namespaces that are watched for custom resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchScope {
    /// All that are labelled `nebari.dev/managed=true`.
    Labelled,
    /// These, whatever their labels.
    Namespaces(BTreeSet<String>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Images {
    /// With vLLM.
    pub serving: String,
    /// Of the weights downloader.
    pub downloader: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSelector {
    pub namespace: String,
    pub labels: BTreeMap<String, String>,
}
