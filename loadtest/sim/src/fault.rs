//! The ways a server can fail on purpose, and their names in text.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// One way to fail. The text forms, as in `x-sim-fault` and `POST /sim/fault`, are in brackets.
///
/// Counts of events are server-sent events of a stream, the first one being the role chunk of a
/// chat. A reply that is no stream breaks in the middle of its body instead.
/// Faults of bytes and connections hit every request that shares an HTTP/2 connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Reset each new connection (`reset-on-accept`). Only for a whole server.
    ResetOnAccept,
    /// Close the connection when a second request comes on it (`close-on-reuse`).
    CloseOnReuse,
    /// Read the request, then reset the connection (`reset-before-headers`).
    ResetBeforeHeaders,
    /// Read the request and never answer (`stall-before-headers`).
    StallBeforeHeaders,
    /// Send the reply's head byte by byte, so many milliseconds apart (`slow-headers=MS`).
    SlowHeaders(u64),
    /// Reset after so many bytes of the reply, head included (`reset-after-bytes=N`).
    ResetAfterBytes(usize),
    /// Reset after so many events (`reset-after-events=N`).
    ResetAfterEvents(usize),
    /// Close without the terminating chunk after so many events (`close-after-events=N`).
    CloseAfterEvents(usize),
    /// Send nothing more after so many events (`stall-after-events=N`).
    StallAfterEvents(usize),
    /// An error event and `[DONE]` after so many events (`error-after-events=N`).
    ErrorAfterEvents(usize),
    /// End well-formed after so many events, without the rest (`end-after-events=N`).
    EndAfterEvents(usize),
    /// Leave out the end of the stream: final usage and `[DONE]`, or the closing events (`no-done`).
    NoDone,
    /// Status 200 and the refusal of a full queue as the only event; 503 for what is
    /// no stream (`error-first-event`).
    ErrorFirstEvent,
    /// A content-length beyond what is sent, then the connection closes (`long-content-length`).
    LongContentLength,
    /// A content-length below what is sent; the connection stays open (`short-content-length`).
    ShortContentLength,
    /// This status with the body that belongs to it (`status=CODE`).
    Status(u16),
    /// vLLM's answer to new requests while it drains: 500 (`shutting-down`).
    ShuttingDown,
    /// Bytes that are not HTTP, then the connection closes (`garbage`).
    Garbage,
    /// A good reply with one header of so many bytes (`huge-header=N`).
    HugeHeader(usize),
}

/// A fault that a server applies until it is used up or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// What happens.
    pub fault: Fault,
    /// How many requests it hits; `None` for all.
    pub times: Option<u32>,
    /// The paths it hits begin with this; `None` hits every POST, so that probes stay well.
    pub path_prefix: Option<String>,
}

/// Why a fault's text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFault {
    /// No fault has this name.
    #[error("unknown fault {name:?}")]
    Unknown {
        /// What stood before the equals sign.
        name: Box<str>,
    },
    /// The fault takes a number behind `=`, and this is none, or it takes none.
    #[error("fault {name:?} does not take {value:?}")]
    Value {
        /// What stood before the equals sign.
        name: Box<str>,
        /// What stood behind it.
        value: Box<str>,
    },
}

impl From<Fault> for Injection {
    fn from(fault: Fault) -> Self {
        Self { fault, times: None, path_prefix: None }
    }
}

impl Injection {
    /// Hits the next `times` requests, then no more.
    pub fn times(fault: Fault, times: u32) -> Self {
        Self { times: Some(times), ..Self::from(fault) }
    }

    /// Takes the fault for this request, if it is one of those that are hit.
    pub(crate) fn take(&mut self, path: &str, post: bool) -> Option<Fault> {
        let hit = self.path_prefix.as_ref().map_or(post, |prefix| path.starts_with(prefix));
        if !hit || self.times == Some(0) {
            return None;
        }
        self.times = self.times.map(|times| times - 1);
        Some(self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ResetOnAccept => f.write_str("reset-on-accept"),
            Self::CloseOnReuse => f.write_str("close-on-reuse"),
            Self::ResetBeforeHeaders => f.write_str("reset-before-headers"),
            Self::StallBeforeHeaders => f.write_str("stall-before-headers"),
            Self::SlowHeaders(ms) => write!(f, "slow-headers={ms}"),
            Self::ResetAfterBytes(bytes) => write!(f, "reset-after-bytes={bytes}"),
            Self::ResetAfterEvents(events) => write!(f, "reset-after-events={events}"),
            Self::CloseAfterEvents(events) => write!(f, "close-after-events={events}"),
            Self::StallAfterEvents(events) => write!(f, "stall-after-events={events}"),
            Self::ErrorAfterEvents(events) => write!(f, "error-after-events={events}"),
            Self::EndAfterEvents(events) => write!(f, "end-after-events={events}"),
            Self::NoDone => f.write_str("no-done"),
            Self::ErrorFirstEvent => f.write_str("error-first-event"),
            Self::LongContentLength => f.write_str("long-content-length"),
            Self::ShortContentLength => f.write_str("short-content-length"),
            Self::Status(code) => write!(f, "status={code}"),
            Self::ShuttingDown => f.write_str("shutting-down"),
            Self::Garbage => f.write_str("garbage"),
            Self::HugeHeader(bytes) => write!(f, "huge-header={bytes}"),
        }
    }
}

impl FromStr for Fault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let wrong = || InvalidFault::Value { name: name.into(), value: value.into() };
        let count = || value.parse().map_err(|_not_a_number| wrong());
        let fault = match name {
            "reset-on-accept" => Self::ResetOnAccept,
            "close-on-reuse" => Self::CloseOnReuse,
            "reset-before-headers" => Self::ResetBeforeHeaders,
            "stall-before-headers" => Self::StallBeforeHeaders,
            "no-done" => Self::NoDone,
            "error-first-event" => Self::ErrorFirstEvent,
            "long-content-length" => Self::LongContentLength,
            "short-content-length" => Self::ShortContentLength,
            "shutting-down" => Self::ShuttingDown,
            "garbage" => Self::Garbage,
            "reset-after-bytes" => return Ok(Self::ResetAfterBytes(count()?)),
            "reset-after-events" => return Ok(Self::ResetAfterEvents(count()?)),
            "close-after-events" => return Ok(Self::CloseAfterEvents(count()?)),
            "stall-after-events" => return Ok(Self::StallAfterEvents(count()?)),
            "error-after-events" => return Ok(Self::ErrorAfterEvents(count()?)),
            "end-after-events" => return Ok(Self::EndAfterEvents(count()?)),
            "huge-header" => return Ok(Self::HugeHeader(count()?)),
            "slow-headers" => {
                return value.parse().map(Self::SlowHeaders).map_err(|_not_a_number| wrong());
            }
            "status" => {
                let code: Option<u16> = value.parse().ok();
                let code = code.filter(|code| (400..600).contains(code)).ok_or_else(wrong)?;
                return Ok(Self::Status(code));
            }
            _ => return Err(InvalidFault::Unknown { name: name.into() }),
        };
        if value.is_empty() { Ok(fault) } else { Err(wrong()) }
    }
}

/// The body of `POST /sim/fault`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InjectionText {
    /// A fault in its text form; `none` ends the one in force.
    fault: String,
    times: Option<u32>,
    path_prefix: Option<String>,
}

impl InjectionText {
    pub(crate) fn parse(self) -> Result<Option<Injection>, InvalidFault> {
        let Self { fault, times, path_prefix } = self;
        if fault == "none" {
            return Ok(None);
        }
        Ok(Some(Injection { fault: fault.parse()?, times, path_prefix }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_read_as_it_is_written() {
        for text in [
            "reset-on-accept",
            "close-on-reuse",
            "reset-before-headers",
            "stall-before-headers",
            "slow-headers=5",
            "reset-after-bytes=300",
            "reset-after-events=1",
            "close-after-events=1",
            "stall-after-events=2",
            "error-after-events=2",
            "end-after-events=2",
            "no-done",
            "error-first-event",
            "long-content-length",
            "short-content-length",
            "status=429",
            "shutting-down",
            "garbage",
            "huge-header=100000",
        ] {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn a_fault_that_makes_no_sense_is_refused() {
        for text in ["", "explode", "status=200", "status", "garbage=1", "reset-after-bytes=many"] {
            assert!(text.parse::<Fault>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_injection_ends_when_it_is_used_up() {
        let mut injection = Injection::times(Fault::Garbage, 1);
        assert_eq!(injection.take("/health", false), None);
        assert_eq!(injection.take("/v1/messages", true), Some(Fault::Garbage));
        assert_eq!(injection.take("/v1/messages", true), None);
    }
}
