//! Ports for programs that cannot choose one themselves.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::RangeInclusive;

use crate::error::ClusterError;

/// Below the kernel's ephemeral ports, so that no outgoing connection takes an API server's port
/// while it is down.
const PORTS: RangeInclusive<u16> = 20_000..=32_000;
/// Attempts with new ports, because another process was faster.
const ATTEMPTS_MAX: usize = 5;
/// Draws for one free port.
const DRAWS_MAX: usize = 100;
/// Exit code of a script whose port was taken.
const PORT_TAKEN: i32 = 75;

/// Starts something on ports that were free a moment ago, and on others if they no longer are.
pub(crate) async fn with_free_ports<const N: usize, T>(
    start: impl AsyncFn([u16; N]) -> Result<T, ClusterError>,
) -> Result<T, ClusterError> {
    let mut attempt = 1;
    loop {
        match start(free_ports()?).await {
            Err(ClusterError::Ended { code: Some(PORT_TAKEN), .. }) if attempt < ATTEMPTS_MAX => {
                attempt += 1;
            }
            other => return other,
        }
    }
}

fn free_ports<const N: usize>() -> Result<[u16; N], ClusterError> {
    let mut held = Vec::new();
    let mut ports = [0; N];
    for port in &mut ports {
        let (drawn, listener) = draw().map_err(|source| ClusterError::Port { source })?;
        *port = drawn;
        // Until all are drawn, so that they differ.
        held.push(listener);
    }
    Ok(ports)
}

fn draw() -> io::Result<(u16, TcpListener)> {
    let mut refusal = io::ErrorKind::AddrInUse.into();
    for _ in 0..DRAWS_MAX {
        let port = rand::random_range(PORTS);
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => return Ok((port, listener)),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::{ATTEMPTS_MAX, ClusterError, PORT_TAKEN, with_free_ports};

    #[tokio::test]
    async fn other_ports_are_tried_when_those_were_taken_but_not_for_ever() {
        let tried = Mutex::new(Vec::new());
        let refuse = async |ports: [u16; 2]| {
            tried.lock().unwrap().push(ports);
            Err::<(), _>(ClusterError::Ended { script: PathBuf::new(), code: Some(PORT_TAKEN) })
        };
        with_free_ports(refuse).await.unwrap_err();
        let tried = tried.into_inner().unwrap();
        assert_eq!(tried.len(), ATTEMPTS_MAX);
        assert!(tried.iter().all(|[one, other]| one != other));
    }
}
