//! What every part of the control plane shares.

use crate::{
    app::settings::Settings,
    apply::Applier,
    cluster_state::World,
    resources::report::Reporter,
    routes::{Declares, Verdict},
};
use kube::Client;
use llm_contract::ResourceName;
use llm_crd::Finding;
use parking_lot::RwLock;
use std::{collections::HashMap, sync::Arc};

/// What every part of the control plane shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// What the installation says.
    pub settings: Arc<Settings>,
    /// What is seen of the cluster.
    pub world: World,
    /// Writes objects.
    pub applier: Applier,
    /// Writes statuses and events.
    pub reporter: Reporter,
    /// What other parts found out about resources.
    pub findings: Findings,
}

impl Context {
    /// Puts it together. `pod` is our own name, for events.
    pub fn new(client: &Client, settings: Settings, world: World, pod: Option<String>) -> Self {
        Self {
            settings: Arc::new(settings),
            applier: Applier::new(client.clone(), world.live.clone()),
            reporter: Reporter::new(client.clone(), pod),
            findings: Findings::new(world.clone()),
            world,
        }
    }
}

/// A part of the control plane that finds things out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The way from the Gateways to the proxies.
    Edge,
    /// The proxies that have the route table.
    Proxies,
}

/// What other parts found out about resources, for their statuses. Cheap to clone.
///
/// What is new has the resource reported anew; what is known already costs nothing.
#[derive(Clone, Debug)]
pub struct Findings(Arc<Found>);

#[derive(Debug)]
struct Found {
    world: World,
    of_all: RwLock<HashMap<Part, Vec<Finding>>>,
    of_one: RwLock<HashMap<(Part, Declares, ResourceName), Vec<Finding>>>,
    verdicts: RwLock<HashMap<(Declares, ResourceName), Judged>>,
}

/// What the route table says of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The generation of the resource that was judged.
    pub generation: Option<i64>,
    /// What came of it.
    pub verdict: Verdict,
}

impl Findings {
    fn new(world: World) -> Self {
        Self(Arc::new(Found {
            world,
            of_all: RwLock::default(),
            of_one: RwLock::default(),
            verdicts: RwLock::default(),
        }))
    }

    /// A part found this out about every resource that declares models, and no more.
    pub fn about_all(&self, part: Part, findings: Vec<Finding>) {
        let mut of_all = self.0.of_all.write();
        let known = of_all.entry(part).or_default();
        let changed = *known != findings;
        *known = findings;
        drop(of_all);
        if changed {
            self.0.world.look_at_everything();
        }
    }

    /// A part found this out about one resource, and no more.
    pub fn about(&self, part: Part, kind: Declares, name: &ResourceName, findings: Vec<Finding>) {
        let key = (part, kind, name.clone());
        let mut of_one = self.0.of_one.write();
        if of_one.get(&key).map(Vec::as_slice).unwrap_or_default() == findings {
            return;
        }
        if findings.is_empty() {
            of_one.remove(&key);
        } else {
            of_one.insert(key, findings);
        }
        drop(of_one);
        self.look(kind, name);
    }

    /// What the route table says of a resource; `None` if it is gone.
    pub fn judge(&self, kind: Declares, name: &ResourceName, judged: Option<Judged>) {
        let key = (kind, name.clone());
        let mut verdicts = self.0.verdicts.write();
        if verdicts.get(&key) == judged.as_ref() {
            return;
        }
        match judged {
            Some(judged) => verdicts.insert(key, judged),
            None => verdicts.remove(&key),
        };
        drop(verdicts);
        self.look(kind, name);
    }

    /// What the route table says of a resource of a generation; `None` if it has not seen it yet.
    /// The resource is looked at again when it has.
    pub fn verdict(
        &self,
        kind: Declares,
        name: &ResourceName,
        generation: Option<i64>,
    ) -> Option<Verdict> {
        let verdicts = self.0.verdicts.read();
        let judged = verdicts.get(&(kind, name.clone()))?;
        (judged.generation >= generation).then(|| judged.verdict.clone())
    }

    /// Whether the route table holds routes of a resource.
    pub fn is_routed(&self, kind: Declares, name: &ResourceName) -> bool {
        let verdicts = self.0.verdicts.read();
        verdicts.get(&(kind, name.clone())).is_some_and(|judged| judged.verdict.is_routed)
    }

    fn look(&self, kind: Declares, name: &ResourceName) {
        match kind {
            Declares::Served => self.0.world.queues.models.push(name.clone()),
            Declares::Provider => self.0.world.queues.providers.push(name.clone()),
        }
    }

    /// What is known of a resource from all parts.
    pub fn of(&self, kind: Declares, name: &ResourceName) -> Vec<Finding> {
        let (of_all, of_one) = (self.0.of_all.read(), self.0.of_one.read());
        let all = |part| of_all.get(&part).into_iter().flatten();
        let one = |part| of_one.get(&(part, kind, name.clone())).into_iter().flatten();
        let parts = [Part::Edge, Part::Proxies];
        parts.into_iter().flat_map(|part| all(part).chain(one(part))).cloned().collect()
    }
}
