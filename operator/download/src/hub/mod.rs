//! The hub: what a repository consists of, and the bytes of its files.
//!
//! A branch or tag is resolved to a commit once, and every file is asked for at that commit. The
//! hub redirects large files to other hosts; the token goes to the hub alone.

mod answer;
mod listing;

pub(crate) use answer::{HubMessage, Miss, Trouble};
pub(crate) use listing::{FILES_MAX, InvalidListing, path};

use crate::{
    Failure,
    checksum::Checksum,
    filter::Filter,
    name::{Commit, FilePath, RepoId, Revision},
    retry::Retry,
    stop::Stop,
    weights::{Entry, Want, Weights},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderValue, LOCATION, RANGE},
    redirect,
};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret as _, SecretString};
use std::{collections::BTreeMap, str::FromStr, sync::Arc, time::Duration};
use url::Url;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the list of files may take, in all.
const LISTING_TIMEOUT: Duration = Duration::from_secs(120);
/// The list of files, in bytes.
const LISTING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How often one request may be sent elsewhere.
const REDIRECTS_MAX: usize = 5;
/// How many files may be described at a time, by a hub that does not describe them in its list.
const DESCRIBED_AT_A_TIME: usize = 8;

/// The token of the hub. Leaves this type only in a request to the hub.
#[derive(Debug)]
pub(crate) struct Token(SecretString);

/// Where the hub is.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint(Url);

/// Why a text is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the hub as `https://huggingface.co`: http or https, no password, no query")]
pub struct InvalidEndpoint;

/// Why a text is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is printable, without spaces")]
pub struct InvalidToken;

/// One repository on the hub.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) repo: RepoId,
    pub(crate) revision: Revision,
    endpoint: Endpoint,
    token: Option<Token>,
    idle: Duration,
    client: Client,
}

impl Hub {
    /// Prepares to ask; `idle` is how long nothing may come before it is tried again.
    pub(crate) fn new(
        repo: RepoId,
        revision: Revision,
        endpoint: Endpoint,
        token: Option<Token>,
        idle: Duration,
    ) -> Result<Self, Failure> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls(&endpoint)?)
            // One connection for each file, so that none slows down the others.
            .http1_only()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("llm-download/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Failure::Client)?;
        Ok(Self { repo, revision, endpoint, token, idle, client })
    }

    /// What the repository consists of at the revision, at this moment.
    pub(crate) async fn weights(
        &self,
        want: &Want,
        filter: &Filter,
        retry: Retry,
        stop: &Stop,
    ) -> Result<Weights, Failure> {
        let mut patience = retry.patience();
        let (commit, listed) = loop {
            match stop.or(self.listed(filter)).await? {
                Ok(listed) => break listed,
                Err(Miss::Never(failure)) => return Err(failure),
                Err(Miss::Again(trouble)) => {
                    patience.after(trouble, "the list of files", stop).await?;
                }
            }
        };
        let described = stream::iter(listed).map(async |(path, entry)| match entry {
            Some(entry) => Ok((path, entry)),
            None => self.described(&commit, path, retry, stop).await,
        });
        let files = described.buffer_unordered(DESCRIBED_AT_A_TIME).try_collect().await?;
        Ok(Weights { want: want.clone(), commit, files })
    }

    /// The bytes of a file from an offset on, or from 0 when the hub does not do that: the second
    /// value says which.
    pub(crate) async fn open(
        &self,
        commit: &Commit,
        path: &FilePath,
        from: u64,
    ) -> Result<(Response, u64), Miss> {
        let range = (from > 0).then_some(from);
        let response = self.send(Method::GET, self.file_url(commit, path), range).await?;
        match response.status() {
            StatusCode::OK => Ok((response, 0)),
            StatusCode::PARTIAL_CONTENT if answer::begins_at(response.headers(), from) => {
                Ok((response, from))
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(Trouble::OtherRange.into())
            }
            _ => Err(self.refused(response).await),
        }
    }

    /// The next bytes, unless they are too long in coming.
    pub(crate) async fn chunk(
        &self,
        response: &mut Response,
    ) -> Result<Option<bytes::Bytes>, Trouble> {
        match tokio::time::timeout(self.idle, response.chunk()).await {
            Ok(chunk) => chunk.map_err(Trouble::request),
            Err(_elapsed) => Err(Trouble::Stalled(self.idle)),
        }
    }

    async fn listed(
        &self,
        filter: &Filter,
    ) -> Result<(Commit, BTreeMap<FilePath, Option<Entry>>), Miss> {
        let mut url = self.url(["api", "models"], ["revision", self.revision.as_str()]);
        url.set_query(Some("blobs=true"));
        let document = async {
            let mut response = self.send(Method::GET, url, None).await?;
            if response.status() != StatusCode::OK {
                return Err(self.refused(response).await);
            }
            let mut body = Vec::new();
            while let Some(chunk) = self.chunk(&mut response).await? {
                if LISTING_BYTES_MAX - body.len() < chunk.len() {
                    let source = InvalidListing::TooLarge { bytes_max: LISTING_BYTES_MAX };
                    return Err(self.unusable(source).into());
                }
                body.extend_from_slice(&chunk);
            }
            Ok(body)
        };
        let body = tokio::time::timeout(LISTING_TIMEOUT, document)
            .await
            .map_err(|_elapsed| Trouble::Slow(LISTING_TIMEOUT))??;
        listing::parse(&body, self.revision.as_str(), filter)
            .map_err(|source| self.unusable(source).into())
    }

    /// Asks for one file's size and checksum, as a hub does that does not list them.
    async fn described(
        &self,
        commit: &Commit,
        path: FilePath,
        retry: Retry,
        stop: &Stop,
    ) -> Result<(FilePath, Entry), Failure> {
        let mut patience = retry.patience();
        loop {
            match stop.or(self.send(Method::HEAD, self.file_url(commit, &path), None)).await? {
                Ok(response) if response.status().is_success() || is_linked(response.headers()) => {
                    return match description(response.headers()) {
                        Some(entry) => Ok((path, entry)),
                        None => Err(self.unusable(InvalidListing::NoChecksum(path.into()))),
                    };
                }
                Ok(response) => match self.refused(response).await {
                    Miss::Never(failure) => return Err(failure),
                    Miss::Again(trouble) => patience.after(trouble, path.as_str(), stop).await?,
                },
                Err(trouble) => patience.after(trouble, path.as_str(), stop).await?,
            }
        }
    }

    /// Sends a request, and again where it is sent. Only the hub itself sees the token.
    async fn send(&self, method: Method, url: Url, from: Option<u64>) -> Result<Response, Trouble> {
        let mut url = url;
        for _ in 0..=REDIRECTS_MAX {
            let mut request = self.client.request(method.clone(), url.clone());
            request = request.header(ACCEPT_ENCODING, "identity");
            if let (Some(token), true) = (&self.token, self.is_hub(&url)) {
                request = request.bearer_auth(token.0.expose_secret());
            }
            if let Some(from) = from {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let response = tokio::time::timeout(self.idle, request.send())
                .await
                .map_err(|_elapsed| Trouble::Stalled(self.idle))?
                .map_err(Trouble::request)?;
            let described = method == Method::HEAD && is_linked(response.headers());
            let Some(next) = location(&response).filter(|_| !described) else {
                return Ok(response);
            };
            url = url.join(next).map_err(Trouble::Location)?;
            // What was asked for in private is not answered in clear.
            if url.scheme() != "https" && url.scheme() != self.endpoint.0.scheme() {
                return Err(Trouble::Insecure);
            }
        }
        Err(Trouble::Redirects(REDIRECTS_MAX))
    }

    fn is_hub(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.0.origin()
    }

    fn file_url(&self, commit: &Commit, path: &FilePath) -> Url {
        self.url([], ["resolve", commit.as_str()].into_iter().chain(path.parts()))
    }

    fn url<'a>(
        &'a self,
        before: impl IntoIterator<Item = &'a str>,
        after: impl IntoIterator<Item = &'a str>,
    ) -> Url {
        let mut url = self.endpoint.0.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(before).extend(self.repo.names()).extend(after);
        }
        url
    }

    /// What an answer comes to that is none.
    async fn refused(&self, response: Response) -> Miss {
        let (status, from_hub) = (response.status(), self.is_hub(response.url()));
        if let Some(trouble) = Trouble::passing(status, from_hub, response.headers()) {
            return trouble.into();
        }
        let repository = self.repo.to_string();
        let message =
            tokio::time::timeout(self.idle, HubMessage::of(response, self.token.as_ref()));
        let message = message.await.unwrap_or_default();
        Miss::Never(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let page = self.url([], []).to_string();
                Failure::Denied { repository, status, message, page }
            }
            StatusCode::NOT_FOUND => {
                let revision = self.revision.as_str().to_owned();
                Failure::NotFound { repository, revision, message }
            }
            _ => Failure::Refused { repository, status, message },
        })
    }

    fn unusable(&self, source: InvalidListing) -> Failure {
        Failure::Listing { repository: self.repo.to_string(), source }
    }
}

fn location(response: &Response) -> Option<&str> {
    let header = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
    header.and_then(|location| location.to_str().ok())
}

/// Whether an answer describes the file it redirects to.
fn is_linked(headers: &HeaderMap) -> bool {
    headers.contains_key("x-linked-etag")
}

fn description(headers: &HeaderMap) -> Option<Entry> {
    let text = |header: Option<&HeaderValue>| header?.to_str().ok().map(str::to_owned);
    let first = |linked, own| text(headers.get(linked).or_else(|| headers.get(own)));
    let size = first("x-linked-size", CONTENT_LENGTH)?.parse().ok()?;
    let checksum = Checksum::from_etag(&first("x-linked-etag", ETAG)?)?;
    Some(Entry { size, checksum })
}

/// TLS on ring, trusting the platform's roots or those in `SSL_CERT_FILE`. A hub that is asked
/// in clear needs none, unless it redirects to one that does.
fn tls(endpoint: &Endpoint) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() && endpoint.0.scheme() == "https" {
        return Err(Failure::NoRoots { endpoint: endpoint.0.to_string() });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Failure::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

impl Token {
    /// Takes it out of sight. Secrets are often written with a line's end.
    ///
    /// # Errors
    /// [`InvalidToken`], when no header could hold it.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidToken> {
        let text = text.trim();
        let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(SecretString::from(text))) } else { Err(InvalidToken) }
    }

    /// What somebody says who was shown the token, without it.
    fn hidden_in(&self, text: &str) -> String {
        text.replace(self.0.expose_secret(), "[the token]")
    }
}

impl Endpoint {
    /// The public hub.
    pub(crate) const PUBLIC: &str = "https://huggingface.co";
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let url = Url::parse(text).map_err(|_form| InvalidEndpoint)?;
        // A password would stand in what is said of a failure.
        let fits = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if fits { Ok(Self(url)) } else { Err(InvalidEndpoint) }
    }
}
