//! What every part of the operator shares.

use crate::{
    app::settings::OperatorSettings, apply::Applier, cluster_state::ClusterState,
    findings::Findings, resources::report::Reporter,
};
use kube::Client;
use std::sync::Arc;

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    pub settings: Arc<OperatorSettings>,
    pub cluster: Arc<ClusterState>,
    pub applier: Applier,
    pub reporter: Reporter,
    pub findings: Arc<Findings>,
}

impl Context {
    /// `pod` is our own name, for events.
    pub fn new(
        client: &Client,
        settings: OperatorSettings,
        cluster: Arc<ClusterState>,
        pod: Option<String>,
    ) -> Self {
        Self {
            settings: Arc::new(settings),
            applier: Applier::new(client.clone(), cluster.owned.clone()),
            reporter: Reporter::new(client.clone(), pod),
            findings: Arc::new(Findings::new(Arc::clone(&cluster))),
            cluster,
        }
    }
}
