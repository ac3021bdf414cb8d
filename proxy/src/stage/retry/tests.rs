use super::*;
use crate::response::dialect::Dialect;

const OUTCOMES: [AttemptOutcome; 11] = [
    AttemptOutcome::Reply(StatusCode::OK),
    AttemptOutcome::Reply(StatusCode::BAD_REQUEST),
    AttemptOutcome::Reply(StatusCode::UNAUTHORIZED),
    AttemptOutcome::Reply(StatusCode::TOO_MANY_REQUESTS),
    AttemptOutcome::Reply(StatusCode::INTERNAL_SERVER_ERROR),
    AttemptOutcome::Reply(StatusCode::SERVICE_UNAVAILABLE),
    AttemptOutcome::NotConnected,
    AttemptOutcome::ConnectTimeout,
    AttemptOutcome::ConnectionLost,
    AttemptOutcome::InvalidReply,
    AttemptOutcome::IdleTimeout,
];

fn row(outcome: AttemptOutcome) -> String {
    let retry = if outcome.is_retryable() { "next endpoint" } else { "no retry" };
    let response = match outcome.final_response() {
        FinalResponse::Reply => "relay".to_owned(),
        FinalResponse::EarlierReplyOr(rejection) => {
            format!("earlier 503 or {}", rejection.status(Dialect::OpenAi).as_str())
        }
        FinalResponse::Rejection(rejection) => {
            rejection.status(Dialect::OpenAi).as_str().to_owned()
        }
    };
    let sent = if outcome.is_sent() { "sent" } else { "not sent" };
    let health = if outcome.is_healthy() { "success" } else { "failure" };
    format!("{outcome:?} | {retry} | {response} | {sent} | {health}")
}

#[test]
fn every_outcome_of_an_attempt_has_its_row() {
    assert_eq!(
        OUTCOMES.map(row).join("\n"),
        "Reply(200) | no retry | relay | sent | success\n\
         Reply(400) | no retry | relay | sent | success\n\
         Reply(401) | no retry | 502 | sent | success\n\
         Reply(429) | no retry | relay | sent | success\n\
         Reply(500) | no retry | relay | sent | success\n\
         Reply(503) | next endpoint | relay | sent | success\n\
         NotConnected | next endpoint | earlier 503 or 502 | not sent | failure\n\
         ConnectTimeout | next endpoint | 504 | not sent | failure\n\
         ConnectionLost | next endpoint | earlier 503 or 502 | sent | failure\n\
         InvalidReply | next endpoint | earlier 503 or 502 | sent | failure\n\
         IdleTimeout | no retry | 504 | sent | failure"
    );
}

#[test]
fn only_a_connection_that_may_be_stale_is_replaced() {
    for (error, replaced) in [
        (UpstreamError::InvalidReply, true),
        (UpstreamError::IdleTimeout, false),
        (UpstreamError::ConnectTimeout, false),
    ] {
        assert_eq!(needs_fresh_connection(&error, true), replaced, "{error}");
        assert!(!needs_fresh_connection(&error, false), "{error}");
    }
}
