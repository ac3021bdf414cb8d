//! The audit log of the API server.

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

impl AuditedRequest {
    /// Parses an audit log, without a last line that is still being written.
    pub(crate) fn parse_all(log: &str) -> Result<Vec<Self>, ClusterError> {
        log.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| serde_json::from_str(line).map_err(|source| ClusterError::Audit { source }))
            .filter_map(|event: Result<Event, _>| event.map(Self::from_event).transpose())
            .collect()
    }

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
    use super::AuditedRequest;

    #[test]
    fn a_watch_counts_when_it_begins_and_a_list_when_it_ends() {
        let line = |verb: &str, stage: &str| {
            format!(
                r#"{{"stage":"{stage}","verb":"{verb}","user":{{"username":"u"}},"requestURI":"/"}}"#
            )
        };
        let log = format!(
            "{}\n{}\n{}\n{}",
            line("watch", "ResponseStarted"),
            line("watch", "ResponseComplete"),
            line("list", "ResponseComplete"),
            "{\"half of a li"
        );
        let verbs: Vec<_> =
            AuditedRequest::parse_all(&log).unwrap().into_iter().map(|r| r.verb).collect();
        assert_eq!(verbs, ["watch", "list"]);
    }
}
