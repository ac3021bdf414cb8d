//! Keys as they are stored.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use llm_crd::{ApiKeyResource, ApiKeySpec};
use std::fmt;

/// An `ApiKey` as compact JSON.
///
/// There may be 100,000 of them, all in memory: this takes less than half of what the decoded
/// struct takes, and decoding it takes microseconds.
#[derive(PartialEq, Eq)]
pub struct CompactKey(Box<str>);

/// The times of a key's spec. [`Time`] is written with whole seconds only, so they stand beside it.
type ExactTimes = [Option<Timestamp>; 3];

impl CompactKey {
    /// Drops the metadata that is not used.
    pub fn of(mut key: ApiKeyResource) -> Self {
        key.metadata.labels = None;
        key.metadata.annotations = None;
        key.metadata.uid = None;
        key.metadata.resource_version = None;
        let times: ExactTimes = times(&mut key.spec).map(|it| it.map(|time| time.0));
        // Structs of strings and numbers always become JSON.
        Self(serde_json::to_string(&(key, times)).unwrap_or_default().into_boxed_str())
    }

    pub fn key(&self) -> ApiKeyResource {
        // It was encoded from the same types.
        let (mut key, exact): (ApiKeyResource, ExactTimes) =
            serde_json::from_str(&self.0).unwrap_or_default();
        for (time, exact) in times(&mut key.spec).into_iter().zip(exact) {
            if let (Some(time), Some(exact)) = (time, exact) {
                time.0 = exact;
            }
        }
        key
    }
}

fn times(spec: &mut ApiKeySpec) -> [Option<&mut Time>; 3] {
    let overlap_until = spec.replaces.as_mut().map(|replaces| &mut replaces.overlap_until);
    [spec.not_before.as_mut(), spec.expires_at.as_mut(), overlap_until]
}

impl fmt::Debug for CompactKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompactKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_decoded_key_has_everything_that_is_used() {
        let key: ApiKeyResource = serde_json::from_value(json!({
            "apiVersion": "llm.nebari.dev/v1alpha1",
            "kind": "ApiKey",
            "metadata": {
                "name": "abcdefgh2345", "namespace": "llm", "generation": 3,
                "creationTimestamp": "2030-01-01T00:00:00Z",
                "deletionTimestamp": "2030-01-02T00:00:00Z",
            },
            "spec": {
                "displayName": "laptop", "clientId": "ada", "hash": "$argon2id$...",
                "owner": {"serviceAccount": "jobs/nightly"},
                "models": ["llm/qwen3", "*"], "suspended": true,
                "expiresAt": "2030-03-01T00:00:00.000000001Z",
                "notBefore": "2030-01-01T00:00:00.5+01:00",
                "limits": {"concurrency": 4},
                "replaces": {"id": "abcdefgh2346", "overlapUntil": "2030-02-01T00:00:00.9Z"},
            },
            "status": {
                "observedGeneration": 3, "ownerGroups": ["ml"],
                "lastUsedAt": "2030-01-01T12:00:00Z",
                "conditions": [{
                    "type": "Active", "status": "True", "reason": "Active", "message": "it is",
                    "lastTransitionTime": "2030-01-01T00:00:00Z", "observedGeneration": 3,
                }],
            },
        }))
        .unwrap();
        let mut noted = key.clone();
        noted.metadata.uid = Some("1-2-3".into());
        noted.metadata.resource_version = Some("7".into());
        noted.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        assert_eq!(CompactKey::of(noted).key(), key);
    }
}
