//! The server that `serve --upstream` names: its address, and what it says it serves.

use crate::{
    command::Failure,
    config::{Config, Mistake},
    http,
};
use serde::Deserialize;
use std::{collections::HashSet, fmt, str::FromStr, time::Duration};
use url::Url;

/// How long the server may take to list its models.
const WAIT: Duration = Duration::from_secs(10);
/// The longest list, in bytes.
const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Scheme, host and port of a server; a `/v1` behind it does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream(Url);

/// Why a text is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the server's address as `http://host:port`")]
pub struct InvalidUpstream;

/// Why it is not known what a server serves.
#[derive(Debug, thiserror::Error)]
pub enum NoListing {
    /// No answer.
    #[error("does not answer; start the server first, or correct the address")]
    Unreachable(#[source] reqwest::Error),
    /// It wants to be shown a key.
    #[error("wants a key ({0}); name it as `apiKey` of a model in a gateway.yaml")]
    WantsKey(reqwest::StatusCode),
    /// Another answer than a list.
    #[error("answers {0}; is it the right address?")]
    Status(reqwest::StatusCode),
    /// See [`LIST_BYTES_MAX`].
    #[error("answers with more than {LIST_BYTES_MAX} bytes; is it the right address?")]
    TooLarge,
    /// Not the list that OpenAI's API has.
    #[error("answers with something else than a list of models; is it the right address?")]
    Form(#[source] serde_json::Error),
    /// Nothing to serve.
    #[error("lists no model; load one, and start again")]
    Empty,
    /// Ids that no request could name.
    #[error("lists what cannot be served: {}", join(.0))]
    Models(Vec<Mistake>),
}

#[derive(Deserialize)]
struct Listing {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
}

impl Upstream {
    /// A configuration for what the server says it serves.
    ///
    /// # Errors
    /// [`Failure::Upstream`].
    pub async fn config(&self) -> Result<Config, Failure> {
        let failed = |why| Failure::Upstream { url: self.to_string(), why };
        let mut models = self.models().await.map_err(failed)?;
        let mut seen = HashSet::new();
        models.retain(|id| seen.insert(id.clone()));
        let config = Config::of_upstream(&self.to_string(), models);
        config.map_err(NoListing::Models).map_err(failed)
    }

    async fn models(&self) -> Result<Vec<String>, NoListing> {
        tracing::info!("asking {self} what it serves");
        // The address is said already.
        let unreachable = |error: reqwest::Error| NoListing::Unreachable(error.without_url());
        let asking = http::client(self.0.scheme()).map_err(unreachable)?;
        let asking = asking.get(format!("{self}/v1/models")).timeout(WAIT).send();
        let mut answer = asking.await.map_err(unreachable)?;
        match answer.status() {
            reqwest::StatusCode::OK => {}
            status if matches!(status.as_u16(), 401 | 403) => {
                return Err(NoListing::WantsKey(status));
            }
            status => return Err(NoListing::Status(status)),
        }
        let mut text = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(unreachable)? {
            text.extend_from_slice(&part);
            if LIST_BYTES_MAX < text.len() {
                return Err(NoListing::TooLarge);
            }
        }
        let Listing { data } = serde_json::from_slice(&text).map_err(NoListing::Form)?;
        if data.is_empty() {
            return Err(NoListing::Empty);
        }
        Ok(data.into_iter().map(|listed| listed.id).collect())
    }
}

impl FromStr for Upstream {
    type Err = InvalidUpstream;

    fn from_str(text: &str) -> Result<Self, InvalidUpstream> {
        let mut url = Url::parse(text).map_err(|_url| InvalidUpstream)?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain || !matches!(url.path().trim_end_matches('/'), "" | "/v1") {
            return Err(InvalidUpstream);
        }
        url.set_path("");
        Ok(Self(url))
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

fn join(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_or_without_what_an_sdk_would_want_behind_it() {
        for text in ["http://h:8000", "http://h:8000/", "http://h:8000/v1", "http://h:8000/v1/"] {
            assert_eq!(text.parse::<Upstream>().unwrap().to_string(), "http://h:8000", "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "h",
            "h:8000",
            "127.0.0.1:8000",
            "ftp://h",
            "http://h/v2",
            "http://h?x",
            "http://h#x",
            "http://me:secret@h",
        ] {
            assert_eq!(text.parse::<Upstream>(), Err(InvalidUpstream), "{text}");
        }
    }
}
