//! `llm-gateway demo`: a gateway with simulated servers on loopback, which leaves nothing behind.

use crate::{
    banner::Banner,
    cli::DemoArgs,
    config::{self, Config},
    error::CliError,
    http_client,
    running::{RunningGateway, Started},
    signals::ShutdownSignals,
};
use llm_proxy::app::servers::BindError;
use llm_sim::{Role, Sim};
use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

const MODEL: &str = "demo/qwen3";
const CLOUD: &str = "demo/cloud";
/// The speed of a small model on one GPU.
const FIRST_TOKEN: Duration = Duration::from_millis(180);
const NEXT_TOKEN: Duration = Duration::from_millis(35);
/// A demo should stop quickly.
const DRAIN: Duration = Duration::from_secs(2);

pub async fn run(args: &DemoArgs) -> Result<(), CliError> {
    http_client::install_crypto();
    let mut signals = ShutdownSignals::install()?;
    let folder = tempfile::tempdir()?;
    let servers = [simulate(1, Role::Vllm).await?, simulate(2, Role::Vllm).await?];
    let provider = simulate(3, Role::Provider).await?;
    let out = &mut io::stdout();
    let listen = free(args.listen, "--listen")?;
    let admin = free(args.admin, "--admin")?;
    let config = demo_config(listen, admin, folder.path(), &servers, &provider)?;
    let Started { gateway, first_key, .. } = RunningGateway::start(&config).await?;
    let bound = gateway.listen;
    for (wanted, free, bound) in
        [(args.listen, listen, bound.external), (args.admin, admin, bound.admin)]
    {
        if free != wanted {
            writeln!(out, "{wanted} is in use; the demo listens on {bound} instead")?;
        }
    }
    let (models, key) = (config.model_ids(), first_key.as_ref());
    Banner { listen: bound, is_tls: false, models: &models, key, data_dir: None }.print(out)?;
    signals.recv().await;
    gateway.stop(DRAIN, &mut signals).await;
    Ok(folder.close()?)
}

async fn simulate(seed: u64, role: Role) -> Result<Sim, CliError> {
    let model = if role == Role::Provider { "cloud" } else { MODEL };
    let config = llm_sim::Config {
        models: vec![model.to_owned()],
        seed,
        ttft: FIRST_TOKEN,
        itl: NEXT_TOKEN,
        role,
        ..llm_sim::Config::default()
    };
    Ok(Sim::start(config).await?)
}

fn demo_config(
    listen: SocketAddr,
    admin: SocketAddr,
    folder: &Path,
    servers: &[Sim],
    provider: &Sim,
) -> Result<Config, CliError> {
    let endpoints: Vec<_> = servers.iter().map(Sim::url).collect();
    let text = serde_json::json!({
        "listen": { "external": listen, "admin": admin },
        "dataDir": folder,
        "models": [{ "id": MODEL, "endpoints": endpoints, "access": { "public": true } }],
        "providers": [{
            "name": "simulated", "url": format!("{}/v1", provider.url()),
            "models": [{ "id": CLOUD, "upstream": "cloud" }], "access": { "public": true },
        }],
    })
    .to_string();
    Config::parse(&text, folder, &mut config::no_secrets)
        .map_err(|errors| CliError::Arguments { errors })
}

/// The address, or any port if that one is in use: a demo should not fail because of port 8080.
fn free(address: SocketAddr, option: &'static str) -> Result<SocketAddr, CliError> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(address),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Ok(SocketAddr::new(address.ip(), 0))
        }
        Err(source) => Err(BindError { address, option, source }.into()),
    }
}
