//! The model server in `serve --upstream`, and the models it lists.

use crate::{
    config::{Config, ConfigError},
    error::CliError,
    http_client,
};
use serde::Deserialize;
use std::{collections::HashSet, fmt, str::FromStr, time::Duration};
use url::Url;

const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest response, in bytes.
const LIST_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Scheme, host and port of a server; a trailing `/v1` is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelServer(Url);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the server's address as `http://host:port`")]
pub struct InvalidServerUrl;

/// Continues a sentence that begins with the URL.
#[derive(Debug, thiserror::Error)]
pub enum ListModelsError {
    #[error("does not answer; start the server first, or correct the address")]
    Unreachable(#[source] reqwest::Error),
    #[error("requires a key ({0}); set it as `apiKey` of a model in a gateway.yaml")]
    RequiresKey(reqwest::StatusCode),
    #[error("responds with {0}; is it the right address?")]
    Status(reqwest::StatusCode),
    #[error("responds with more than {LIST_BYTES_MAX} bytes; is it the right address?")]
    TooLarge,
    #[error("does not respond with a list of models; is it the right address?")]
    NotAList(#[source] serde_json::Error),
    #[error("lists no models; load one, and start again")]
    Empty,
    #[error("lists models that cannot be served: {}", join(.0))]
    InvalidModels(Vec<ConfigError>),
}

#[derive(Deserialize)]
struct ModelList {
    data: Vec<ListedModel>,
}

#[derive(Deserialize)]
struct ListedModel {
    id: String,
}

impl ModelServer {
    /// A configuration that serves every model of the server.
    pub async fn config(&self) -> Result<Config, CliError> {
        let failed = |error| CliError::ListModels { url: self.to_string(), error };
        let mut models = self.models().await.map_err(failed)?;
        let mut seen = HashSet::new();
        models.retain(|id| seen.insert(id.clone()));
        let config = Config::of_model_server(&self.to_string(), models);
        config.map_err(ListModelsError::InvalidModels).map_err(failed)
    }

    async fn models(&self) -> Result<Vec<String>, ListModelsError> {
        tracing::info!("listing the models of {self}");
        // The message names the URL already.
        let unreachable = |error: reqwest::Error| ListModelsError::Unreachable(error.without_url());
        let client = http_client::client(self.0.scheme()).map_err(unreachable)?;
        let request = client.get(format!("{self}/v1/models")).timeout(TIMEOUT);
        let mut response = request.send().await.map_err(unreachable)?;
        match response.status() {
            reqwest::StatusCode::OK => {}
            status if matches!(status.as_u16(), 401 | 403) => {
                return Err(ListModelsError::RequiresKey(status));
            }
            status => return Err(ListModelsError::Status(status)),
        }
        let mut text = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            text.extend_from_slice(&chunk);
            if LIST_BYTES_MAX < text.len() {
                return Err(ListModelsError::TooLarge);
            }
        }
        let ModelList { data } =
            serde_json::from_slice(&text).map_err(ListModelsError::NotAList)?;
        if data.is_empty() {
            return Err(ListModelsError::Empty);
        }
        Ok(data.into_iter().map(|model| model.id).collect())
    }
}

impl FromStr for ModelServer {
    type Err = InvalidServerUrl;

    fn from_str(text: &str) -> Result<Self, InvalidServerUrl> {
        let mut url = Url::parse(text).map_err(|_url| InvalidServerUrl)?;
        let is_plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !is_plain || !matches!(url.path().trim_end_matches('/'), "" | "/v1") {
            return Err(InvalidServerUrl);
        }
        url.set_path("");
        Ok(Self(url))
    }
}

impl fmt::Display for ModelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

fn join(errors: &[ConfigError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_have_the_suffix_that_sdks_want() {
        for text in ["http://h:8000", "http://h:8000/", "http://h:8000/v1", "http://h:8000/v1/"] {
            assert_eq!(text.parse::<ModelServer>().unwrap().to_string(), "http://h:8000", "{text}");
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
            assert_eq!(text.parse::<ModelServer>(), Err(InvalidServerUrl), "{text}");
        }
    }
}
