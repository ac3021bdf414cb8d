//! A connection from an operator to the API server that can be cut.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// Where what comes over the link comes from, as the API server sees it.
pub(crate) const SOURCE: &str = "127.0.0.2";

/// A forwarder to the API server. While it is cut it drops everything silently, like a pulled
/// cable.
pub(crate) struct Link {
    pub(crate) address: SocketAddr,
    cut: watch::Sender<bool>,
    _forwards: JoinSet<()>,
}

impl Link {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, is_cut) = watch::channel(false);
        let mut forwards = JoinSet::new();
        forwards.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(forward(stream, server, is_cut.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, cut, _forwards: forwards }
    }

    pub(crate) fn cut(&self) {
        self.cut.send_replace(true);
    }

    pub(crate) fn mend(&self) {
        self.cut.send_replace(false);
    }

    /// Writes the kubeconfig of an operator that goes this way.
    pub(crate) fn kubeconfig(&self, of: &Path, to: &Path) {
        let direct = std::fs::read_to_string(of).unwrap();
        let linked = direct.replace(&server(of).to_string(), &self.address.to_string());
        std::fs::write(to, linked).unwrap();
    }
}

/// The API server's address in a kubeconfig.
pub(crate) fn server(kubeconfig: &Path) -> SocketAddr {
    let config = kube::config::Kubeconfig::read_from(kubeconfig).unwrap();
    let cluster = config.clusters.first().unwrap().cluster.as_ref().unwrap();
    let server = cluster.server.clone().unwrap();
    server.strip_prefix("https://").unwrap().trim_end_matches('/').parse().unwrap()
}

async fn forward(mut from: TcpStream, server: SocketAddr, mut cut: watch::Receiver<bool>) {
    let passing = async {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((SOURCE.parse::<IpAddr>().unwrap(), 0).into()).unwrap();
        let mut to = socket.connect(server).await.unwrap();
        // Either side may end as it likes.
        let _ended = copy_bidirectional(&mut from, &mut to).await;
        true
    };
    let mut seen = cut.clone();
    let ended = tokio::select! {
        biased;
        _ = seen.wait_for(|cut| *cut) => false,
        ended = passing => ended,
    };
    if !ended {
        // The operator's side stays open, and silent.
        let _mended = cut.wait_for(|cut| !*cut).await;
    }
}
