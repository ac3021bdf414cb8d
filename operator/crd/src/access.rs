//! Who may use a model.

use crate::rule::{self, rule};
use serde::{Deserialize, Serialize};

/// Who may use a model: every authenticated caller, or the members of certain groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [rule(
    "has(self.public) && self.public || has(self.groups) && size(self.groups) > 0",
    "specify who may use the model: `public: true`, or at least one group in `groups`",
)]))]
pub struct Access {
    /// Whether every authenticated caller may use the model. If true, `groups` has no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    /// Identity provider groups whose members may use the model, for example `ml-team`. Membership
    /// in one of them is enough. A leading slash is ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rule::groups")]
    pub groups: Vec<String>,
}

impl Access {
    /// Whether every authenticated caller may use the model.
    pub fn is_public(&self) -> bool {
        self.public == Some(true)
    }
}
