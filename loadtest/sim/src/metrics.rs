//! `GET /metrics` in the names, types and labels of vLLM 0.32.
//!
//! Written by hand: vLLM's client library prints the text format of Prometheus with a
//! `_created` gauge for each counter, which the Rust library does not.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::clock;
use crate::config::Config;
use crate::state::State;

const TTFT_SECONDS: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const ITL_SECONDS: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const REQUEST_SECONDS: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];

/// What a token took in the observed server's cache.
const KV_BYTES_PER_TOKEN: usize = 1024;

/// All counters and histograms of one server.
#[derive(Debug)]
pub(crate) struct Metrics {
    labels: String,
    cache_config: String,
    model: String,
    created: u64,
    prompt_tokens: AtomicU64,
    cached_tokens: AtomicU64,
    generation_tokens: AtomicU64,
    stopped: AtomicU64,
    cut: AtomicU64,
    rejections: AtomicU64,
    ttft: Histogram,
    itl: Histogram,
    e2e: Histogram,
    queue: Histogram,
    inference: Histogram,
}

impl Metrics {
    pub(crate) fn new(config: &Config) -> Self {
        let model = escaped(config.model_label());
        let (blocks, block_size) = (config.kv_blocks, config.block_size.max(1));
        let tokens = blocks.saturating_mul(block_size);
        let concurrency = tokens.checked_div(config.max_model_len).unwrap_or(0);
        let bytes = tokens.saturating_mul(KV_BYTES_PER_TOKEN);
        Self {
            labels: format!("engine=\"0\",model_name=\"{model}\""),
            cache_config: format!(
                "block_size=\"{block_size}\",num_gpu_blocks=\"{blocks}\",\
                 kv_cache_size_tokens=\"{tokens}\",kv_cache_max_concurrency=\"{concurrency}.0\",\
                 kv_cache_memory_bytes=\"{bytes}\",enable_prefix_caching=\"True\",cache_dtype=\"auto\",\
                 gpu_memory_utilization=\"0.92\",num_gpu_blocks_override=\"None\",\
                 prefix_caching_hash_algo=\"sha256\",engine=\"0\""
            ),
            model,
            created: clock::unix_seconds(),
            prompt_tokens: AtomicU64::new(0),
            cached_tokens: AtomicU64::new(0),
            generation_tokens: AtomicU64::new(0),
            stopped: AtomicU64::new(0),
            cut: AtomicU64::new(0),
            rejections: AtomicU64::new(0),
            ttft: Histogram::new(TTFT_SECONDS),
            itl: Histogram::new(ITL_SECONDS),
            e2e: Histogram::new(REQUEST_SECONDS),
            queue: Histogram::new(REQUEST_SECONDS),
            inference: Histogram::new(REQUEST_SECONDS),
        }
    }

    pub(crate) fn rejected(&self) {
        add(&self.rejections, 1);
    }

    pub(crate) fn prefilled(&self, prompt: usize, cached: usize) {
        add(&self.prompt_tokens, prompt);
        add(&self.cached_tokens, cached);
    }

    pub(crate) fn first_token(&self, since_entered: Duration, queued: Duration) {
        self.ttft.observe(since_entered, 1);
        self.queue.observe(queued, 1);
    }

    pub(crate) fn later_tokens(&self, since_last: Duration, tokens: usize) {
        let each = since_last / u32::try_from(tokens.max(1)).unwrap_or(u32::MAX);
        self.itl.observe(each, tokens);
    }

    pub(crate) fn generated(&self, tokens: usize) {
        add(&self.generation_tokens, tokens);
    }

    pub(crate) fn finished(&self, stopped: bool, since_entered: Duration, running: Duration) {
        add(if stopped { &self.stopped } else { &self.cut }, 1);
        self.e2e.observe(since_entered, 1);
        self.inference.observe(running, 1);
    }

    /// The page; `blocks` are those in use and those there are.
    pub(crate) fn render(&self, state: State, blocks: (usize, usize)) -> String {
        let mut page = Page { text: String::new(), labels: &self.labels, created: self.created };
        page.gauge("num_requests_running", float(state.running));
        page.gauge("num_requests_waiting", float(state.waiting));
        page.head("num_requests_waiting_by_reason", "gauge");
        page.labelled("num_requests_waiting_by_reason", "reason", "capacity", float(state.waiting));
        page.labelled("num_requests_waiting_by_reason", "reason", "deferred", 0.0);
        page.gauge("kv_cache_usage_perc", float(blocks.0) / float(blocks.1));
        let (prompt, cached) = (self.prompt_tokens.load(Relaxed), self.cached_tokens.load(Relaxed));
        page.counter("prefix_cache_queries_total", prompt);
        page.counter("prefix_cache_hits_total", cached);
        page.counter("external_prefix_cache_queries_total", 0);
        page.counter("external_prefix_cache_hits_total", 0);
        page.counter("num_preemptions_total", 0);
        page.counter("prompt_tokens_total", prompt);
        let by_source = [
            ("local_compute", prompt.saturating_sub(cached)),
            ("local_cache_hit", cached),
            ("external_kv_transfer", 0),
        ];
        page.counters("prompt_tokens_by_source_total", "source", &by_source);
        page.counter("prompt_tokens_cached_total", cached);
        page.counter("generation_tokens_total", self.generation_tokens.load(Relaxed));
        let finished = [
            ("stop", self.stopped.load(Relaxed)),
            ("length", self.cut.load(Relaxed)),
            // vLLM counts no abort when a client goes away.
            ("abort", 0),
            ("error", 0),
            ("repetition", 0),
        ];
        page.counters("request_success_total", "finished_reason", &finished);
        page.histogram("time_to_first_token_seconds", &self.ttft);
        page.histogram("inter_token_latency_seconds", &self.itl);
        page.histogram("e2e_request_latency_seconds", &self.e2e);
        page.histogram("request_queue_time_seconds", &self.queue);
        page.histogram("request_inference_time_seconds", &self.inference);
        page.head("cache_config_info", "gauge");
        let _infallible =
            writeln!(page.text, "vllm:cache_config_info{{{}}} 1.0", self.cache_config);
        let model_only = format!("model_name=\"{}\"", self.model);
        page.labels = &model_only;
        let rejections =
            [("max_num_queued_reqs", self.rejections.load(Relaxed)), ("max_num_queued_tokens", 0)];
        page.counters("admission_rejections_total", "reason", &rejections);
        page.text
    }
}

#[derive(Debug)]
struct Histogram {
    bounds: &'static [f64],
    counts: Vec<AtomicU64>,
    nanos: AtomicU64,
    count: AtomicU64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        let counts = bounds.iter().map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, nanos: AtomicU64::new(0), count: AtomicU64::new(0) }
    }

    fn observe(&self, value: Duration, times: usize) {
        let seconds = value.as_secs_f64();
        let at = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(at) {
            add(count, times);
        }
        let nanos = usize::try_from(value.as_nanos()).unwrap_or(usize::MAX);
        add(&self.nanos, nanos.saturating_mul(times));
        add(&self.count, times);
    }
}

/// The text while it is written.
struct Page<'a> {
    text: String,
    labels: &'a str,
    created: u64,
}

impl Page<'_> {
    fn head(&mut self, name: &str, kind: &str) {
        let help = name.trim_end_matches("_total").replace('_', " ");
        self.line(format_args!("# HELP vllm:{name} The {help}, simulated."));
        self.line(format_args!("# TYPE vllm:{name} {kind}"));
    }

    fn gauge(&mut self, name: &str, value: f64) {
        self.head(name, "gauge");
        let labels = self.labels;
        self.line(format_args!("vllm:{name}{{{labels}}} {value:?}"));
    }

    fn labelled(&mut self, name: &str, label: &str, value: &str, sample: f64) {
        let labels = self.labels;
        self.line(format_args!("vllm:{name}{{{labels},{label}=\"{value}\"}} {sample:?}"));
    }

    fn counter(&mut self, name: &str, value: u64) {
        self.head(name, "counter");
        let labels = self.labels;
        self.line(format_args!("vllm:{name}{{{labels}}} {value}.0"));
        self.created(name);
    }

    fn counters(&mut self, name: &str, label: &str, values: &[(&str, u64)]) {
        self.head(name, "counter");
        let labels = self.labels;
        for (value, count) in values {
            self.line(format_args!("vllm:{name}{{{labels},{label}=\"{value}\"}} {count}.0"));
        }
        let created = name.trim_end_matches("_total").to_owned() + "_created";
        self.head(&created, "gauge");
        for (value, _) in values {
            let seconds = self.created;
            self.line(format_args!("vllm:{created}{{{labels},{label}=\"{value}\"}} {seconds}.0"));
        }
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        self.head(name, "histogram");
        let labels = self.labels;
        let mut sum = 0;
        for (bound, count) in histogram.bounds.iter().zip(&histogram.counts) {
            sum += count.load(Relaxed);
            self.line(format_args!("vllm:{name}_bucket{{{labels},le=\"{bound:?}\"}} {sum}.0"));
        }
        let count = histogram.count.load(Relaxed);
        let seconds = Duration::from_nanos(histogram.nanos.load(Relaxed)).as_secs_f64();
        self.line(format_args!("vllm:{name}_bucket{{{labels},le=\"+Inf\"}} {count}.0"));
        self.line(format_args!("vllm:{name}_count{{{labels}}} {count}.0"));
        self.line(format_args!("vllm:{name}_sum{{{labels}}} {seconds:?}"));
        self.created(name);
    }

    fn created(&mut self, name: &str) {
        let created = name.trim_end_matches("_total").to_owned() + "_created";
        self.head(&created, "gauge");
        let (labels, seconds) = (self.labels, self.created);
        self.line(format_args!("vllm:{created}{{{labels}}} {seconds}.0"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        let _infallible = writeln!(self.text, "{line}");
    }
}

fn add(counter: &AtomicU64, amount: usize) {
    counter.fetch_add(u64::try_from(amount).unwrap_or(u64::MAX), Relaxed);
}

fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
