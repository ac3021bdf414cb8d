//! Limits and timeouts.

use std::time::Duration;

/// For streams and connections to close gracefully; then they are dropped.
pub(crate) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Limits and timeouts of the push; the defaults are those of production.
#[derive(Clone, Debug)]
pub struct PushLimits {
    pub proxies: usize,
    pub connections: usize,
    /// Connections from one address that have not been authenticated.
    pub unauthenticated_per_ip: usize,
    /// For each step of opening a stream: TLS, a request, its token, the first message.
    pub handshake_timeout: Duration,
    /// For an update to be sent, applied and acknowledged; then the stream ends.
    pub ack_timeout: Duration,
    /// A proxy lags when an acknowledgement takes longer.
    pub lagging_after: Duration,
    /// Between updates: if nothing changes, an empty one.
    pub heartbeat_interval: Duration,
    /// Between HTTP/2 pings, and for the answer to one.
    pub ping_interval: Duration,
    /// How long a disconnected proxy still counts as one that may serve.
    pub disconnect_grace: Duration,
    /// Bounds how long a stream outlives the right to open it.
    pub stream_age_max: Duration,
    /// The largest report is that of a proxy with 20,000 resources under the longest names and
    /// 1,000 rejections with the longest reasons. A resource takes 332 bytes: a name of
    /// 63 + 1 + 253, a hash of 8, and 7 of framing. A rejection takes 1,537: a name, a reason of
    /// 300 characters of 4 bytes, a hash, and 12 of framing. Keys are reported only if rejected.
    /// Together 8,177,000 bytes and a digest; with 5,000 resources 3,197,000.
    pub report_bytes_max: usize,
    /// Between two reports of a stream; earlier ones stay unread.
    pub report_interval: Duration,
}

impl Default for PushLimits {
    fn default() -> Self {
        Self {
            proxies: 256,
            connections: 1024,
            unauthenticated_per_ip: 64,
            handshake_timeout: Duration::from_secs(10),
            ack_timeout: Duration::from_secs(60),
            lagging_after: Duration::from_secs(5),
            heartbeat_interval: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            disconnect_grace: Duration::from_secs(30),
            stream_age_max: Duration::from_secs(60 * 60),
            report_bytes_max: 8 * 1024 * 1024,
            report_interval: Duration::from_millis(10),
        }
    }
}
