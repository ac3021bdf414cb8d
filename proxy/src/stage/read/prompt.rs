//! Reads and scans a request's body.

use super::{
    body_budget::{BodyBudget, BodyLimits, BodyReservation},
    scan::{self, BodyEdits, PromptFields, UsageReporting},
};
use crate::{
    response::{rejection::Rejection, request_error::RequestError},
    stage::accept::{BodyFormat, Operation},
};
use bytes::{Bytes, BytesMut};
use http::{Version, header};
use pingora_core::{ErrorType, protocols::http::ServerSession};

/// How much of a declared length is allocated at once; a client may send less than it declares.
const PREALLOCATED_BYTES_MAX: usize = 256 * 1024;

/// A request's body and what the gateway reads of it.
#[derive(Debug)]
pub struct Prompt<'a> {
    pub body: Bytes,
    /// `None` for an operation without a body.
    pub scan: Option<PromptFields>,
    _reservation: BodyReservation<'a>,
}

impl<'a> Prompt<'a> {
    pub async fn read(
        session: &mut ServerSession,
        operation: &Operation,
        budget: &'a BodyBudget,
    ) -> Result<Self, RequestError> {
        let limits = &budget.limits;
        let mut reservation = budget.reserve();
        let reading = read_body(session, limits, &mut reservation);
        let Ok(body) = tokio::time::timeout(limits.body_wait, reading).await else {
            return Err(Rejection::BodyTimeout { timeout: limits.body_wait }.into());
        };
        let body = body?;
        let scan = match operation.body {
            BodyFormat::Json => Some(scan::json(&body)),
            BodyFormat::Form => {
                let kind = session.req_header().headers.get(header::CONTENT_TYPE);
                let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
                Some(scan::form(&body, kind))
            }
            BodyFormat::Empty => None,
        };
        let scan = scan.transpose().map_err(|invalid| Rejection::InvalidBody {
            param: invalid.param(),
            message: invalid.to_string(),
        })?;
        Ok(Self { body, scan, _reservation: reservation })
    }

    /// The body for an upstream that knows the model as `model`, requesting at least `usage`.
    /// Every byte that need not change is as received.
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
    limits: &BodyLimits,
    reservation: &mut BodyReservation<'_>,
) -> Result<Bytes, RequestError> {
    let bytes_max = limits.body_bytes;
    let declared = declared_length(session);
    if declared.is_some_and(|length| bytes_max < length) {
        return Err(Rejection::BodyTooLarge { bytes_max }.into());
    }
    if expects_continue(session) {
        session.write_continue_response().await?;
    }
    let mut body = BytesMut::new();
    loop {
        let chunk = match session.read_request_body().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return Ok(body.freeze()),
            Err(error) if *error.etype() == ErrorType::ReadTimedout => {
                return Err(Rejection::BodyTimeout { timeout: limits.body_wait }.into());
            }
            // Pingora's own types, for malformed chunks.
            Err(error) if matches!(error.etype(), ErrorType::Custom(_)) => {
                return Err(Rejection::InvalidFraming("a malformed chunk").into());
            }
            Err(error) => return Err(error.into()),
        };
        if bytes_max < body.len() + chunk.len() {
            return Err(Rejection::BodyTooLarge { bytes_max }.into());
        }
        reservation.grow(chunk.len())?;
        // Most bodies arrive in one piece, which need not be copied.
        if body.is_empty() && declared == Some(chunk.len()) {
            return Ok(chunk);
        }
        if body.is_empty() {
            body.reserve(declared.unwrap_or_default().min(PREALLOCATED_BYTES_MAX));
        }
        body.extend_from_slice(&chunk);
    }
}

/// HTTP/1.0 has no interim responses; other expectations are ignored.
fn expects_continue(session: &ServerSession) -> bool {
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
