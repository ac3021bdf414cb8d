//! HTTP clients for servers that the user of this program chose.

use reqwest::{Client, redirect::Policy};

/// Chooses the cryptography of all TLS in this process.
pub fn install_crypto() {
    // Fails if something else in the process has chosen already, which is just as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client without proxies or redirects. For `http` it needs no certificates on the machine.
pub fn client(scheme: &str) -> reqwest::Result<Client> {
    install_crypto();
    let builder = Client::builder().no_proxy().redirect(Policy::none());
    if scheme == "https" { builder } else { builder.tls_certs_only([]) }.build()
}
