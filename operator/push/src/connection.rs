//! One connection: TLS, HTTP/2, and the gRPC service that opens streams.

use crate::{
    authenticate::AuthenticateError, limits::CLOSE_TIMEOUT, open_streams::OpenStreams,
    preauth_limit::PreAuthConnection, session::Session, state::PushState,
};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use llm_contract::push::wire::{
    Report, Update,
    push_server::{self, PushServer},
};
use std::{pin::pin, sync::Arc};
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming, codegen::Service as _};

/// Concurrent streams: a proxy has one, and another while it resubscribes.
const STREAMS_MAX: u32 = 4;
const RESET_STREAMS_MAX: usize = 16;
/// The header holds a token.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Chunks of an update that wait to be sent.
const CHUNKS_MAX: usize = 1;

#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) state: Arc<PushState>,
    pub(crate) preauth: PreAuthConnection,
}

struct PushService {
    connection: Connection,
    streams: OpenStreams,
}

impl Connection {
    pub(crate) async fn serve(self, acceptor: TlsAcceptor, socket: TcpStream) {
        // Best effort: small messages are not delayed.
        let _ = socket.set_nodelay(true);
        let limits = &self.state.limits;
        let Ok(Ok(tls)) = timeout(limits.handshake_timeout, acceptor.accept(socket)).await else {
            return;
        };
        let streams = OpenStreams::default();
        let service = PushService { connection: self.clone(), streams: streams.clone() };
        let push = PushServer::new(service).max_decoding_message_size(limits.report_bytes_max);
        let service = service_fn(move |request: http::Request<Incoming>| {
            let mut push = push.clone();
            async move { push.call(request).await }
        });
        let serving = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(limits.ping_interval)
            .keep_alive_timeout(limits.ping_interval)
            .max_concurrent_streams(STREAMS_MAX)
            .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
            .max_local_error_reset_streams(RESET_STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .serve_connection(TokioIo::new(tls), service);
        let mut serving = pin!(serving);
        tokio::select! {
            // An error needs no log: the proxy notices and reconnects.
            _ = &mut serving => return,
            () = streams.idle(limits.handshake_timeout) => {}
            () = self.preauth.rejected.cancelled() => {}
            () = self.state.stopping.cancelled() => {}
        }
        // Responses that are under way are still sent.
        serving.as_mut().graceful_shutdown();
        let _ = timeout(CLOSE_TIMEOUT, serving).await;
    }
}

#[tonic::async_trait]
impl push_server::Push for PushService {
    type FollowStream = ReceiverStream<Result<Update, Status>>;

    async fn follow(
        &self,
        request: Request<Streaming<Report>>,
    ) -> Result<Response<Self::FollowStream>, Status> {
        let open = self.streams.open();
        let Connection { state, preauth } = &self.connection;
        let header = request.metadata().get("authorization").and_then(|it| it.to_str().ok());
        let peer = state.authenticate(header).await.inspect_err(|error| {
            state.stats.streams_failed.inc();
            tracing::debug!(%error, "a stream was refused");
            match error {
                AuthenticateError::Unauthenticated { .. } | AuthenticateError::Forbidden { .. } => {
                    preauth.rejected.cancel();
                }
                AuthenticateError::Unavailable { .. } => {}
            }
        })?;
        preauth.mark_authenticated();
        let (updates, messages) = mpsc::channel(CHUNKS_MAX);
        let (state, reports) = (Arc::clone(state), request.into_inner());
        let session = Session { state, peer, reports, updates, _open: open };
        self.connection.state.sessions.spawn(session.run());
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}
