//! Requests to the hub.

use super::{
    access::{self, HubEndpoint, HubToken},
    error::{HubError, HubMessage},
    listing::{self, InvalidListing},
    retry::RetryPolicy,
};
use crate::{
    checksum::Checksum,
    filter::Filter,
    manifest::{FileEntry, Manifest, WeightsRequest},
    name::{Commit, FilePath, RepoId, Revision},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, LOCATION,
        RANGE,
    },
};
use std::{collections::BTreeMap, time::Duration};
use url::Url;

/// For the whole list of files.
const LISTING_TIMEOUT: Duration = Duration::from_secs(120);
const LISTING_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest error body that is read.
const MESSAGE_BYTES_MAX: usize = 4096;
const REDIRECTS_MAX: usize = 5;
/// Concurrent requests for sizes and checksums, with a hub that does not list them.
const METADATA_REQUESTS_MAX: usize = 8;

/// A client for one repository on the hub.
#[derive(Debug)]
pub(crate) struct Hub {
    repo: RepoId,
    revision: Revision,
    endpoint: HubEndpoint,
    token: Option<HubToken>,
    idle_timeout: Duration,
    client: Client,
}

impl Hub {
    pub(crate) fn new(
        repo: RepoId,
        revision: Revision,
        endpoint: HubEndpoint,
        token: Option<HubToken>,
        idle_timeout: Duration,
    ) -> Result<Self, HubError> {
        let client = access::client(&endpoint)?;
        Ok(Self { repo, revision, endpoint, token, idle_timeout, client })
    }

    /// The files of the repository at the revision, now.
    pub(crate) async fn manifest(
        &self,
        request: &WeightsRequest,
        filter: &Filter,
        retry: RetryPolicy,
    ) -> Result<Manifest, HubError> {
        let listing = retry.run("the list of files", || self.fetch_listing(filter));
        let (commit, listed) = listing.await?;
        let entries = stream::iter(listed).map(async |(path, entry)| {
            let entry = match entry {
                Some(entry) => entry,
                None => retry.run(path.as_str(), || self.fetch_metadata(&commit, &path)).await?,
            };
            Ok((path, entry))
        });
        let files = entries.buffer_unordered(METADATA_REQUESTS_MAX).try_collect().await?;
        Ok(Manifest { request: request.clone(), commit, files })
    }

    /// Opens a file at an offset, or at 0 if the hub ignores ranges: the second value says which.
    pub(crate) async fn open(
        &self,
        commit: &Commit,
        path: &FilePath,
        from: u64,
    ) -> Result<(Response, u64), HubError> {
        let range = (from > 0).then_some(from);
        let response = self.send(Method::GET, self.file_url(commit, path), range).await?;
        match response.status() {
            StatusCode::OK => Ok((response, 0)),
            StatusCode::PARTIAL_CONTENT if range_start(response.headers()) == Some(from) => {
                Ok((response, from))
            }
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                Err(HubError::WrongRange)
            }
            _ => Err(self.response_error(response).await),
        }
    }

    /// The next bytes of a body, within the idle timeout.
    pub(crate) async fn chunk(
        &self,
        response: &mut Response,
    ) -> Result<Option<bytes::Bytes>, HubError> {
        let chunk = tokio::time::timeout(self.idle_timeout, response.chunk()).await;
        chunk.map_err(|_elapsed| HubError::Stalled(self.idle_timeout))?.map_err(HubError::request)
    }

    /// A whole body, unless it is longer than `bytes_max`.
    async fn body(
        &self,
        response: &mut Response,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, HubError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk(response).await? {
            body.extend_from_slice(&chunk);
            if body.len() > bytes_max {
                return Ok(None);
            }
        }
        Ok(Some(body))
    }

    async fn fetch_listing(
        &self,
        filter: &Filter,
    ) -> Result<(Commit, BTreeMap<FilePath, Option<FileEntry>>), HubError> {
        let mut url = self.url(["api", "models"], ["revision", self.revision.as_str()]);
        url.set_query(Some("blobs=true"));
        let document = async {
            let mut response = self.send(Method::GET, url, None).await?;
            if response.status() != StatusCode::OK {
                return Err(self.response_error(response).await);
            }
            let too_large = InvalidListing::TooLarge { bytes_max: LISTING_BYTES_MAX };
            let body = self.body(&mut response, LISTING_BYTES_MAX).await?;
            body.ok_or_else(|| self.listing_error(too_large))
        };
        let body = tokio::time::timeout(LISTING_TIMEOUT, document).await;
        let body = body.map_err(|_elapsed| HubError::TooSlow(LISTING_TIMEOUT))??;
        listing::parse(&body, self.revision.as_str(), filter)
            .map_err(|source| self.listing_error(source))
    }

    /// Asks for the size and checksum of a file.
    async fn fetch_metadata(
        &self,
        commit: &Commit,
        path: &FilePath,
    ) -> Result<FileEntry, HubError> {
        let response = self.send(Method::HEAD, self.file_url(commit, path), None).await?;
        if !(response.status().is_success() || has_linked_etag(response.headers())) {
            return Err(self.response_error(response).await);
        }
        file_entry(response.headers())
            .ok_or_else(|| self.listing_error(InvalidListing::NoChecksum(path.to_string())))
    }

    /// Sends a request, and follows redirects. Only the hub itself sees the token.
    async fn send(
        &self,
        method: Method,
        mut url: Url,
        from: Option<u64>,
    ) -> Result<Response, HubError> {
        for _ in 0..=REDIRECTS_MAX {
            let mut request = self.client.request(method.clone(), url.clone());
            request = request.header(ACCEPT_ENCODING, "identity");
            if let (Some(token), true) = (&self.token, self.is_hub(&url)) {
                request = request.bearer_auth(token.expose());
            }
            if let Some(from) = from {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let response = tokio::time::timeout(self.idle_timeout, request.send())
                .await
                .map_err(|_elapsed| HubError::Stalled(self.idle_timeout))?
                .map_err(HubError::request)?;
            let has_metadata = method == Method::HEAD && has_linked_etag(response.headers());
            let Some(next) = location(&response).filter(|_| !has_metadata) else {
                return Ok(response);
            };
            url = url.join(next).map_err(HubError::Location)?;
            if url.scheme() != "https" && url.scheme() != self.endpoint.0.scheme() {
                return Err(HubError::InsecureRedirect);
            }
        }
        Err(HubError::TooManyRedirects(REDIRECTS_MAX))
    }

    fn is_hub(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.0.origin()
    }

    fn file_url(&self, commit: &Commit, path: &FilePath) -> Url {
        self.url([], ["resolve", commit.as_str()].into_iter().chain(path.components()))
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

    async fn response_error(&self, mut response: Response) -> HubError {
        let (status, is_hub) = (response.status(), self.is_hub(response.url()));
        if let Some(error) = HubError::transient(status, is_hub, response.headers()) {
            return error;
        }
        let repository = self.repo.to_string();
        let body = self.body(&mut response, MESSAGE_BYTES_MAX);
        let body = tokio::time::timeout(self.idle_timeout, body).await;
        let body = body.ok().and_then(Result::ok).flatten().unwrap_or_default();
        let message = HubMessage::new(response.headers(), &body, self.token.as_ref());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let page = self.url([], []).to_string();
                HubError::Denied { repository, status, message, page }
            }
            StatusCode::NOT_FOUND => {
                let revision = self.revision.as_str().to_owned();
                HubError::NotFound { repository, revision, message }
            }
            _ => HubError::Refused { repository, status, message },
        }
    }

    fn listing_error(&self, source: InvalidListing) -> HubError {
        HubError::Listing { repository: self.repo.to_string(), source }
    }
}

fn location(response: &Response) -> Option<&str> {
    let header = response.headers().get(LOCATION).filter(|_| response.status().is_redirection());
    header.and_then(|location| location.to_str().ok())
}

/// Where a partial response begins.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.parse().ok()
}

/// Whether a redirect describes the file it leads to.
fn has_linked_etag(headers: &HeaderMap) -> bool {
    headers.contains_key("x-linked-etag")
}

fn file_entry(headers: &HeaderMap) -> Option<FileEntry> {
    let text = |header: Option<&HeaderValue>| header?.to_str().ok().map(str::to_owned);
    let first = |linked, own| text(headers.get(linked).or_else(|| headers.get(own)));
    let size = first("x-linked-size", CONTENT_LENGTH)?.parse().ok()?;
    let checksum = Checksum::from_etag(&first("x-linked-etag", ETAG)?)?;
    Some(FileEntry { size, checksum })
}
