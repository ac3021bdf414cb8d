//! The protocol between the load and the mock upstream.
//!
//! What the mock does is in the `user` field of the request body, which every OpenAI client may
//! send and no proxy may change.

use memchr::memmem;

use crate::wire::number_after;

/// The model that every request names.
pub(crate) const MODEL: &str = "bench/model";
pub(crate) const PATH: &str = "/v1/chat/completions";
/// Precedes the timestamp of an event.
pub(crate) const STAMP_LABEL: &[u8] = br#""content":""#;

/// What the mock upstream answers a request with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// One completion of 1 KB.
    Chat,
    /// A stream of `events`, with a pause before each but the first.
    Stream { events: u64, pause_us: u64 },
    /// One event, then silence until the caller closes.
    Hold,
}

impl Prompt {
    pub(crate) fn parse(body: &[u8]) -> Self {
        if memmem::find(body, br#""stream":true"#).is_none() {
            return Self::Chat;
        }
        match (number_after(body, b"events="), number_after(body, b"pause_us=")) {
            (Some(events), Some(pause_us)) => Self::Stream { events, pause_us },
            (_, _) => Self::Hold,
        }
    }

    /// A request body of `body_bytes`, or as short as it can be.
    pub(crate) fn body(self, body_bytes: usize) -> String {
        let wish = match self {
            Self::Chat => String::from(r#""stream":false,"user":"bench""#),
            Self::Stream { events, pause_us } => {
                format!(r#""stream":true,"user":"events={events} pause_us={pause_us}""#)
            }
            Self::Hold => String::from(r#""stream":true,"user":"hold""#),
        };
        let open = format!(r#"{{"model":"{MODEL}","messages":[{{"role":"user","content":""#);
        let close = format!(r#""}}],{wish}}}"#);
        let padding = body_bytes.saturating_sub(open.len()).saturating_sub(close.len());
        format!("{open}{}{close}", "a word ".repeat(padding / 7 + 1).get(..padding).unwrap_or(""))
    }
}

#[cfg(test)]
mod tests {
    use super::Prompt;

    #[test]
    fn a_body_has_the_length_asked_for_and_is_json() {
        for prompt in [Prompt::Chat, Prompt::Hold, Prompt::Stream { events: 3, pause_us: 9 }] {
            let body = prompt.body(1024);
            assert_eq!(body.len(), 1024);
            serde_json::from_str::<serde_json::Value>(&body).unwrap();
        }
    }

    #[test]
    fn the_mock_reads_what_the_load_wrote() {
        for prompt in [Prompt::Chat, Prompt::Hold, Prompt::Stream { events: 20, pause_us: 5000 }] {
            assert_eq!(Prompt::parse(prompt.body(300).as_bytes()), prompt);
        }
    }
}
