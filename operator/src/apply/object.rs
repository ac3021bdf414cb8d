//! An object that is to be.

use crate::labels::PLAN_HASH;
use kube::{
    Resource,
    api::{ApiResource, DynamicObject},
};
use llm_contract::ResourceName;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// An object that is to be: of some kind, in a namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Its kind.
    pub resource: ApiResource,
    /// Its name.
    pub name: ResourceName,
    /// All of it that matters to us.
    pub value: Value,
}

impl Object {
    /// An object of a known kind.
    pub fn of<K: Resource<DynamicType = ()> + Serialize>(name: ResourceName, object: &K) -> Self {
        let resource = ApiResource::erase::<K>(&());
        // Such types always serialise: their keys are strings.
        let value = serde_json::to_value(object).unwrap_or_default();
        Self::new(resource, name, value)
    }

    /// An object of a kind that is known by its name only; `value` says all but what it is and
    /// where.
    pub fn new(resource: ApiResource, name: ResourceName, mut value: Value) -> Self {
        merge(
            &mut value,
            json!({
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {"name": name.name(), "namespace": name.namespace()},
            }),
        );
        Self { resource, name, value }
    }

    /// Says in 16 characters what the object is to be.
    pub fn hash(&self) -> String {
        let digest = Sha256::digest(self.value.to_string());
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The object as it is written: with its hash, so that a field which a plan no longer names is
    /// noticed although what is live still says all that the plan says.
    pub fn with_hash(&self) -> Value {
        let mut value = self.value.clone();
        merge(&mut value, json!({"metadata": {"labels": {PLAN_HASH: self.hash()}}}));
        value
    }

    /// The object, to be read by kind.
    pub fn dynamic(&self) -> Option<DynamicObject> {
        serde_json::from_value(self.value.clone()).ok()
    }
}

/// An object without what it is: in a list every object is of the same kind, and none says so.
pub(super) fn content(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten();
    let fields = fields.filter(|(field, _)| !["apiVersion", "kind"].contains(&field.as_str()));
    Value::Object(fields.map(|(field, value)| (field.clone(), value.clone())).collect())
}

/// Puts the fields of one value into another.
pub(super) fn merge(value: &mut Value, more: Value) {
    match (value, more) {
        (Value::Object(fields), Value::Object(more)) => {
            for (key, more) in more {
                merge(fields.entry(key).or_insert(Value::Null), more);
            }
        }
        (value, more) => *value = more,
    }
}
