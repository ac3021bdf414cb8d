//! The configuration of a simulated server.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

/// How a server behaves. [`Config::default`] is a fast vLLM of the model `tiny` on a free port.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub bind: SocketAddr,
    /// The names it answers to; the first one is the label of its metrics.
    pub models: Vec<String>,
    /// Decides every answer and every identifier, together with the prompt.
    pub seed: u64,
    /// From the moment a request runs until its first token.
    pub ttft: Duration,
    /// Between two tokens; zero means as fast as the reader takes them.
    pub itl: Duration,
    /// Tokens in one stream event; a lagging stream merges more, as vLLM does.
    pub tokens_per_chunk: usize,
    /// Requests that run at the same time.
    pub max_num_seqs: usize,
    /// Requests that may run and wait together; without it the queue has no cap, as in vLLM.
    pub max_num_queued_reqs: Option<usize>,
    /// Tokens of prompt and answer together.
    pub max_model_len: usize,
    /// Blocks in the KV cache; one of them is kept back, as in vLLM.
    pub kv_blocks: usize,
    /// Tokens in one block of the KV cache.
    pub block_size: usize,
    /// Asked for as a bearer token on `/v1` and `/v2`.
    pub api_key: Option<SecretString>,
    /// Plays a provider of the OpenAI API instead of a vLLM: see [`Role`].
    pub role: Role,
    /// How a full queue refuses.
    pub overload: Overload,
    /// Honours the header `x-sim-fault` and serves the control paths under `/sim/`.
    pub allow_faults: bool,
    /// Serves TLS with this configuration.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Requests kept for [`crate::Sim::received`]; the oldest go first. Zero keeps none.
    pub received_max: usize,
    /// Bytes a request body may have; more is answered 413.
    pub body_bytes_max: usize,
}

/// Which kind of server this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A vLLM 0.32: accepts unknown fields, serves everything but images.
    Vllm,
    /// A provider: only `/v1`, errors in OpenAI's words, refuses what only vLLM knows, makes images.
    Provider,
}

/// How a server says that its queue is full. vLLM does either, depending on a race.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overload {
    /// Status 503.
    Refuse,
    /// A chat stream gets status 200 and the refusal as its first event.
    InStream,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            models: vec!["tiny".to_owned()],
            seed: 0,
            ttft: Duration::ZERO,
            itl: Duration::ZERO,
            tokens_per_chunk: 1,
            max_num_seqs: 256,
            max_num_queued_reqs: None,
            max_model_len: 8192,
            kv_blocks: 8192,
            block_size: 16,
            api_key: None,
            role: Role::Vllm,
            overload: Overload::Refuse,
            allow_faults: false,
            tls: None,
            received_max: 1000,
            body_bytes_max: 64 * 1024 * 1024,
        }
    }
}

impl Config {
    /// The name that metrics carry.
    pub(crate) fn model_label(&self) -> &str {
        self.models.first().map_or("", String::as_str)
    }
}
