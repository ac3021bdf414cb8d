//! Questions to servers on the operator's behalf: not to a proxy in between, and not to wherever
//! an answer redirects.

use reqwest::{Client, redirect::Policy};

/// TLS libraries want to be told once which cryptography to use.
pub fn install_crypto() {
    // Fails if another part of the process has chosen already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client for URLs of this scheme. For plain HTTP it needs no certificates on the machine.
///
/// # Errors
/// If TLS cannot be set up.
pub fn client(scheme: &str) -> reqwest::Result<Client> {
    install_crypto();
    let builder = Client::builder().no_proxy().redirect(Policy::none());
    if scheme == "https" { builder } else { builder.tls_certs_only([]) }.build()
}
