//! `llm-gateway demo`: everything a newcomer needs, on loopback, gone at the end.

use crate::{
    cli::DemoArgs,
    command::Failure,
    config::Config,
    http,
    node::{Node, Started},
    signals::Signals,
    welcome::Welcome,
};
use llm_proxy::app::serving::NoPort;
use llm_sim::{Role, Sim};
use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener},
    path::Path,
    time::Duration,
};

const MODEL: &str = "demo/qwen3";
const CLOUD: &str = "demo/cloud";
/// As a small model on one GPU would answer.
const FIRST_TOKEN: Duration = Duration::from_millis(180);
const NEXT_TOKEN: Duration = Duration::from_millis(35);
/// Nobody waits for a demo to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Starts simulated servers, a gateway before them and a key, and serves until it is stopped.
///
/// # Errors
/// [`Failure`]; nothing is left behind then.
pub async fn run(args: &DemoArgs) -> Result<(), Failure> {
    http::install_crypto();
    let mut signals = Signals::catch()?;
    let folder = tempfile::tempdir()?;
    let servers = [simulate(1, Role::Vllm).await?, simulate(2, Role::Vllm).await?];
    let provider = simulate(3, Role::Provider).await?;
    let out = &mut io::stdout();
    let listen = free(args.listen, "--listen")?;
    let admin = free(args.admin, "--admin")?;
    let config = config(listen, admin, folder.path(), &servers, &provider)?;
    let Started { node, first_key, .. } = Node::start(&config, None).await?;
    for (asked, free, got) in
        [(args.listen, listen, node.listen.external), (args.admin, admin, node.listen.admin)]
    {
        if free != asked {
            writeln!(out, "{asked} is taken; the demo listens on {got} instead")?;
        }
    }
    let (models, key) = (config.model_ids(), first_key.as_ref());
    Welcome { listen: node.listen, is_tls: false, models: &models, key, data_dir: None }
        .print(out)?;
    signals.next().await;
    node.stop(DRAIN, &mut signals).await;
    Ok(folder.close()?)
}

async fn simulate(seed: u64, role: Role) -> Result<Sim, Failure> {
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

fn config(
    listen: SocketAddr,
    admin: SocketAddr,
    folder: &Path,
    servers: &[Sim],
    provider: &Sim,
) -> Result<Config, Failure> {
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
    let mistakes = |mistakes| Failure::Arguments { mistakes };
    let config = Config::parse(&text, folder).map_err(mistakes)?;
    config.resolve(&mut |_, _, _| None).ok_or_else(|| mistakes(Vec::new()))
}

/// The address, or one with any port if that is taken: a demo should not fail for want of port
/// 8080.
fn free(address: SocketAddr, choose: &'static str) -> Result<SocketAddr, Failure> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(address),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Ok(SocketAddr::new(address.ip(), 0))
        }
        Err(source) => Err(NoPort { address, choose, source }.into()),
    }
}
