//! The measurement, step by step.

use crate::report::{Report, mib, ms};
use anyhow::{Context as _, ensure};
use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use llm_cluster::{ControlPlane, wait_for};
use llm_contract::SecretKey;
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
use std::{net::Ipv4Addr, sync::Arc, time::Duration};

/// One model of so many is served here; the others are a provider's.
const SERVED_EACH: u32 = 10;
/// Models of the first two steps, as shares of all.
const STEPS: [u32; 3] = [50, 5, 1];
/// Changes of which the cost is the mean.
const COSTED: u32 = 100;
/// The key of whoever asks all the time, and the first of those that are revoked.
const OUR_KEY: u32 = 0;
const FIRST_REVOKED: u32 = 1;
const STEADY: &str = "steady";
/// How long a change may take before it counts as lost.
const LOST: Duration = Duration::from_secs(60);
/// How long it may take until the operator has nothing to do any more.
const SETTLE: Duration = Duration::from_secs(900);
/// Looks, 50 ms apart, at which it had nothing to do and wrote nothing.
const CALM_LOOKS: u32 = 60;
/// Callers at each proxy, and how often each asks.
const CALLERS: usize = 4;
const ASK_INTERVAL: Duration = Duration::from_millis(50);
/// Between two changes while callers ask.
const CHANGE_INTERVAL: Duration = Duration::from_millis(100);
/// Rounds of each kind of change, one after the other.
const ROUNDS: u32 = 3;

/// What changes while callers ask.
#[derive(Clone, Copy)]
enum Changing {
    Nothing,
    Elsewhere,
    Model,
}

impl Changing {
    const ALL: [Self; 3] = [Self::Nothing, Self::Elsewhere, Self::Model];
}

/// How much of what.
pub(crate) struct Scale {
    pub(crate) models: u32,
    pub(crate) keys: u32,
    pub(crate) proxies: usize,
    pub(crate) changes: u32,
    pub(crate) revocations: u32,
    pub(crate) load: Duration,
}

/// What is measured, and those who ask.
struct Run {
    report: Report,
    it: Installation,
    operator: Operator,
    proxies: Vec<Proxy>,
    caller: Caller,
    upstream: Sim,
    models: u32,
}

pub(crate) async fn measure(scale: &Scale) -> anyhow::Result<()> {
    let mut run = Run::begin(scale).await?;
    for share in STEPS {
        run.grow(scale.models / share).await?;
        if share == 1 {
            run.add_keys(scale).await?;
        }
        run.settle().await?;
        run.cost().await?;
    }
    run.changes(scale.changes).await?;
    run.load(scale.load).await?;
    run.revocations(scale.revocations).await?;
    run.memory()?;
    run.first_sync().await?;
    run.report.write().context("writing the figures")
}

impl Run {
    async fn begin(scale: &Scale) -> anyhow::Result<Self> {
        let mut report = Report::begin();
        let plane = ControlPlane::options().without_workload_controllers().start().await?;
        report.at("etcd and the API server run");
        let it = Installation::on(Arc::new(plane)).await?;
        let config = Config {
            role: Role::Provider,
            models: vec![UPSTREAM_MODEL.into()],
            received_max: 0,
            ..Config::default()
        };
        let upstream = Sim::start(config).await.context("starting a provider")?;
        it.put(&resources::provider(STEADY, upstream.addr(), &[STEADY])?).await?;
        let caller = it.caller(OUR_KEY).await?;
        let operator = it.operator().await?;
        let proxies = it.proxies(scale.proxies).await?;
        reach(&externals(&proxies), &caller, STEADY, 200, LOST).await?;
        report.row("proxies", &scale.proxies.to_string(), "");
        let memory = format!(
            "{}, a proxy {}",
            mib(operator.process.memory()?),
            mib(proxies.first().map_or(Ok(0), |proxy| proxy.process.memory())?),
        );
        report.row("memory of the operator with nothing", &memory, "");
        Ok(Self { report, it, operator, proxies, caller, upstream, models: 0 })
    }

    /// Makes models until there are so many.
    async fn grow(&mut self, models: u32) -> anyhow::Result<()> {
        let (began, before) = (clock::now(), self.models);
        let new = before..models;
        let (served, provided): (Vec<_>, Vec<_>) = new.partition(|it| it % SERVED_EACH == 0);
        let name = |number: u32| format!("model-{number}");
        let at = self.upstream.addr();
        let provided = provided.into_iter().map(|it| (name(it), name(it)));
        let provided = provided.map(|(name, id)| resources::provider(&name, at, &[&id]));
        self.it.create_all(provided).await?;
        self.it.create_all(served.iter().map(|it| resources::model(&name(*it)))).await?;
        let address = |number: u32| Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 1)) + number);
        let slices = served.iter().map(|it| resources::endpoints(&name(*it), &[address(*it)]));
        self.it.create_all(slices).await?;
        self.models = models;
        let rate = f64::from(models - before) / (clock::now() - began).as_secs_f64();
        self.report.at(&format!("{models} models are made, {rate:.0} a second"));
        Ok(())
    }

    async fn add_keys(&mut self, scale: &Scale) -> anyhow::Result<()> {
        let began = clock::now();
        let common = resources::hash(&resources::key(OUR_KEY)?)?;
        let revoked = FIRST_REVOKED..FIRST_REVOKED + scale.revocations;
        let make = |number: u32| {
            let key = resources::key(number)?;
            // Only keys that are used need a hash of their own.
            let hash =
                if revoked.contains(&number) { resources::hash(&key)? } else { common.clone() };
            resources::key_resource(&key, &hash)
        };
        self.it.create_all((FIRST_REVOKED..scale.keys).map(make)).await?;
        let took = (clock::now() - began).as_secs_f64();
        let rate = f64::from(scale.keys) / took;
        self.report.at(&format!("{} keys are made, {rate:.0} a second", scale.keys));
        Ok(())
    }

    /// Waits until the operator has nothing to do.
    async fn settle(&mut self) -> anyhow::Result<()> {
        let began = clock::now();
        let (mut calm, mut before) = (0, -1.0);
        let is_calm = async || {
            let Ok(metrics) = self.operator.metrics().await else { return false };
            let kinds = ["LLMModel", "PassthroughModel", "ApiKey"];
            let of = |name: &str| -> f64 {
                let series = kinds.map(|kind| format!("llm_operator_{name}{{kind=\"{kind}\"}}"));
                series.iter().map(|series| metrics.get(series)).sum()
            };
            let done = of("reconciles_total") + metrics.get("llm_operator_push_updates_total");
            calm = if of("queued") == 0.0 && done == before { calm + 1 } else { 0 };
            before = done;
            calm == CALM_LOOKS
        };
        wait_for("the operator has nothing to do", SETTLE, is_calm).await?;
        let took = (clock::now() - began).as_secs();
        self.report.at(&format!("the operator has nothing to do any more after {took} s"));
        Ok(())
    }

    async fn change(&self, id: &str) -> anyhow::Result<()> {
        let changed = resources::provider("changing", self.upstream.addr(), &[id])?;
        self.it.put::<PassthroughModel>(&changed).await.map(drop)
    }

    /// What a change costs, while nobody asks for anything.
    async fn cost(&mut self) -> anyhow::Result<()> {
        let addresses = externals(&self.proxies);
        let sent = async || {
            let metrics = self.operator.metrics().await?;
            anyhow::Ok(metrics.get("llm_operator_push_sent_bytes_total"))
        };
        let cpu = || {
            let proxies = self.proxies.iter().map(|proxy| proxy.process.cpu());
            let proxies = proxies.sum::<anyhow::Result<Duration>>()?;
            anyhow::Ok((self.operator.process.cpu()?, proxies))
        };
        self.change("costs-nothing-yet").await?;
        reach(&addresses, &self.caller, "costs-nothing-yet", 200, LOST).await?;
        let (bytes_before, (operator_before, proxies_before)) = (sent().await?, cpu()?);
        for number in 0..COSTED {
            self.change(&format!("costs-{}-{number}", self.models)).await?;
        }
        let last = format!("costs-{}-{}", self.models, COSTED - 1);
        reach(&addresses, &self.caller, &last, 200, LOST).await?;
        let (bytes, (operator, proxies)) = (sent().await?, cpu()?);
        let count = u32::try_from(self.proxies.len()).unwrap_or(u32::MAX);
        let figure = format!(
            "{:.0} bytes to each proxy; CPU {} of the operator, {} of each proxy",
            (bytes - bytes_before) / f64::from(COSTED) / f64::from(count),
            ms((operator - operator_before) / COSTED),
            ms((proxies - proxies_before) / COSTED / count),
        );
        let what = format!("a change, with {} models", self.models);
        self.report.row(&what, &figure, "the same at each size");
        Ok(())
    }

    /// How long changes take.
    async fn changes(&mut self, count: u32) -> anyhow::Result<()> {
        let addresses = externals(&self.proxies);
        let mut figures = Figures::default();
        for number in 0..count {
            let id = format!("timed-{number}");
            self.change(&id).await?;
            let accepted = clock::now();
            let reached = reach(&addresses, &self.caller, &id, 200, LOST).await?;
            figures.extend(reached.into_iter().map(|at| at.saturating_duration_since(accepted)));
        }
        self.report.row("a change in etcd is in force", &figures.to_string(), "p99 < 1 s");
        Ok(())
    }

    /// What callers notice of ten changes a second: compared with when nothing changes, and with
    /// when something changes as often that is nothing to us, which the API server and this program
    /// share the machine's processors for all the same.
    async fn load(&mut self, each: Duration) -> anyhow::Result<()> {
        let mut tallies = [(); Changing::ALL.len()].map(|()| Tally::default());
        let mut changed = 0;
        for _ in 0..ROUNDS {
            for (changing, tally) in Changing::ALL.iter().zip(&mut tallies) {
                let load = self.callers();
                let end = clock::now() + each / ROUNDS;
                let mut ticks = tokio::time::interval(CHANGE_INTERVAL);
                while clock::now() < end {
                    ticks.tick().await;
                    changed += 1;
                    match changing {
                        Changing::Nothing => {}
                        Changing::Elsewhere => self.change_elsewhere(changed).await?,
                        Changing::Model => self.change(&format!("pushed-{changed}")).await?,
                    }
                }
                *tally += load.stop().await;
            }
        }
        for (changing, tally) in Changing::ALL.iter().zip(tallies) {
            let (what, goal) = match changing {
                Changing::Nothing => ("answers, nothing changes", ""),
                Changing::Elsewhere => ("answers, ten changes a second of something else", ""),
                Changing::Model => ("answers, ten changes a second of a model", "p99 <= 10 % more"),
            };
            ensure!(tally.failed == 0, "{what}: {} failed: {:?}", tally.failed, tally.failures);
            self.report.row(what, &tally.latencies.to_string(), goal);
        }
        Ok(())
    }

    /// Changes something that no operator looks at.
    async fn change_elsewhere(&self, number: u32) -> anyhow::Result<()> {
        let data = [("changed".to_owned(), number.to_string())].into();
        let name = Some("nothing-to-us".to_owned());
        let metadata = ObjectMeta { name, ..ObjectMeta::default() };
        let map = ConfigMap { metadata, data: Some(data), ..ConfigMap::default() };
        self.it.put(&map).await.map(drop)
    }

    fn callers(&self) -> Load {
        let addresses = externals(&self.proxies);
        Load::paced(&self.caller, &addresses, STEADY, CALLERS, ASK_INTERVAL)
    }

    /// How long revocations take while callers ask.
    async fn revocations(&mut self, count: u32) -> anyhow::Result<()> {
        let addresses = externals(&self.proxies);
        let keys = (FIRST_REVOKED..FIRST_REVOKED + count).map(resources::key);
        let keys: Vec<SecretKey> = keys.collect::<anyhow::Result<_>>()?;
        for key in &keys {
            // Each proxy has seen that it is good.
            reach(&addresses, &self.caller.with(key), STEADY, 200, LOST).await?;
        }
        let load = self.callers();
        let mut figures = Figures::default();
        for key in &keys {
            self.it.delete::<llm_crd::ApiKeyResource>(key.id().as_str()).await?;
            let accepted = clock::now();
            let reached = reach(&addresses, &self.caller.with(key), STEADY, 401, LOST).await?;
            figures.extend(reached.into_iter().map(|at| at.saturating_duration_since(accepted)));
        }
        let tally = load.stop().await;
        ensure!(tally.failed == 0, "{} failed: {:?}", tally.failed, tally.failures);
        self.report.row("a revocation is in force", &figures.to_string(), "p99 <= 1 s");
        Ok(())
    }

    fn memory(&mut self) -> anyhow::Result<()> {
        let operator = mib(self.operator.process.memory()?);
        let proxies = self.proxies.iter().map(|proxy| proxy.process.memory());
        let proxies = proxies.collect::<anyhow::Result<Vec<_>>>()?;
        let most = mib(proxies.into_iter().max().unwrap_or_default());
        self.report.row("memory of the operator", &operator, "< 300 MiB");
        self.report.row("memory of a proxy, at most", &most, "");
        Ok(())
    }

    /// How long an operator that begins takes until a proxy that begins has the whole table.
    async fn first_sync(&mut self) -> anyhow::Result<()> {
        self.proxies.clear();
        let began = clock::now();
        let next = self.it.operator().await?;
        let seen = clock::now() - began;
        std::mem::replace(&mut self.operator, next).kill()?;
        let began = clock::now();
        let proxy = self.it.proxy().await?;
        let last = format!("model-{}", self.models - 1);
        reach(&[proxy.external()], &self.caller, &last, 200, LOST).await?;
        let sent = clock::now() - began;
        let figure = format!(
            "{:.1} s: {:.1} s until the operator has compiled it, {:.1} s until a proxy has it",
            (seen + sent).as_secs_f64(),
            seen.as_secs_f64(),
            sent.as_secs_f64(),
        );
        self.report.row("from nothing to a whole table in force", &figure, "< 20 s");
        let cpu = format!(
            "{:.1} s of the operator, {:.1} s of the proxy",
            self.operator.process.cpu()?.as_secs_f64(),
            proxy.process.cpu()?.as_secs_f64(),
        );
        self.report.row("CPU for that", &cpu, "");
        let memory = mib(self.operator.process.memory()?);
        self.report.row("memory of the operator after it", &memory, "< 300 MiB");
        self.proxies.push(proxy);
        Ok(())
    }
}
