//! An installation with a provider, and a client that uses it.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};
use llm_cluster::{
    ControlPlane, Durations, GatewayClient, Installation, LoadGenerator, LoadReport, Operator,
    Proxy, clock, external_addresses,
    resources::{self, UPSTREAM_MODEL},
    wait_for, wait_for_status,
};
use llm_crd::PassthroughModel;
use llm_sim::{Config, Role, Sim};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// The median time until a change is in force everywhere. A busy machine may delay some;
/// `llm-scale` measures all.
pub(crate) const CHANGE_MAX: Duration = Duration::from_secs(1);
/// The 90th percentile of the same, on a busy machine.
pub(crate) const BUSY_MAX: Duration = Duration::from_secs(5);
/// A model that exists all the time.
pub(crate) const STEADY: &str = "steady";
/// The number of a key that is valid all the time.
pub(crate) const CLIENT_KEY: u32 = 1;
/// Between two tokens of an answer.
const TOKEN_INTERVAL: Duration = Duration::from_millis(4);
const CLIENTS_PER_PROXY: usize = 2;

/// An installation with operators, proxies, a provider and a client with a key.
pub(crate) struct TestBed {
    pub(crate) installation: Installation,
    pub(crate) operators: Vec<Operator>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) client: GatewayClient,
    pub(crate) upstream: Sim,
}

impl TestBed {
    /// On the shared control plane.
    pub(crate) async fn with(operators: usize, proxies: usize) -> Self {
        Self::on(ControlPlane::shared().await.unwrap(), operators, proxies).await
    }

    pub(crate) async fn on(plane: Arc<ControlPlane>, operators: usize, proxies: usize) -> Self {
        let installation = Installation::create(plane).await.unwrap();
        wait_for_rbac(&installation).await;
        let config = Config {
            role: Role::Provider,
            models: vec![UPSTREAM_MODEL.into()],
            itl: TOKEN_INTERVAL,
            received_max: 0,
            ..Config::default()
        };
        let upstream = Sim::start(config).await.unwrap();
        installation
            .apply(&resources::provider(STEADY, upstream.addr(), &[STEADY]).unwrap())
            .await
            .unwrap();
        let client = installation.client_with_key(CLIENT_KEY).await.unwrap();
        let mut testbed =
            Self { installation, operators: vec![], proxies: vec![], client, upstream };
        for _ in 0..operators {
            testbed.add_operator().await;
        }
        if 0 < proxies {
            testbed.proxies = testbed.installation.proxies(proxies).await.unwrap();
            testbed.wait_for_status(STEADY, 200).await;
        }
        testbed
    }

    pub(crate) async fn add_operator(&mut self) {
        self.operators.push(self.installation.operator().await.unwrap());
    }

    /// A resource for the provider, with these model ids.
    pub(crate) fn provider(&self, name: &str, ids: &[&str]) -> PassthroughModel {
        resources::provider(name, self.upstream.addr(), ids).unwrap()
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        external_addresses(&self.proxies)
    }

    /// Waits until every proxy answers so; returns how long each took.
    pub(crate) async fn wait_for_status(&self, model: &str, status: u16) -> Durations {
        let (addresses, start) = (self.addresses(), clock::now());
        let reached =
            wait_for_status(&addresses, &self.client, model, status, DEADLINE).await.unwrap();
        let mut durations = Durations::default();
        durations.extend(reached.into_iter().map(|at| at - start));
        durations
    }

    /// Creates a model, and waits until every proxy serves it.
    pub(crate) async fn add_model(&self, model: &str) {
        self.installation.apply(&self.provider(model, &[model])).await.unwrap();
        self.wait_for_status(model, 200).await;
    }

    /// Starts clients that use the steady model.
    pub(crate) fn load(&self) -> LoadGenerator {
        LoadGenerator::start(&self.client, &self.addresses(), STEADY, CLIENTS_PER_PROXY)
    }

    /// Waits until the operators together push to so many proxies.
    pub(crate) async fn wait_for_followers(&self, proxies: usize) {
        let following = async || {
            let mut sum = 0.0;
            for operator in &self.operators {
                let metrics = operator.metrics().await.unwrap();
                sum += metrics.get("llm_operator_proxies_following");
            }
            sum == proxies as f64
        };
        wait_for("the proxies follow", DEADLINE, following).await.unwrap();
    }

    /// Status and message of a condition of a provider.
    pub(crate) async fn condition(&self, name: &str, kind: &str) -> Option<(String, String)> {
        let provider = self.installation.api::<PassthroughModel>().get(name).await.ok()?;
        let conditions = provider.status?.conditions;
        let found = conditions.into_iter().find(|condition| condition.type_ == kind)?;
        Some((found.status, found.message))
    }

    /// Waits for a leader; its index.
    pub(crate) async fn leader(&self) -> usize {
        let leader = async || {
            for (at, operator) in self.operators.iter().enumerate() {
                if operator.is_leader().await {
                    return Some(at);
                }
            }
            None
        };
        llm_cluster::wait_for_some("an operator leads", DEADLINE, leader).await.unwrap()
    }
}

/// Waits until the API server applies the operators' rights; what it denied before would be in the
/// audit log.
async fn wait_for_rbac(installation: &Installation) {
    let reviews: Api<SubjectAccessReview> = Api::all(installation.client.clone());
    // One of each of their roles.
    for (group, resource, verb) in [
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("coordination.k8s.io", "leases", "create"),
        ("discovery.k8s.io", "endpointslices", "list"),
    ] {
        let attributes = ResourceAttributes {
            group: Some(group.into()),
            namespace: Some(installation.namespace.clone()),
            resource: Some(resource.into()),
            verb: Some(verb.into()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(installation.operator_user()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let may = async || {
            let reviewed = reviews.create(&PostParams::default(), &review).await.unwrap();
            reviewed.status.is_some_and(|status| status.allowed)
        };
        wait_for(&format!("the operators may {verb} {resource}"), DEADLINE, may).await.unwrap();
    }
}

pub(crate) fn assert_no_errors(report: &LoadReport) {
    println!("{} requests, {} failed, {}", report.requests, report.failed, report.latencies);
    assert!(report.errors.is_empty(), "{} failed: {:#?}", report.failed, report.errors);
    assert!(report.requests > 0);
}
