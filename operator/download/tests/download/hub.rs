//! A hub with one repository, `acme/tiny`, that misbehaves on demand.

use crate::program::eventually;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{
        HeaderMap, Method, StatusCode,
        header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, RANGE},
    },
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, stream};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// The largest chunk of a body.
const CHUNK_BYTES: usize = 4096;

/// A hub that serves until the test ends.
pub(crate) struct Hub {
    pub(crate) url: String,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

/// One commit of the repository.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) commit: String,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

/// How a request fails.
#[derive(Clone)]
pub(crate) enum Fault {
    /// Another response.
    Answer(StatusCode, Vec<(&'static str, String)>, Bytes),
    /// The connection ends after this many bytes.
    Cut(usize),
    /// The body stalls after this many bytes.
    Stall(usize),
    /// The body stalls after this many bytes until the gate is opened.
    Hold(usize, Gate),
    /// A range request is answered with the whole file.
    WholeFile,
    /// A range request is answered with another range.
    OtherRange,
    /// Wrong bytes of the right length.
    Wrong,
    /// One byte too many.
    TooLong,
}

/// Opened by the test.
#[derive(Clone)]
pub(crate) struct Gate(watch::Sender<bool>);

/// A request as the hub saw it.
#[derive(Clone, Debug)]
pub(crate) struct RecordedRequest {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) range: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) at: tokio::time::Instant,
}

#[derive(Default)]
struct Shared {
    revisions: Mutex<HashMap<String, Model>>,
    /// By file name; the list of files is `""`.
    faults: Mutex<HashMap<String, VecDeque<Fault>>>,
    always: Mutex<HashMap<String, Fault>>,
    requests: Mutex<Vec<RecordedRequest>>,
    sent: AtomicU64,
    /// Whether the list has only names.
    names_only: Mutex<bool>,
    /// The time before each chunk.
    pace: Mutex<Duration>,
    /// Replaces the list.
    listing: Mutex<Option<Value>>,
}

impl Model {
    /// Some files: small ones in git, `.bin` ones in large file storage.
    pub(crate) fn new(commit: char, files: &[(&str, usize)]) -> Self {
        let seed = u64::from(u32::from(commit));
        let content = |(at, (name, size)): (u64, &(&str, usize))| {
            let bytes = (0..*size as u64).map(|i| {
                let mixed = (i / 7 + at * 31 + seed * 101).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                (mixed >> 56) as u8
            });
            ((*name).to_owned(), bytes.collect())
        };
        let files = (0..).zip(files).map(content).collect();
        Self { commit: commit.to_string().repeat(40), files }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.files.values().map(|bytes| bytes.len() as u64).sum()
    }

    fn checksum(name: &str, bytes: &[u8]) -> (bool, String) {
        if name.ends_with(".bin") {
            return (true, hex(digest(&SHA256, bytes).as_ref()));
        }
        let blob = [format!("blob {}\0", bytes.len()).as_bytes(), bytes].concat();
        (false, hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, &blob).as_ref()))
    }

    fn listing(&self, names_only: bool) -> Value {
        let sibling = |(name, bytes): (&String, &Vec<u8>)| {
            let (large, checksum) = Self::checksum(name, bytes);
            match (names_only, large) {
                (true, _) => json!({ "rfilename": name }),
                (false, false) => {
                    json!({ "rfilename": name, "size": bytes.len(), "blobId": checksum })
                }
                (false, true) => json!({
                    "rfilename": name, "size": bytes.len(), "blobId": "0".repeat(40),
                    "lfs": { "sha256": checksum, "size": bytes.len(), "pointerSize": 134 },
                }),
            }
        };
        json!({
            "id": "acme/tiny", "sha": self.commit, "gated": false,
            "siblings": self.files.iter().map(sibling).collect::<Vec<_>>(),
        })
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Hub {
    /// Serves `model` as `main` and as its commit.
    pub(crate) async fn start(model: &Model) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let hub = Self { url, shared, _server: server };
        hub.publish("main", model);
        hub
    }

    pub(crate) fn publish(&self, revision: &str, model: &Model) {
        let mut revisions = self.shared.revisions.lock().unwrap();
        revisions.insert(revision.to_owned(), model.clone());
        revisions.insert(model.commit.clone(), model.clone());
    }

    /// The next requests for a file fail so, one after the other.
    pub(crate) fn queue_faults(&self, file: &str, faults: impl IntoIterator<Item = Fault>) {
        let mut queues = self.shared.faults.lock().unwrap();
        queues.entry(file.to_owned()).or_default().extend(faults);
    }

    /// Every request for a file fails so.
    pub(crate) fn set_fault(&self, file: &str, fault: Fault) {
        self.shared.always.lock().unwrap().insert(file.to_owned(), fault);
    }

    /// Lists files without sizes and checksums.
    pub(crate) fn list_names_only(&self) {
        *self.shared.names_only.lock().unwrap() = true;
    }

    /// Waits before each chunk.
    pub(crate) fn pace(&self, pace: Duration) {
        *self.shared.pace.lock().unwrap() = pace;
    }

    /// Replaces the list of files.
    pub(crate) fn list(&self, listing: Value) {
        *self.shared.listing.lock().unwrap() = Some(listing);
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The requests for a file.
    pub(crate) fn requests_for(&self, file: &str) -> Vec<RecordedRequest> {
        let end = format!("/{file}");
        self.requests().into_iter().filter(|request| request.path.ends_with(&end)).collect()
    }

    /// How many bytes of files were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }

    pub(crate) async fn until_sent(&self, bytes: u64) {
        eventually(|| self.sent() >= bytes).await;
    }
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }
}

impl Fault {
    pub(crate) fn status(status: u16) -> Self {
        Self::answer(status, &[], "")
    }

    pub(crate) fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self::Answer(StatusCode::from_u16(status).unwrap(), headers, body.to_owned().into())
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    shared.requests.lock().unwrap().push(RecordedRequest {
        method: request.method().clone(),
        path: path.clone(),
        range: text(RANGE),
        token: text(AUTHORIZATION),
        at: tokio::time::Instant::now(),
    });
    let find = |revision: &str| shared.revisions.lock().unwrap().get(revision).cloned();
    if let Some(revision) = path.strip_prefix("/api/models/acme/tiny/revision/") {
        let fault = shared.fault("");
        if let Some(Fault::Answer(status, headers, body)) = fault {
            return plain(status, headers, body);
        }
        let revision = revision.replace("%2F", "/");
        let Some(model) = find(&revision) else {
            return plain(
                StatusCode::NOT_FOUND,
                vec![("x-error-code", "RevisionNotFound".to_owned())],
                r#"{"error":"Invalid rev id"}"#.into(),
            );
        };
        let names_only = *shared.names_only.lock().unwrap();
        let listing = shared.listing.lock().unwrap().clone();
        return axum::Json(listing.unwrap_or_else(|| model.listing(names_only))).into_response();
    }
    let file = path.strip_prefix("/acme/tiny/resolve/").and_then(|path| path.split_once('/'));
    let Some((commit, name)) = file else { return StatusCode::NOT_FOUND.into_response() };
    let Some(bytes) = find(commit).and_then(|model| model.files.get(name).cloned()) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let fault = shared.fault(name);
    send(shared, name, &Bytes::from(bytes), request.headers(), fault)
}

impl Shared {
    fn fault(&self, file: &str) -> Option<Fault> {
        let next = self.faults.lock().unwrap().get_mut(file).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.lock().unwrap().get(file).cloned())
    }
}

fn plain(status: StatusCode, headers: Vec<(&'static str, String)>, body: Bytes) -> Response {
    let mut response = (status, body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn send(
    shared: Arc<Shared>,
    name: &str,
    bytes: &Bytes,
    request_headers: &HeaderMap,
    fault: Option<Fault>,
) -> Response {
    let (size, etag) = (bytes.len(), format!("\"{}\"", Model::checksum(name, bytes).1));
    let range = request_headers.get(RANGE).map(|range| range.to_str().unwrap().to_owned());
    let from = range
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let mut response = Response::builder().header(ETAG, etag);
    let mut bytes = bytes.clone();
    match (from, &fault) {
        (_, Some(Fault::Answer(status, headers, body))) => {
            return plain(*status, headers.clone(), body.clone());
        }
        (Some(from), _) if from >= size => {
            return response.status(StatusCode::RANGE_NOT_SATISFIABLE).body(Body::empty()).unwrap();
        }
        (None, _) | (_, Some(Fault::WholeFile)) => {}
        (Some(from), other) => {
            bytes = bytes.slice(from..);
            let first = if matches!(other, Some(Fault::OtherRange)) { from / 2 } else { from };
            response = response
                .status(StatusCode::PARTIAL_CONTENT)
                .header(CONTENT_RANGE, format!("bytes {first}-{}/{size}", size - 1));
        }
    }
    match fault {
        Some(Fault::Wrong) => {
            bytes = bytes.iter().map(|byte| byte ^ 0x55).collect();
        }
        Some(Fault::TooLong) => bytes = [&bytes[..], b"!"].concat().into(),
        _ => {}
    }
    let response = response.header(CONTENT_LENGTH, bytes.len());
    let end = match fault {
        Some(Fault::Cut(after)) => Some((after, End::Cut)),
        Some(Fault::Stall(after)) => Some((after, End::Wait(Gate::new()))),
        Some(Fault::Hold(after, gate)) => Some((after, End::Wait(gate))),
        _ => None,
    };
    response.body(Body::from_stream(body(shared, bytes, end))).unwrap()
}

enum End {
    Cut,
    Wait(Gate),
}

fn body(
    shared: Arc<Shared>,
    bytes: Bytes,
    end: Option<(usize, End)>,
) -> impl futures::Stream<Item = io::Result<Bytes>> + Send + 'static {
    let at = end.as_ref().map_or(bytes.len(), |(after, _)| (*after).min(bytes.len()));
    let mut before = bytes;
    let mut after = before.split_off(at);
    let chunks = move |bytes: &mut Bytes| -> Vec<Bytes> {
        let mut chunks = Vec::new();
        while !bytes.is_empty() {
            chunks.push(bytes.split_to(CHUNK_BYTES.min(bytes.len())));
        }
        chunks
    };
    let (first, rest) = (chunks(&mut before), chunks(&mut after));
    let pace = *shared.pace.lock().unwrap();
    let count = move |chunk: Bytes| {
        let shared = Arc::clone(&shared);
        async move {
            if !pace.is_zero() {
                tokio::time::sleep(pace).await;
            }
            shared.sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
            Ok(chunk)
        }
    };
    let turn = stream::once(async move {
        match end {
            None => Ok(Bytes::new()),
            Some((_, End::Cut)) => {
                // Bytes before the cut are sent now.
                tokio::task::yield_now().await;
                Err(io::Error::other("cut by the test"))
            }
            Some((_, End::Wait(gate))) => {
                gate.0.subscribe().wait_for(|open| *open).await.unwrap();
                Ok(Bytes::new())
            }
        }
    });
    let later = count.clone();
    stream::iter(first).then(count).chain(turn).chain(stream::iter(rest).then(later))
}
