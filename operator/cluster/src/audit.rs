//! The audit log of the API server.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use crate::error::ClusterError;

/// A request that the API server has answered, or a watch that it has begun to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditedRequest {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The user, `system:serviceaccount:NAMESPACE:NAME` for a service account.
    pub user: String,
    /// The client's IP address.
    pub source: String,
    pub user_agent: String,
    /// Path and query.
    pub uri: String,
    /// The kind's plural, such as `deployments`; empty if the request is not about an object.
    pub resource: String,
    /// Such as `status`; empty if the request is about the whole object.
    pub subresource: String,
    /// The object's namespace; empty if it has none.
    pub namespace: String,
    /// The object's name; empty for a list.
    pub name: String,
    /// The HTTP status of the response.
    pub code: u16,
}

/// The requests of an audit log, each line of which is parsed once.
#[derive(Debug, Default)]
pub(crate) struct AuditLog {
    parsed_bytes: u64,
    pub(crate) requests: Vec<AuditedRequest>,
}

impl AuditLog {
    /// Parses what was written since the last call.
    pub(crate) fn update(&mut self, path: &Path) -> Result<(), ClusterError> {
        let read = || -> io::Result<String> {
            let (mut file, mut text) = (File::open(path)?, Vec::new());
            file.seek(SeekFrom::Start(self.parsed_bytes))?;
            file.read_to_end(&mut text)?;
            // The last line may still be being written.
            text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
            String::from_utf8(text).map_err(io::Error::other)
        };
        let text = read().map_err(|source| ClusterError::File { path: path.to_owned(), source })?;
        for line in text.lines() {
            let event =
                serde_json::from_str(line).map_err(|source| ClusterError::Audit { source })?;
            self.requests.extend(AuditedRequest::from_event(event));
        }
        self.parsed_bytes += text.len() as u64;
        Ok(())
    }
}

impl AuditedRequest {
    /// A watch is counted when it begins, everything else when it ends.
    fn from_event(event: Event) -> Option<Self> {
        let Event {
            stage,
            verb,
            user,
            source_ips,
            user_agent,
            request_uri,
            object_ref,
            response_status,
        } = event;
        let counted = if verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
        let object = object_ref.unwrap_or_default();
        (stage == counted).then(|| Self {
            verb,
            user: user.username,
            source: source_ips.into_iter().next().unwrap_or_default(),
            user_agent,
            uri: request_uri,
            resource: object.resource,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            code: response_status.unwrap_or_default().code,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    stage: String,
    verb: String,
    user: User,
    #[serde(default, rename = "sourceIPs")]
    source_ips: Vec<String>,
    #[serde(default)]
    user_agent: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<ResponseStatus>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::AuditLog;

    #[test]
    fn a_watch_counts_when_it_begins_and_a_list_when_it_ends() {
        let line = |verb: &str, stage: &str| {
            format!(
                r#"{{"stage":"{stage}","verb":"{verb}","user":{{"username":"u"}},"requestURI":"/"}}"#
            )
        };
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut log = AuditLog::default();
        let verbs = |log: &AuditLog| -> Vec<_> {
            log.requests.iter().map(|request| request.verb.clone()).collect()
        };
        let text = format!(
            "{}\n{}\n{}\n",
            line("watch", "ResponseStarted"),
            line("watch", "ResponseComplete"),
            line("list", "ResponseComplete"),
        );
        let last = line("get", "ResponseComplete");
        let (half, rest) = last.split_at(9);

        write!(file, "{text}{half}").unwrap();
        log.update(file.path()).unwrap();
        assert_eq!(verbs(&log), ["watch", "list"]);

        writeln!(file, "{rest}").unwrap();
        log.update(file.path()).unwrap();
        assert_eq!(verbs(&log), ["watch", "list", "get"]);
    }
}
