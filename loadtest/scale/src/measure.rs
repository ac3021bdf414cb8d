//! The measurement, step by step.

use crate::report::{ResultTable, mib, ms};
use anyhow::{Context as _, ensure};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use llm_cluster::{
    ControlPlane, Durations, GatewayClient, Installation, LoadGenerator, LoadReport, Operator,
    Proxy, clock, external_addresses,
    resources::{self, UPSTREAM_MODEL},
    wait_for, wait_for_status,
};
use llm_contract::SecretKey;
use llm_crd::{ApiKeyResource, PassthroughModel};
use llm_sim::{Config, Role, Sim};
use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

/// One model of so many is served in the cluster; the others are a provider's.
const SERVED_ONE_IN: u32 = 10;
/// Steps of growth: this share of all models.
const STEPS: [u32; 3] = [50, 5, 1];
/// Changes over which the cost of one is averaged.
const COSTED_CHANGES: u32 = 100;
/// The key of the load.
const LOAD_KEY: u32 = 0;
const FIRST_REVOKED: u32 = 1;
const STEADY: &str = "steady";
/// How long a change may take before it counts as lost.
const CHANGE_DEADLINE: Duration = Duration::from_secs(60);
const IDLE_DEADLINE: Duration = Duration::from_secs(900);
/// Consecutive polls, 50 ms apart, at which the operator had an empty queue and wrote nothing.
const IDLE_POLLS: u32 = 60;
const CLIENTS_PER_PROXY: usize = 4;
const REQUEST_INTERVAL: Duration = Duration::from_millis(50);
const CHANGE_INTERVAL: Duration = Duration::from_millis(100);
/// How often the kinds of change alternate.
const ROUNDS: u32 = 3;

/// What changes under load.
#[derive(Clone, Copy)]
enum ConfigChange {
    Nothing,
    Elsewhere,
    Model,
}

impl ConfigChange {
    const ALL: [Self; 3] = [Self::Nothing, Self::Elsewhere, Self::Model];
}

/// The size of the measurement.
pub(crate) struct Scale {
    pub(crate) models: u32,
    pub(crate) keys: u32,
    pub(crate) proxies: usize,
    pub(crate) changes: u32,
    pub(crate) revocations: u32,
    pub(crate) load: Duration,
}

/// The installation under test.
struct Measurement {
    results: ResultTable,
    installation: Installation,
    operator: Operator,
    proxies: Vec<Proxy>,
    client: GatewayClient,
    upstream: Sim,
    models: u32,
}

pub(crate) async fn measure(scale: &Scale) -> anyhow::Result<()> {
    let mut measurement = Measurement::start(scale).await?;
    for share in STEPS {
        measurement.grow(scale.models / share).await?;
        if share == 1 {
            measurement.add_keys(scale).await?;
        }
        measurement.wait_until_idle().await?;
        measurement.cost().await?;
    }
    measurement.changes(scale.changes).await?;
    measurement.load(scale.load).await?;
    measurement.revocations(scale.revocations).await?;
    measurement.memory()?;
    measurement.first_sync().await?;
    measurement.results.write().context("writing the results")
}

impl Measurement {
    async fn start(scale: &Scale) -> anyhow::Result<Self> {
        let mut results = ResultTable::new();
        let plane = ControlPlane::options().without_workload_controllers().start().await?;
        results.progress("etcd and the API server run");
        let installation = Installation::create(Arc::new(plane)).await?;
        let config = Config {
            role: Role::Provider,
            models: vec![UPSTREAM_MODEL.into()],
            received_max: 0,
            ..Config::default()
        };
        let upstream = Sim::start(config).await.context("starting a provider")?;
        installation.apply(&resources::provider(STEADY, upstream.addr(), &[STEADY])?).await?;
        let client = installation.client_with_key(LOAD_KEY).await?;
        let operator = installation.operator().await?;
        let proxies = installation.proxies(scale.proxies).await?;
        wait_for_status(&external_addresses(&proxies), &client, STEADY, 200, CHANGE_DEADLINE)
            .await?;
        results.row("proxies", &scale.proxies.to_string(), "");
        let memory = format!(
            "{}, a proxy {}",
            mib(operator.process.memory_bytes()?),
            mib(proxies.first().map_or(Ok(0), |proxy| proxy.process.memory_bytes())?),
        );
        results.row("memory of the idle operator", &memory, "");
        Ok(Self { results, installation, operator, proxies, client, upstream, models: 0 })
    }

    /// Creates models until there are so many.
    async fn grow(&mut self, models: u32) -> anyhow::Result<()> {
        let (began, before) = (clock::now(), self.models);
        let new = before..models;
        let (served, provided): (Vec<_>, Vec<_>) = new.partition(|it| it % SERVED_ONE_IN == 0);
        let name = |number: u32| format!("model-{number}");
        let at = self.upstream.addr();
        let provided = provided.into_iter().map(|it| (name(it), name(it)));
        let provided = provided.map(|(name, id)| resources::provider(&name, at, &[&id]));
        self.installation.create_all(provided).await?;
        self.installation.create_all(served.iter().map(|it| resources::model(&name(*it)))).await?;
        let address = |number: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number);
        let slices = served.iter().map(|it| resources::endpoints(&name(*it), &[address(*it)]));
        self.installation.create_all(slices).await?;
        self.models = models;
        let rate = f64::from(models - before) / (clock::now() - began).as_secs_f64();
        self.results.progress(&format!("{models} models created, {rate:.0} a second"));
        Ok(())
    }

    async fn add_keys(&mut self, scale: &Scale) -> anyhow::Result<()> {
        let began = clock::now();
        let common = resources::hash(&resources::key(LOAD_KEY)?)?;
        let revoked = FIRST_REVOKED..FIRST_REVOKED + scale.revocations;
        let make = |number: u32| {
            let key = resources::key(number)?;
            // Only keys that are used need a hash of their own.
            let hash =
                if revoked.contains(&number) { resources::hash(&key)? } else { common.clone() };
            resources::key_resource(&key, &hash)
        };
        self.installation.create_all((FIRST_REVOKED..scale.keys).map(make)).await?;
        let took = (clock::now() - began).as_secs_f64();
        let rate = f64::from(scale.keys) / took;
        self.results.progress(&format!("{} keys created, {rate:.0} a second", scale.keys));
        Ok(())
    }

    async fn wait_until_idle(&mut self) -> anyhow::Result<()> {
        let began = clock::now();
        let (mut idle, mut before) = (0, -1.0);
        let is_idle = async || {
            let Ok(metrics) = self.operator.metrics().await else { return false };
            let kinds = ["LLMModel", "PassthroughModel", "ApiKey"];
            let of = |name: &str| -> f64 {
                let series = kinds.map(|kind| format!("llm_operator_{name}{{kind=\"{kind}\"}}"));
                series.iter().map(|series| metrics.get(series)).sum()
            };
            let done = of("reconciles_total") + metrics.get("llm_operator_push_updates_total");
            idle = if of("queued") == 0.0 && done == before { idle + 1 } else { 0 };
            before = done;
            idle == IDLE_POLLS
        };
        wait_for("the operator is idle", IDLE_DEADLINE, is_idle).await?;
        let took = (clock::now() - began).as_secs();
        self.results.progress(&format!("the operator is idle after {took} s"));
        Ok(())
    }

    async fn change(&self, id: &str) -> anyhow::Result<()> {
        let changed = resources::provider("changing", self.upstream.addr(), &[id])?;
        self.installation.apply::<PassthroughModel>(&changed).await.map(drop)
    }

    /// When each proxy first answered so.
    async fn wait_for(
        &self,
        client: &GatewayClient,
        model: &str,
        status: u16,
    ) -> anyhow::Result<Vec<Instant>> {
        let addresses = external_addresses(&self.proxies);
        wait_for_status(&addresses, client, model, status, CHANGE_DEADLINE).await
    }

    /// The cost of a change without load.
    async fn cost(&mut self) -> anyhow::Result<()> {
        let sent = async || {
            let metrics = self.operator.metrics().await?;
            anyhow::Ok(metrics.get("llm_operator_push_sent_bytes_total"))
        };
        let cpu = || {
            let proxies = self.proxies.iter().map(|proxy| proxy.process.cpu_time());
            let proxies = proxies.sum::<anyhow::Result<Duration>>()?;
            anyhow::Ok((self.operator.process.cpu_time()?, proxies))
        };
        self.change("warm-up").await?;
        self.wait_for(&self.client, "warm-up", 200).await?;
        let (bytes_before, (operator_before, proxies_before)) = (sent().await?, cpu()?);
        for number in 0..COSTED_CHANGES {
            self.change(&format!("costs-{}-{number}", self.models)).await?;
        }
        let last = format!("costs-{}-{}", self.models, COSTED_CHANGES - 1);
        self.wait_for(&self.client, &last, 200).await?;
        let (bytes, (operator, proxies)) = (sent().await?, cpu()?);
        let count = u32::try_from(self.proxies.len()).unwrap_or(u32::MAX);
        let figure = format!(
            "{:.0} bytes to each proxy; CPU {} of the operator, {} of each proxy",
            (bytes - bytes_before) / f64::from(COSTED_CHANGES) / f64::from(count),
            ms((operator - operator_before) / COSTED_CHANGES),
            ms((proxies - proxies_before) / COSTED_CHANGES / count),
        );
        let what = format!("a change, with {} models", self.models);
        self.results.row(&what, &figure, "the same at each size");
        Ok(())
    }

    /// How long a change takes to reach every proxy.
    async fn changes(&mut self, count: u32) -> anyhow::Result<()> {
        let mut durations = Durations::default();
        for number in 0..count {
            let id = format!("timed-{number}");
            self.change(&id).await?;
            let written = clock::now();
            let applied = self.wait_for(&self.client, &id, 200).await?;
            durations.extend(applied.into_iter().map(|at| at.saturating_duration_since(written)));
        }
        self.results.row("a change in etcd is in force", &durations.to_string(), "p99 < 1 s");
        Ok(())
    }

    /// The effect of ten changes a second on latency, against no changes and against as many changes
    /// of objects the operator does not watch, for which the API server and this program use the
    /// machine's processors all the same.
    async fn load(&mut self, each: Duration) -> anyhow::Result<()> {
        let mut reports = [(); ConfigChange::ALL.len()].map(|()| LoadReport::default());
        let mut changed = 0;
        for _ in 0..ROUNDS {
            for (change, report) in ConfigChange::ALL.iter().zip(&mut reports) {
                let load = self.start_load();
                let end = clock::now() + each / ROUNDS;
                let mut ticks = tokio::time::interval(CHANGE_INTERVAL);
                while clock::now() < end {
                    ticks.tick().await;
                    changed += 1;
                    match change {
                        ConfigChange::Nothing => {}
                        ConfigChange::Elsewhere => self.change_elsewhere(changed).await?,
                        ConfigChange::Model => self.change(&format!("pushed-{changed}")).await?,
                    }
                }
                *report += load.stop().await;
            }
        }
        for (change, report) in ConfigChange::ALL.iter().zip(reports) {
            let (what, goal) = match change {
                ConfigChange::Nothing => ("answers, nothing changes", ""),
                ConfigChange::Elsewhere => {
                    ("answers, ten changes a second of an unrelated object", "")
                }
                ConfigChange::Model => {
                    ("answers, ten changes a second of a model", "p99 <= 10 % more")
                }
            };
            ensure!(report.failed == 0, "{what}: {} failed: {:?}", report.failed, report.errors);
            self.results.row(what, &report.latencies.to_string(), goal);
        }
        Ok(())
    }

    /// Changes an object that no operator watches.
    async fn change_elsewhere(&self, number: u32) -> anyhow::Result<()> {
        let data = [("changed".to_owned(), number.to_string())].into();
        let name = Some("unrelated".to_owned());
        let metadata = ObjectMeta { name, ..ObjectMeta::default() };
        let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
        self.installation.apply(&map).await.map(drop)
    }

    fn start_load(&self) -> LoadGenerator {
        let addresses = external_addresses(&self.proxies);
        LoadGenerator::paced(&self.client, &addresses, STEADY, CLIENTS_PER_PROXY, REQUEST_INTERVAL)
    }

    /// How long a revocation takes under load.
    async fn revocations(&mut self, count: u32) -> anyhow::Result<()> {
        let keys = (FIRST_REVOKED..FIRST_REVOKED + count).map(resources::key);
        let keys: Vec<SecretKey> = keys.collect::<anyhow::Result<_>>()?;
        for key in &keys {
            // Each proxy has the key in its cache.
            self.wait_for(&self.client.with_key(key), STEADY, 200).await?;
        }
        let load = self.start_load();
        let mut durations = Durations::default();
        for key in &keys {
            self.installation.delete::<ApiKeyResource>(key.id().as_str()).await?;
            let written = clock::now();
            let applied = self.wait_for(&self.client.with_key(key), STEADY, 401).await?;
            durations.extend(applied.into_iter().map(|at| at.saturating_duration_since(written)));
        }
        let report = load.stop().await;
        ensure!(report.failed == 0, "{} failed: {:?}", report.failed, report.errors);
        self.results.row("a revocation is in force", &durations.to_string(), "p99 <= 1 s");
        Ok(())
    }

    fn memory(&mut self) -> anyhow::Result<()> {
        let operator = mib(self.operator.process.memory_bytes()?);
        let proxies = self.proxies.iter().map(|proxy| proxy.process.memory_bytes());
        let proxies = proxies.collect::<anyhow::Result<Vec<_>>>()?;
        let max = mib(proxies.into_iter().max().unwrap_or_default());
        self.results.row("memory of the operator", &operator, "< 300 MiB");
        self.results.row("memory of the largest proxy", &max, "");
        Ok(())
    }

    /// The time from the start of an operator until a new proxy has the whole table.
    async fn first_sync(&mut self) -> anyhow::Result<()> {
        self.proxies.clear();
        let began = clock::now();
        let next = self.installation.operator().await?;
        let seen = clock::now() - began;
        std::mem::replace(&mut self.operator, next).kill()?;
        let began = clock::now();
        self.proxies = vec![self.installation.proxy().await?];
        let last = format!("model-{}", self.models - 1);
        self.wait_for(&self.client, &last, 200).await?;
        let sent = clock::now() - began;
        let figure = format!(
            "{:.1} s: {:.1} s until the operator has compiled it, {:.1} s until a proxy has it",
            (seen + sent).as_secs_f64(),
            seen.as_secs_f64(),
            sent.as_secs_f64(),
        );
        self.results.row("from nothing to a whole table in force", &figure, "< 20 s");
        let cpu = format!(
            "{:.1} s of the operator, {:.1} s of the proxy",
            self.operator.process.cpu_time()?.as_secs_f64(),
            self.proxies
                .iter()
                .map(|it| it.process.cpu_time())
                .sum::<anyhow::Result<Duration>>()?
                .as_secs_f64(),
        );
        self.results.row("CPU for that", &cpu, "");
        let memory = mib(self.operator.process.memory_bytes()?);
        self.results.row("memory of the operator after it", &memory, "< 300 MiB");
        Ok(())
    }
}
