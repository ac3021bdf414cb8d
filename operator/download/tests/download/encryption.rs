//! A hub behind TLS.

use crate::{
    hub::{Fault, Hub, Model},
    program::{Output, Program, Volume},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivatePkcs8KeyDer};
use std::sync::Arc;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A TLS proxy before a hub, with a certificate of its own.
struct TlsProxy {
    url: String,
    certificate: String,
    _server: JoinSet<()>,
}

impl TlsProxy {
    async fn start(hub: &Hub) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key.into());
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let to = hub.url.strip_prefix("http://").unwrap().to_owned();
        let mut server = JoinSet::new();
        server.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((plain, _)) = listener.accept().await {
                let (acceptor, to) = (acceptor.clone(), to.clone());
                connections.spawn(async move {
                    // A client that does not trust us closes the connection.
                    let Ok(mut near) = acceptor.accept(plain).await else { return };
                    let mut far = TcpStream::connect(to).await.unwrap();
                    let _ = copy_bidirectional(&mut near, &mut far).await;
                });
            }
        });
        Self { url, certificate: cert.pem(), _server: server }
    }

    fn fetch(&self, volume: &Volume) -> Program {
        let roots = volume.root.with_extension("pem");
        std::fs::write(&roots, &self.certificate).unwrap();
        let program = Program::new().env("HF_ENDPOINT", &self.url).args(["acme/tiny"]);
        program.to(&volume.root).env("SSL_CERT_FILE", roots.to_str().unwrap())
    }
}

fn model() -> Model {
    Model::new('a', &[("m.bin", 50_000)])
}

#[tokio::test]
async fn ssl_cert_file_holds_the_roots_of_a_private_mirror() {
    let (model, volume) = (model(), Volume::new());
    let hub = Hub::start(&model).await;
    TlsProxy::start(&hub).await.fetch(&volume).succeed().await;
    volume.assert_exactly(&model);
}

#[tokio::test]
async fn an_untrusted_hub_receives_no_request() {
    let (volume, hub) = (Volume::new(), Hub::start(&model()).await);
    let proxy = TlsProxy::start(&hub).await;
    let program = proxy.fetch(&volume);
    let others = generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem();
    std::fs::write(volume.root.with_extension("pem"), others).unwrap();
    let Output { reason, .. } = program.args(["--retries", "0"]).fail(69).await;
    assert!(reason.contains("invalid peer certificate"), "{reason}");
    assert_eq!(hub.requests().len(), 0);
}

#[tokio::test]
async fn an_image_without_roots_is_reported() {
    let (volume, hub) = (Volume::new(), Hub::start(&model()).await);
    let proxy = TlsProxy::start(&hub).await;
    let program = proxy.fetch(&volume).env("SSL_CERT_FILE", "/nowhere.pem");
    let Output { reason, .. } = program.fail(69).await;
    assert!(reason.contains("`SSL_CERT_FILE`"), "{reason}");
}

#[tokio::test]
async fn a_redirect_from_https_to_http_is_refused() {
    let (model, volume) = (model(), Volume::new());
    let (hub, clear) = (Hub::start(&model).await, Hub::start(&model).await);
    let there = format!("{}/acme/tiny/resolve/{}/m.bin", clear.url, model.commit);
    hub.set_fault("m.bin", Fault::answer(302, &[("location", &there)], ""));
    let proxy = TlsProxy::start(&hub).await;
    let program = proxy.fetch(&volume).args(["--retries", "0"]);
    let Output { reason, .. } = program.fail(69).await;
    assert!(reason.contains("redirected from https to http"), "{reason}");
    assert_eq!(clear.requests().len(), 0);
}
