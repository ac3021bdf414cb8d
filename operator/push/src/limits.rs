//! How much, how many and how long.

use std::time::Duration;

/// What bounds the push. The default is meant for use; tests come to its ends sooner.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Proxies at a time.
    pub proxies: usize,
    /// Connections at a time, also of whoever has not yet said who it is.
    pub connections: usize,
    /// Of those, from one address, of whoever has not yet said who it is.
    pub strangers: usize,
    /// For each step before a stream is one: TLS, a request, its token, the first message.
    pub begin_wait: Duration,
    /// For an update to arrive, be put in force and be answered; then the stream ends.
    pub answer_wait: Duration,
    /// An answer that takes longer makes a proxy one that lags.
    pub lagging_after: Duration,
    /// Without a change, an empty update says this often that the table is as it was.
    pub word_interval: Duration,
    /// Between pings of a connection, and how long its peer may take to answer one.
    pub ping_interval: Duration,
    /// How long a proxy that has gone is counted as one that may still serve.
    pub grace: Duration,
    /// A stream that is older ends, so that whoever may no longer follow stops.
    pub stream_age: Duration,
    /// The size of a report. The largest is of a proxy that has 20,000 resources in force under
    /// the longest names, and refuses 1,000 for the longest reasons. Each of the former takes 332
    /// bytes: a name of 63 + 1 + 253, a hash of 8, and 7 of framing. Each of the latter takes 1,537:
    /// a name, a reason of 300 characters of 4 bytes, a hash, and 12 of framing. Keys are in it
    /// only if they are refused. Together 8,177,000 bytes, and a digest; of 5,000 resources
    /// 3,197,000.
    pub report_bytes: usize,
    /// Between reports of one stream; what comes sooner waits unread.
    pub report_pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            proxies: 256,
            connections: 1024,
            strangers: 64,
            begin_wait: Duration::from_secs(10),
            answer_wait: Duration::from_secs(60),
            lagging_after: Duration::from_secs(5),
            word_interval: Duration::from_secs(10),
            ping_interval: Duration::from_secs(10),
            grace: Duration::from_secs(30),
            stream_age: Duration::from_secs(60 * 60),
            report_bytes: 8 * 1024 * 1024,
            report_pause: Duration::from_millis(10),
        }
    }
}
