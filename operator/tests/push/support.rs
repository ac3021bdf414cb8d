//! An installation with a provider that everybody may use, and somebody who does.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::{Api, api::PostParams};
use llm_cluster::{ControlPlane, wait_for};
use llm_crd::PassthroughModel;
use llm_scale::{
    caller::Caller,
    clock,
    figures::Figures,
    installation::Installation,
    load::{Load, Tally},
    operator::Operator,
    proxy::{Proxy, externals},
    reach::reach,
    resources::{self, UPSTREAM_MODEL},
};
use llm_sim::{Config, Role, Sim};
use std::{net::SocketAddr, sync::Arc, time::Duration};

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// What a change may take until it is in force everywhere. Of half of them, so that a busy machine
/// is not taken for a slow program; `llm-scale` measures all.
pub(crate) const CHANGE_MAX: Duration = Duration::from_secs(1);
/// What it may take of nine in ten, on a busy machine: that it stands still for once makes no
/// program slow.
pub(crate) const BUSY_MAX: Duration = Duration::from_secs(5);
/// The model that is there all the time.
pub(crate) const STEADY: &str = "steady";
/// The number of the key that is good all the time.
pub(crate) const OUR_KEY: u32 = 1;
/// Between two tokens of an answer.
const TOKEN_INTERVAL: Duration = Duration::from_millis(4);
/// Callers at each proxy.
const CALLERS: usize = 2;

/// An installation with operators, proxies, a provider, and somebody with a key.
pub(crate) struct Place {
    pub(crate) it: Installation,
    pub(crate) operators: Vec<Operator>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) caller: Caller,
    pub(crate) upstream: Sim,
}

impl Place {
    /// On the control plane that the tests share.
    pub(crate) async fn with(operators: usize, proxies: usize) -> Self {
        Self::on(ControlPlane::shared().await.unwrap(), operators, proxies).await
    }

    pub(crate) async fn on(plane: Arc<ControlPlane>, operators: usize, proxies: usize) -> Self {
        let it = Installation::on(plane).await.unwrap();
        until_rights(&it).await;
        let config = Config {
            role: Role::Provider,
            models: vec![UPSTREAM_MODEL.into()],
            itl: TOKEN_INTERVAL,
            received_max: 0,
            ..Config::default()
        };
        let upstream = Sim::start(config).await.unwrap();
        it.put(&resources::provider(STEADY, upstream.addr(), &[STEADY]).unwrap()).await.unwrap();
        let caller = it.caller(OUR_KEY).await.unwrap();
        let mut place = Self { it, operators: vec![], proxies: vec![], caller, upstream };
        for _ in 0..operators {
            place.add_operator().await;
        }
        if 0 < proxies {
            place.proxies = place.it.proxies(proxies).await.unwrap();
            place.reaches(STEADY, 200).await;
        }
        place
    }

    pub(crate) async fn add_operator(&mut self) {
        self.operators.push(self.it.operator().await.unwrap());
    }

    /// The provider, as a resource of this name with these ids.
    pub(crate) fn provider(&self, name: &str, ids: &[&str]) -> PassthroughModel {
        resources::provider(name, self.upstream.addr(), ids).unwrap()
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        externals(&self.proxies)
    }

    /// Waits until every proxy answers so; how long that took.
    pub(crate) async fn reaches(&self, model: &str, status: u16) -> Figures {
        let (addresses, began) = (self.addresses(), clock::now());
        let reached = reach(&addresses, &self.caller, model, status, DEADLINE).await.unwrap();
        let mut figures = Figures::default();
        figures.extend(reached.into_iter().map(|at| at - began));
        figures
    }

    /// Makes a new model, and waits until every proxy has it.
    pub(crate) async fn adds(&self, model: &str) {
        self.it.put(&self.provider(model, &[model])).await.unwrap();
        self.reaches(model, 200).await;
    }

    /// Has callers ask for the steady model from now on.
    pub(crate) fn load(&self) -> Load {
        Load::start(&self.caller, &self.addresses(), STEADY, CALLERS)
    }

    /// Waits until so many proxies are sent updates by the operators together.
    pub(crate) async fn followed(&self, proxies: usize) {
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

    /// What the condition of a provider's resource says.
    pub(crate) async fn condition(&self, name: &str, kind: &str) -> Option<(String, String)> {
        let provider = self.it.api::<PassthroughModel>().get(name).await.ok()?;
        let conditions = provider.status?.conditions;
        let found = conditions.into_iter().find(|condition| condition.type_ == kind)?;
        Some((found.status, found.message))
    }

    /// Which of the operators leads, once one does.
    pub(crate) async fn leader(&self) -> usize {
        let leader = async || {
            for (at, operator) in self.operators.iter().enumerate() {
                if operator.leads().await {
                    return Some(at);
                }
            }
            None
        };
        llm_cluster::wait_for_some("an operator leads", DEADLINE, leader).await.unwrap()
    }
}

/// Waits until the API server knows what the operators may do, which it does in its own time: what
/// it refuses until then is on record.
async fn until_rights(it: &Installation) {
    let reviews: Api<SubjectAccessReview> = Api::all(it.client.clone());
    // One of each of their roles.
    for (group, resource, verb) in [
        ("authentication.k8s.io", "tokenreviews", "create"),
        ("coordination.k8s.io", "leases", "create"),
        ("discovery.k8s.io", "endpointslices", "list"),
    ] {
        let asked = ResourceAttributes {
            group: Some(group.into()),
            namespace: Some(it.namespace.clone()),
            resource: Some(resource.into()),
            verb: Some(verb.into()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(it.operators_user()),
            resource_attributes: Some(asked),
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

/// Nobody noticed anything.
pub(crate) fn assert_unnoticed(tally: &Tally) {
    println!("{} requests, {} failed, {}", tally.requests, tally.failed, tally.latencies);
    assert!(tally.failures.is_empty(), "{} failed: {:#?}", tally.failed, tally.failures);
    assert!(tally.requests > 0);
}
