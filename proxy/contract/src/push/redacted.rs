//! A route table without its secrets, as admin listeners and commands show it.

use super::{Digest, Kind, Name, redacted};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A route table without credentials and key hashes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedactedTable {
    /// The digest of the table with its secrets.
    pub digest: String,
    /// Settings, issuers, routes and keys.
    pub resources: Vec<RedactedResource>,
    /// What the proxy that has the table in force refused.
    #[serde(default)]
    pub refused: Vec<RefusedResource>,
}

/// A document of a table, without its secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RedactedResource {
    /// What the document describes.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: String,
    /// JSON as it is pushed, secrets redacted.
    pub document: Value,
}

/// A document that the proxy refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedResource {
    /// What the document describes.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: String,
    /// The reason, for people.
    pub reason: String,
}

impl RedactedTable {
    /// Redacts these documents.
    pub fn of<'a>(
        digest: Digest,
        documents: impl IntoIterator<Item = (&'a Name, &'a Bytes)>,
    ) -> Self {
        let resources = documents.into_iter().map(|(name, text)| RedactedResource {
            kind: name.kind,
            name: name.name.as_ref().to_owned(),
            document: redacted(text),
        });
        Self { digest: digest.to_string(), resources: resources.collect(), refused: Vec::new() }
    }

    /// Adds the documents that were refused, with the reasons.
    #[must_use]
    pub fn and_refused(
        mut self,
        refused: impl IntoIterator<Item = (Name, impl Into<String>)>,
    ) -> Self {
        self.refused.extend(refused.into_iter().map(|(name, reason)| RefusedResource {
            kind: name.kind,
            name: name.name.as_ref().to_owned(),
            reason: reason.into(),
        }));
        self
    }
}
