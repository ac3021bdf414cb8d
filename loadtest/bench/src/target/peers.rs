//! The peers: the mock itself, bare Pingora and nginx.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::files::{free_address, write};
use super::measured::Target;
use crate::command::CommandLine;
use crate::error::BenchError;

/// Loopback addresses that the mock listens on, so that a proxy has endpoints to choose from.
pub(crate) const ENDPOINTS: u8 = 16;
const PINGORA_VERSION: &str = "0.9.1";

/// This program, which is also the mock upstream and bare Pingora.
pub(crate) fn own_program() -> Result<PathBuf, BenchError> {
    let path = PathBuf::from("/proc/self/exe");
    fs::read_link(&path).map_err(|source| BenchError::File { path, source })
}

/// The mock upstream, talked to without a proxy: the ceiling of what can be measured.
pub(crate) fn mock() -> Result<(CommandLine, Target), BenchError> {
    let address = free_address()?;
    let (listen, addresses) = (address.to_string(), ENDPOINTS.to_string());
    let arguments = ["upstream", "--listen", &listen, "--addresses", &addresses];
    let target = Target {
        name: "direct",
        command: None,
        address,
        headers: Vec::new(),
        version: String::from(env!("CARGO_PKG_VERSION")),
        configuration: arguments.join(" "),
    };
    Ok((CommandLine::new(own_program()?, arguments), target))
}

/// Bare Pingora in front of `upstream`.
pub(crate) fn bare(upstream: SocketAddr) -> Result<Target, BenchError> {
    let address = free_address()?;
    let (listen, upstream) = (address.to_string(), upstream.to_string());
    let arguments = ["pingora", "--listen", &listen, "--upstream", &upstream];
    Ok(Target {
        name: "pingora",
        configuration: arguments.join(" "),
        command: Some(CommandLine::new(own_program()?, arguments)),
        address,
        headers: Vec::new(),
        version: format!("pingora-proxy {PINGORA_VERSION}"),
    })
}

/// nginx in front of `upstream`, everything it writes under `folder`.
pub(crate) fn nginx(
    program: &Path,
    folder: &Path,
    upstream: SocketAddr,
) -> Result<Target, BenchError> {
    let address = free_address()?;
    let configuration = nginx_configuration(address, upstream);
    let path = folder.join("nginx.conf");
    write(&path, &configuration)?;
    let prefix = folder.to_owned();
    let arguments = ["-p".into(), prefix.into_os_string(), "-c".into(), path.into_os_string()];
    Ok(Target {
        name: "nginx",
        command: Some(CommandLine::new(program, arguments)),
        address,
        headers: Vec::new(),
        version: CommandLine::new(program, ["-v"]).first_line(),
        configuration,
    })
}

/// One worker, connections kept on both sides, no access log, no buffering.
///
/// Body buffers are large enough that no request goes to a file.
fn nginx_configuration(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log nginx-error.log warn;
events {{ worker_connections 9000; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_timeout 3600s;
    keepalive_requests 1000000000;
    client_body_buffer_size 2m;
    client_max_body_size 64m;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream mock {{
        server {upstream};
        keepalive 128;
        keepalive_requests 1000000000;
        keepalive_timeout 3600s;
    }}
    server {{
        listen {listen} backlog=4096;
        location / {{
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_read_timeout 3600s;
        }}
    }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::PINGORA_VERSION;

    #[test]
    fn the_version_on_record_is_the_one_that_is_locked() {
        let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");
        let lock = std::fs::read_to_string(lock).unwrap();
        let line = format!("name = \"pingora-proxy\"\nversion = \"{PINGORA_VERSION}\"");
        assert!(lock.contains(&line));
    }
}
