//! Labels, annotations and field managers of the objects the operator writes.

/// The label, and its value, of every object the operator manages.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "nebari-llm-operator");

/// The label by which pods and Services name their model.
pub const INSTANCE: &str = "app.kubernetes.io/instance";

/// The label with the hash of the plan an object was last applied from. Not an annotation: a
/// change of annotations counts as a new generation of a Deployment.
pub const PLAN_HASH: &str = "llm.nebari.dev/plan-hash";

/// The annotation of objects that stay when a later plan does not name them.
pub const KEEP: &str = "llm.nebari.dev/keep";

/// The field manager of everything the operator applies.
pub const FIELD_MANAGER: &str = "llm-operator";

/// The field manager of `status.lastUsedAt` of keys, which the other status must not take back.
pub const LAST_USED_FIELD_MANAGER: &str = "llm-operator-use";

/// The field manager of the first release of the pack.
pub const LEGACY_FIELD_MANAGER: &str = "manager";
