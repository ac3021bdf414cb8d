//! Ours: the gateway with the whole product path.
//!
//! One key, sixteen endpoints (loopback addresses of the mock) to choose from,
//! metrics and the access log on. The log goes to a file, as a node's would.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::files::{free_address, write};
use super::measured::Target;
use super::peers::ENDPOINTS;
use crate::command::CommandLine;
use crate::error::BenchError;
use crate::prompt::MODEL;
use crate::upstream::addresses;

/// Access goes by group, as it does for most models.
const GROUP: &str = "bench";

/// The gateway in front of `upstream`, everything it writes under `folder`.
///
/// Mints the key it will be asked with, so the data folder exists afterwards.
pub(crate) fn gateway(
    program: &Path,
    folder: &Path,
    upstream: SocketAddr,
) -> Result<Target, BenchError> {
    let address = free_address()?;
    let configuration = configuration(folder, address, upstream)?;
    let path = folder.join("gateway.yaml");
    write(&path, &configuration)?;
    let key = mint(program, folder, &path)?;
    let config = path.into_os_string();
    Ok(Target {
        name: "gateway",
        command: Some(CommandLine::new(program, ["serve".into(), "--config".into(), config])),
        address,
        headers: vec![("Authorization", format!("Bearer {key}"))],
        version: CommandLine::new(program, ["--version"]).first_line(),
        configuration,
    })
}

fn configuration(
    folder: &Path,
    external: SocketAddr,
    upstream: SocketAddr,
) -> Result<String, BenchError> {
    let admin = free_address()?;
    let endpoints = addresses(upstream, ENDPOINTS).into_iter();
    let endpoints: Vec<_> = endpoints.map(|address| format!("http://{address}")).collect();
    let endpoints = endpoints.join(", ");
    let data = folder.join("data");
    let data = data.display();
    Ok(format!(
        "listen:
  external: {external}
  admin: {admin}
dataDir: {data}
models:
  - id: {MODEL}
    endpoints: [{endpoints}]
    access: {{groups: [{GROUP}]}}
"
    ))
}

/// `keys create` prints the key alone on standard output.
fn mint(program: &Path, folder: &Path, config: &Path) -> Result<String, BenchError> {
    let log = folder.join("keys-create.log");
    let file = |source| BenchError::File { path: log.clone(), source };
    let output = Command::new(program)
        .args(["keys", "create", "--name", "bench", "--models", "*", "--groups", GROUP, "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stderr(File::create(&log).map_err(file)?)
        .output()
        .map_err(|source| BenchError::Start { program: program.to_owned(), source })?;
    let key = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if !output.status.success() || key.is_empty() {
        return Err(BenchError::NoKey { status: output.status, log });
    }
    Ok(key)
}
