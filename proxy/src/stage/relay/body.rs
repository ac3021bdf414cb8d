//! Passes a reply on to the client.

use super::response_header;
use crate::{
    clock,
    request::exchange::{Exchange, ExchangeOutcome},
    upstream::connection::{Connection, Connector},
    usage::{JsonUsageReader, SseUsageReader, UsageFilter, UsageFormat},
};
use bytes::Bytes;
use llm_contract::Chain;
use pingora_core::protocols::http::ServerSession;
use std::pin::Pin;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

/// A reply on its way to the client.
pub struct Relay<'a> {
    pub session: &'a mut ServerSession,
    pub connection: Connection,
    pub exchange: &'a mut Exchange,
    /// The route's timeout.
    pub deadline: Pin<&'a mut Sleep>,
    /// Cancelled when running requests are cut off.
    pub cut: &'a CancellationToken,
}

const BROKEN: &str = "the model's server disconnected in the middle of its reply";
const CUT: &str = "the gateway had to end this stream; please try again";

impl Relay<'_> {
    /// Relays a stream of events, beginning with what is buffered of it.
    pub async fn stream(
        mut self,
        buffered: Vec<Bytes>,
        filter: UsageFilter,
        connector: &Connector,
    ) -> ExchangeOutcome {
        let mut reader = SseUsageReader::new(self.usage_format(), filter);
        let mut outcome = self.pass_on(true, buffered, |chunk| reader.push(&chunk)).await;
        let mut last =
            if outcome == ExchangeOutcome::Complete { reader.flush() } else { Bytes::new() };
        if outcome == ExchangeOutcome::Complete && !reader.is_over() {
            tracing::warn!("a stream ended without its last event");
            outcome = ExchangeOutcome::Broken;
        }
        if outcome == ExchangeOutcome::Broken {
            last = [last, reader.failure("upstream_error", BROKEN)].concat().into();
        } else if outcome == ExchangeOutcome::Cut {
            last = reader.failure("stream_cut", CUT);
        }
        self.exchange.reply.usage = reader.finish().usage;
        if outcome == ExchangeOutcome::ClientGone
            || self.session.write_response_body(last, true).await.is_err()
        {
            return ExchangeOutcome::ClientGone;
        }
        if outcome == ExchangeOutcome::Complete {
            connector.release(self.connection).await;
        }
        outcome
    }

    /// Relays any other reply, beginning with what is buffered of it. The body of a reply that
    /// breaks off is not ended, so that the client notices.
    pub async fn whole(mut self, buffered: Vec<Bytes>, connector: &Connector) -> ExchangeOutcome {
        let mut reader = JsonUsageReader::new(self.usage_format());
        let read = |chunk: Bytes| {
            reader.push(&chunk);
            chunk
        };
        let outcome = self.pass_on(false, buffered, read).await;
        self.exchange.reply.usage = reader.finish();
        if outcome != ExchangeOutcome::Complete {
            return outcome;
        }
        if self.session.write_response_body(Bytes::new(), true).await.is_err() {
            return ExchangeOutcome::ClientGone;
        }
        connector.release(self.connection).await;
        outcome
    }

    /// Sends the header, then each chunk as `read` returns it, until the reply ends.
    async fn pass_on(
        &mut self,
        is_stream: bool,
        buffered: Vec<Bytes>,
        mut read: impl FnMut(Bytes) -> Bytes,
    ) -> ExchangeOutcome {
        if let Err(outcome) = self.send_header(is_stream).await {
            return outcome;
        }
        let mut buffered = buffered.into_iter();
        loop {
            let chunk = match buffered.next() {
                Some(chunk) => chunk,
                None => match self.next_chunk().await {
                    Ok(chunk) => chunk,
                    Err(outcome) => return outcome,
                },
            };
            // Nothing is written for nothing: an empty chunk would end a chunked body.
            if self.session.write_response_body(read(chunk), false).await.is_err() {
                return ExchangeOutcome::ClientGone;
            }
        }
    }

    async fn send_header(&mut self, is_stream: bool) -> Result<(), ExchangeOutcome> {
        let version = self.session.req_header().version;
        let reply = self.connection.reply().map_err(|_no_header| ExchangeOutcome::Broken)?;
        let response =
            response_header::for_client(reply, version, is_stream, &self.exchange.context)
                .map_err(|_header| ExchangeOutcome::Broken)?;
        self.exchange.reply.status = Some(response.status);
        let written = self.session.write_response_header(Box::new(response)).await;
        written.map_err(|_gone| ExchangeOutcome::ClientGone)
    }

    /// The next bytes of the reply, or how the exchange ends.
    async fn next_chunk(&mut self) -> Result<Bytes, ExchangeOutcome> {
        let chunk = tokio::select! {
            biased;
            chunk = self.connection.chunk() => chunk,
            _gone = self.session.read_body_or_idle(true) => {
                return Err(ExchangeOutcome::ClientGone);
            }
            () = self.cut.cancelled() => return Err(ExchangeOutcome::Cut),
            () = self.deadline.as_mut() => return Err(ExchangeOutcome::Cut),
        };
        let chunk = match chunk {
            Ok(chunk) => chunk.ok_or(ExchangeOutcome::Complete)?,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "an upstream was lost during its reply");
                return Err(ExchangeOutcome::Broken);
            }
        };
        // An upstream that never pauses is cut here.
        let is_late = self.deadline.deadline() < clock::now().into();
        if is_late || self.cut.is_cancelled() { Err(ExchangeOutcome::Cut) } else { Ok(chunk) }
    }

    fn usage_format(&self) -> UsageFormat {
        self.exchange.operation.map_or(UsageFormat::None, |operation| operation.usage_format)
    }
}
