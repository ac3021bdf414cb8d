//! Passing a reply on.

use super::header;
use crate::{
    clock,
    request::exchange::{End, Exchange},
    upstream::connection::{Connection, Connector},
    usage::{JsonUsageReader, SseUsageReader, UsageFilter, UsageFormat},
};
use bytes::Bytes;
use llm_contract::Chain;
use pingora_core::protocols::http::ServerSession;
use std::pin::Pin;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// When to stop although the upstream goes on.
pub struct Stop<'a> {
    /// The exchange may not take longer.
    pub late: Pin<&'a mut Sleep>,
    /// The gateway stops.
    pub cut: &'a CancellationToken,
}

/// A reply on its way to the client.
pub struct Relay<'a> {
    /// To the client.
    pub session: &'a mut ServerSession,
    /// From the upstream.
    pub connection: Connection,
    /// What becomes known of it.
    pub exchange: &'a mut Exchange,
    /// When to stop.
    pub stop: Stop<'a>,
}

const BROKEN: &str = "the model's server broke off in the middle of its answer";
const CUT: &str = "the gateway had to end this stream; please try again";

impl Relay<'_> {
    /// Passes on a stream of events; `held` is what has come of it.
    pub async fn stream(
        mut self,
        held: Vec<Bytes>,
        hide: UsageFilter,
        connector: &Connector,
    ) -> End {
        let mut reader = SseUsageReader::new(self.usage_format(), hide);
        let mut end = self.stream_all(held, &mut reader).await;
        let mut last = if end == End::Complete { reader.flush() } else { Bytes::new() };
        if end == End::Complete && !reader.is_over() {
            tracing::warn!("a stream ended without its last event");
            end = End::Broken;
        }
        match end {
            End::Broken => last = [last, reader.failure("upstream_error", BROKEN)].concat().into(),
            End::Cut => last = reader.failure("stream_cut", CUT),
            End::Open | End::Answered | End::Rejected(_) | End::Complete | End::ClientGone => {}
        }
        self.exchange.reply.usage = reader.finish().usage;
        if end == End::ClientGone || self.session.write_response_body(last, true).await.is_err() {
            return End::ClientGone;
        }
        if end == End::Complete {
            connector.release(self.connection).await;
        }
        end
    }

    async fn stream_all(&mut self, held: Vec<Bytes>, reader: &mut SseUsageReader) -> End {
        if let Err(end) = self.begin(true).await {
            return end;
        }
        for chunk in held {
            if self.pass_on(reader.push(&chunk)).await.is_err() {
                return End::ClientGone;
            }
        }
        loop {
            match self.next().await {
                Ok(chunk) => {
                    if self.pass_on(reader.push(&chunk)).await.is_err() {
                        return End::ClientGone;
                    }
                }
                Err(end) => return end,
            }
        }
    }

    /// Passes on any other reply; `held` is what has come of it. A reply that breaks off is not
    /// finished: the client must see that it is not whole.
    pub async fn whole(mut self, held: Vec<Bytes>, connector: &Connector) -> End {
        let mut reader = JsonUsageReader::new(self.usage_format());
        let end = self.whole_all(held, &mut reader).await;
        self.exchange.reply.usage = reader.finish();
        if end != End::Complete {
            return end;
        }
        if self.session.write_response_body(Bytes::new(), true).await.is_err() {
            return End::ClientGone;
        }
        connector.release(self.connection).await;
        end
    }

    async fn whole_all(&mut self, held: Vec<Bytes>, reader: &mut JsonUsageReader) -> End {
        if let Err(end) = self.begin(false).await {
            return end;
        }
        let mut held = held.into_iter();
        loop {
            let chunk = match held.next() {
                Some(chunk) => chunk,
                None => match self.next().await {
                    Ok(chunk) => chunk,
                    Err(end) => return end,
                },
            };
            reader.push(&chunk);
            if self.pass_on(chunk).await.is_err() {
                return End::ClientGone;
            }
        }
    }

    fn usage_format(&self) -> UsageFormat {
        self.exchange.operation.map_or(UsageFormat::None, |operation| operation.usage_format)
    }

    async fn begin(&mut self, is_stream: bool) -> Result<(), End> {
        let version = self.session.req_header().version;
        let reply = self.connection.reply().map_err(|_no_header| End::Broken)?;
        let answer = header::for_client(reply, version, is_stream, &self.exchange.stamp)
            .map_err(|_header| End::Broken)?;
        self.exchange.reply.status = Some(answer.status);
        let written = self.session.write_response_header(Box::new(answer)).await;
        written.map_err(|_gone| End::ClientGone)
    }

    /// Nothing is written for nothing: an empty chunk would end a chunked body.
    async fn pass_on(&mut self, bytes: Bytes) -> pingora_core::Result<()> {
        self.session.write_response_body(bytes, false).await
    }

    /// Awaits what comes next from the upstream, or how the exchange ends.
    async fn next(&mut self) -> Result<Bytes, End> {
        let chunk = tokio::select! {
            biased;
            chunk = self.connection.chunk() => chunk,
            _gone = self.session.read_body_or_idle(true) => return Err(End::ClientGone),
            () = self.stop.cut.cancelled() => return Err(End::Cut),
            () = self.stop.late.as_mut() => return Err(End::Cut),
        };
        let chunk = match chunk {
            Ok(chunk) => chunk.ok_or(End::Complete)?,
            Err(failure) => {
                tracing::warn!(error = %Chain(&failure), "a reply broke off");
                return Err(End::Broken);
            }
        };
        let now = clock::now();
        let since = now.duration_since(self.exchange.received_at);
        self.exchange.reply.observe(chunk.len(), since);
        // An upstream that never pauses is cut here.
        let late = self.stop.late.deadline() < now.into();
        if late || self.stop.cut.is_cancelled() { Err(End::Cut) } else { Ok(chunk) }
    }
}
