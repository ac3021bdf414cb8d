//! Bare Pingora: a pass-through with nothing of ours in it, as the peer to compare with.
//!
//! Tuned the way the product is: no read buffer under Pingora's own, a write
//! buffer that takes a whole answer, one thread.

use std::net::SocketAddr;

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::listeners::ListenerConfig;
use pingora_core::protocols::l4::stream::L4BufferSettings;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

const WRITE_BUFFER_BYTES: usize = 16 * 1024;
const KEEPALIVE_POOL_CONNECTIONS: usize = 128;

/// Where it listens and where it sends everything.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Address of the proxy
    #[arg(long)]
    listen: SocketAddr,
    /// Address of the only upstream
    #[arg(long)]
    upstream: SocketAddr,
}

struct PassThrough {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

/// Serves until a signal ends the process.
pub(crate) fn serve(args: &Args) {
    let configuration = ServerConf {
        threads: 1,
        upstream_keepalive_pool_size: KEEPALIVE_POOL_CONNECTIONS,
        // SIGTERM ends it at once, so that valgrind and strace can write their sums.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, configuration);
    server.bootstrap();
    let proxy = PassThrough { upstream: args.upstream };
    let mut service = http_proxy_service(&server.configuration, proxy);
    let buffers = L4BufferSettings::new(0, WRITE_BUFFER_BYTES);
    service.add_listener(ListenerConfig::tcp(args.listen.to_string()).l4_buffer(buffers));
    server.add_service(service);
    server.run_forever();
}
