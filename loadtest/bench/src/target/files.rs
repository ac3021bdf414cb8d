//! Addresses and files for the programs under measurement.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;

use crate::error::BenchError;

/// A loopback address that was free a moment ago.
pub(crate) fn free_address() -> Result<SocketAddr, BenchError> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(any).and_then(|listener| listener.local_addr());
    listener.map_err(|source| BenchError::Listen { address: any, source })
}

/// Writes a generated file.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), BenchError> {
    std::fs::write(path, text).map_err(|source| BenchError::File { path: path.to_owned(), source })
}
