//! Keys as they are kept.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use llm_crd::{ApiKeyResource, ApiKeySpec};
use std::fmt;

/// An `ApiKey`, packed as JSON. There may be a hundred thousand of them, and all are kept; this is
/// less than half of what the parts of one take by themselves, and reading it costs microseconds.
#[derive(PartialEq, Eq)]
pub struct PackedKey(Box<str>);

/// The moments of a key's spec. The type that has them in manifests writes whole seconds only, so
/// that they are packed beside it.
type Moments = [Option<Timestamp>; 3];

impl PackedKey {
    /// Packs a key, without what nobody asks for.
    pub fn of(mut key: ApiKeyResource) -> Self {
        key.metadata.labels = None;
        key.metadata.annotations = None;
        key.metadata.uid = None;
        key.metadata.resource_version = None;
        let moments: Moments = moments(&mut key.spec).map(|it| it.map(|time| time.0));
        // Structs of strings and numbers always become JSON.
        Self(serde_json::to_string(&(key, moments)).unwrap_or_default().into_boxed_str())
    }

    /// Reads it.
    pub fn key(&self) -> ApiKeyResource {
        // It was written by the same types.
        let (mut key, exact): (ApiKeyResource, Moments) =
            serde_json::from_str(&self.0).unwrap_or_default();
        for (time, exact) in moments(&mut key.spec).into_iter().zip(exact) {
            if let (Some(time), Some(exact)) = (time, exact) {
                time.0 = exact;
            }
        }
        key
    }
}

fn moments(spec: &mut ApiKeySpec) -> [Option<&mut Time>; 3] {
    let overlap_until = spec.replaces.as_mut().map(|replaces| &mut replaces.overlap_until);
    [spec.not_before.as_mut(), spec.expires_at.as_mut(), overlap_until]
}

impl fmt::Debug for PackedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackedKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_counts_of_a_key_is_there_when_it_is_read() {
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
        assert_eq!(PackedKey::of(noted).key(), key);
    }
}
