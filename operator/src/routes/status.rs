//! What the compiler reports about a resource that declares models.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use llm_contract::ResourceName;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteStatus {
    /// The generation of the resource that was compiled.
    pub generation: Option<i64>,
    /// Whether the table holds routes of it.
    pub is_routed: bool,
    /// Whether an older resource of the other kind has the same name.
    pub name_taken: bool,
    /// The ids that other resources own, and which; `*` is the catch-all.
    pub ids_taken: Vec<(String, ResourceName)>,
    pub invalid: Option<String>,
    pub missing: Vec<MissingSecret>,
}

impl RouteStatus {
    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        Self { generation: metadata.generation, ..Self::default() }
    }
}

/// A Secret, or a key of one, that a resource refers to and that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingSecret {
    pub secret: String,
    /// The missing key, if the Secret itself exists.
    pub key: Option<&'static str>,
}
