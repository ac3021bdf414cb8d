use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, redirect::Policy};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A client for plain HTTP.
pub(crate) fn http_client() -> anyhow::Result<Client> {
    // Fails if a provider is installed already, which does as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = Client::builder().no_proxy().redirect(Policy::none()).tls_certs_only([]);
    builder.timeout(TIMEOUT).build().context("creating a client")
}
