//! Who asked the API server for what.

use serde::Deserialize;

use crate::error::ClusterError;

/// A request that the API server answered, or a watch that it began to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The user, `system:serviceaccount:NAMESPACE:NAME` for a service account.
    pub user: String,
    /// The address it came from.
    pub source: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// The path and query.
    pub uri: String,
    /// The kind's plural, such as `deployments`; empty if the request is not about an object.
    pub resource: String,
    /// Such as `status`; empty if the request is about the whole object.
    pub subresource: String,
    /// The object's namespace; empty if it has none.
    pub namespace: String,
    /// The object's name; empty for a list.
    pub name: String,
    /// The status of the answer.
    pub code: u16,
}

impl Request {
    /// Reads an audit log, whose last line may still be being written.
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

/// Sums a counter of a metrics text over all label sets that hold every one of `labels`.
pub(crate) fn sum(metrics: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let wanted: Vec<String> =
        labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    metrics
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} "))
        .filter(|(set, _)| wanted.iter().all(|label| set.split(',').any(|held| held == label)))
        .filter_map(|(_, value)| value.trim().parse::<f64>().ok())
        .sum()
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
    use super::{Request, sum};

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
        let verbs: Vec<_> = Request::parse_all(&log).unwrap().into_iter().map(|r| r.verb).collect();
        assert_eq!(verbs, ["watch", "list"]);
    }

    #[test]
    fn a_sum_is_over_the_label_sets_that_hold_what_is_asked_for() {
        let metrics = "\
# TYPE total counter
total{resource=\"pods\",verb=\"GET\"} 2
total{resource=\"pods\",verb=\"LIST\"} 3
total{resource=\"pods\",verb=\"GET\",code=\"404\"} 1
total_other{resource=\"pods\",verb=\"GET\"} 100
";
        assert_eq!(sum(metrics, "total", &[("verb", "GET"), ("resource", "pods")]), 3.0);
        assert_eq!(sum(metrics, "total", &[]), 6.0);
    }
}
