//! What is asked? The whole body, kept so that it can be sent to more than one endpoint.

pub mod scan;

use super::accept::{Body, Operation};
use crate::response::{rejection::Rejection, request_error::Halt};
use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora_core::{ErrorType, protocols::http::ServerSession};
use scan::{BodyEdits, PromptFields, UsageReporting};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How much of a declared length is made room for at once; a client may promise more than it
/// sends.
const PREALLOCATED_BYTES_MAX: usize = 256 * 1024;

/// How much of bodies we hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of one request.
    pub body_bytes: usize,
    /// Of all requests together.
    pub bodies_bytes: usize,
    /// How long one may take to arrive.
    pub body_wait: Duration,
}

/// The bytes of all bodies held at the moment.
#[derive(Debug, Default)]
pub struct Held(AtomicUsize);

/// A request's body as far as the gateway reads it.
#[derive(Debug)]
pub struct Prompt<'a> {
    /// The bytes that came.
    pub body: Bytes,
    /// What was found in them; nothing for an operation without a body.
    pub scan: Option<PromptFields>,
    _share: Share<'a>,
}

#[derive(Debug)]
struct Share<'a> {
    held: &'a Held,
    bytes: usize,
}

impl Held {
    /// How many bytes are held now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Share<'_> {
    fn grow(&mut self, bytes: usize, max: usize) -> Result<(), Rejection> {
        let grow = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= max);
        self.held
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, grow)
            .map_err(|_full| Rejection::Saturated)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl<'a> Prompt<'a> {
    /// Reads and scans the body of a request.
    ///
    /// # Errors
    /// If it is too large, too slow, not what the operation takes, or the client goes away.
    pub async fn read(
        session: &mut ServerSession,
        operation: &Operation,
        limits: &Limits,
        held: &'a Held,
    ) -> Result<Self, Halt> {
        let mut share = Share { held, bytes: 0 };
        let body =
            match tokio::time::timeout(limits.body_wait, read_body(session, limits, &mut share))
                .await
            {
                Ok(body) => body?,
                Err(_elapsed) => {
                    return Err(Rejection::BodyTooSlow { wait: limits.body_wait }.into());
                }
            };
        let scan = match operation.body {
            Body::Json => Some(scan::json(&body)),
            Body::Form => {
                let kind = session.req_header().headers.get(header::CONTENT_TYPE);
                let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
                Some(scan::form(&body, kind))
            }
            Body::Empty => None,
        };
        let scan = scan.transpose().map_err(|invalid| Rejection::BadPrompt {
            param: invalid.param(),
            message: invalid.to_string(),
        })?;
        Ok(Self { body, scan, _share: share })
    }

    /// The body for an upstream that knows the model as `model`, asking for `usage` at least.
    /// Only what must change is spliced; every other byte is as it came.
    pub fn for_upstream(&self, model: &str, usage: UsageReporting) -> Bytes {
        let Some(scan) = &self.scan else {
            return self.body.clone();
        };
        let mut edits = BodyEdits::default();
        scan.rename_model(model, &mut edits);
        scan.request_usage(usage, &mut edits);
        edits.apply(&self.body)
    }
}

async fn read_body(
    session: &mut ServerSession,
    limits: &Limits,
    share: &mut Share<'_>,
) -> Result<Bytes, Halt> {
    let bytes_max = limits.body_bytes;
    let declared = declared_length(session);
    if declared.is_some_and(|length| bytes_max < length) {
        return Err(Rejection::BodyTooLarge { bytes_max }.into());
    }
    if awaits_continue(session) {
        session.write_continue_response().await?;
    }
    let mut body = BytesMut::new();
    loop {
        let chunk = match session.read_request_body().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(body.freeze()),
            Err(error) if *error.etype() == ErrorType::ReadTimedout => {
                return Err(Rejection::BodyTooSlow { wait: limits.body_wait }.into());
            }
            // Pingora says so, in types of its own, when a chunk or the last one is malformed.
            Err(error) if matches!(error.etype(), ErrorType::Custom(_)) => {
                return Err(Rejection::Framing("a chunk that is not one").into());
            }
            Err(error) => return Err(error.into()),
        };
        if bytes_max < body.len() + chunk.len() {
            return Err(Rejection::BodyTooLarge { bytes_max }.into());
        }
        share.grow(chunk.len(), limits.bodies_bytes)?;
        // The usual prompt comes in one piece, which need not be copied.
        if body.is_empty() && declared == Some(chunk.len()) {
            return Ok(chunk);
        }
        if body.is_empty() {
            body.reserve(declared.unwrap_or_default().min(PREALLOCATED_BYTES_MAX));
        }
        body.extend_from_slice(&chunk);
    }
}

/// Whether the client sends its body only when it is told to. Other expectations are left to
/// whoever has them, and HTTP/1.0 does not know the interim answer.
fn awaits_continue(session: &ServerSession) -> bool {
    let request = session.req_header();
    request.version != Version::HTTP_10
        && request
            .headers
            .get(header::EXPECT)
            .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn declared_length(session: &ServerSession) -> Option<usize> {
    session.req_header().headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
