//! The command line, in vLLM's words where vLLM has them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use llm_sim::{Config, Overload, Role};
use secrecy::SecretString;

/// A simulated vLLM 0.32: same API, same metrics, made-up answers, failures on request.
///
/// Prints its URL when it is ready and stops on SIGTERM or SIGINT.
#[derive(Debug, Parser)]
#[command(name = "llm-sim", version)]
pub(crate) struct Arguments {
    /// Address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Name of the served model; repeat it for more names. With --served-model-name it is a
    /// folder, which must hold a config.json as vLLM's must
    #[arg(long, default_value = "tiny")]
    model: Vec<String>,
    /// Names of the served model, instead of --model
    #[arg(long, num_args = 1.., value_name = "NAME")]
    served_model_name: Vec<String>,
    /// GPUs of one copy of the model; there are none, so any number will do
    #[arg(long, default_value_t = 1)]
    tensor_parallel_size: u32,
    /// Copies of the model; has no effect
    #[arg(long, default_value_t = 1)]
    data_parallel_size: u32,
    /// Decides every answer, together with the prompt
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Milliseconds until the first token
    #[arg(long, default_value_t = 0)]
    ttft_ms: u64,
    /// Milliseconds between two tokens; 0 is as fast as possible
    #[arg(long, default_value_t = 0)]
    itl_ms: u64,
    /// Tokens in one stream event
    #[arg(long, default_value_t = 1)]
    tokens_per_chunk: usize,
    /// Requests that run at the same time
    #[arg(long, default_value_t = 256)]
    max_num_seqs: usize,
    /// Requests that may run and wait together [default: no cap]
    #[arg(long)]
    max_num_queued_reqs: Option<usize>,
    /// Tokens of prompt and answer together
    #[arg(long, default_value_t = 8192)]
    max_model_len: usize,
    /// Blocks in the KV cache
    #[arg(long, default_value_t = 8192)]
    kv_blocks: usize,
    /// Tokens in one block
    #[arg(long, default_value_t = 16)]
    block_size: usize,
    /// Bearer token to ask for
    #[arg(long, env = "LLM_SIM_API_KEY", hide_env_values = true)]
    api_key: Option<SecretString>,
    /// Play an OpenAI provider instead of a vLLM
    #[arg(long)]
    provider: bool,
    /// How a full queue refuses
    #[arg(long, value_enum, default_value_t = OverloadArgument::Refuse)]
    overload: OverloadArgument,
    /// Honour the header x-sim-fault and serve /sim/received, /sim/state and /sim/fault
    #[arg(long)]
    allow_faults: bool,
    /// Requests kept for /sim/received
    #[arg(long, default_value_t = 1000)]
    received_max: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OverloadArgument {
    /// Status 503
    Refuse,
    /// A chat stream gets status 200 and the refusal as its first event
    InStream,
}

impl Arguments {
    /// The configuration of the server, or why it cannot start.
    pub(crate) fn into_config(self) -> Result<Config, MissingWeights> {
        let models = if self.served_model_name.is_empty() {
            self.model
        } else {
            self.model.into_iter().try_for_each(has_weights)?;
            self.served_model_name
        };
        Ok(Config {
            bind: SocketAddr::new(self.host, self.port),
            models,
            seed: self.seed,
            ttft: Duration::from_millis(self.ttft_ms),
            itl: Duration::from_millis(self.itl_ms),
            tokens_per_chunk: self.tokens_per_chunk,
            max_num_seqs: self.max_num_seqs,
            max_num_queued_reqs: self.max_num_queued_reqs,
            max_model_len: self.max_model_len,
            kv_blocks: self.kv_blocks,
            block_size: self.block_size,
            api_key: self.api_key,
            role: if self.provider { Role::Provider } else { Role::Vllm },
            overload: match self.overload {
                OverloadArgument::Refuse => Overload::Refuse,
                OverloadArgument::InStream => Overload::InStream,
            },
            allow_faults: self.allow_faults,
            received_max: self.received_max,
            ..Config::default()
        })
    }
}

/// Nothing was downloaded into the folder.
#[derive(Debug, thiserror::Error)]
#[error("{}: there is no config.json, so this is no model", .0.display())]
pub(crate) struct MissingWeights(PathBuf);

fn has_weights(folder: String) -> Result<(), MissingWeights> {
    let folder = PathBuf::from(folder);
    if folder.join("config.json").is_file() { Ok(()) } else { Err(MissingWeights(folder)) }
}
