//! A planned object.

use crate::labels::PLAN_HASH;
use kube::{Resource, api::ApiResource};
use llm_contract::ResourceName;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A planned object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub resource: ApiResource,
    pub name: ResourceName,
    /// The manifest, limited to the fields that we manage.
    pub value: Value,
}

impl Object {
    /// An object of a statically known kind.
    pub fn of<K: Resource<DynamicType = ()> + Serialize>(name: ResourceName, object: &K) -> Self {
        // Such types always serialize: their keys are strings.
        let value = serde_json::to_value(object).unwrap_or_default();
        Self::new(ApiResource::erase::<K>(&()), name, value)
    }

    /// An object of any kind; `value` lacks kind, name and namespace.
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

    pub(super) fn hash(&self) -> String {
        short_hash(self.value.to_string())
    }

    /// The manifest labelled with its hash. The hash reveals a field that a newer plan no longer
    /// sets, although the live object still covers the plan.
    pub(super) fn with_hash(&self) -> Value {
        let mut value = self.value.clone();
        merge(&mut value, json!({"metadata": {"labels": {PLAN_HASH: self.hash()}}}));
        value
    }
}

/// The first 16 hex digits of a SHA-256.
pub fn short_hash(text: impl AsRef<[u8]>) -> String {
    let digest = Sha256::digest(text);
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A manifest without kind and API version, which objects in a list response lack.
pub(super) fn content(value: &Value) -> Value {
    let fields = value.as_object().into_iter().flatten();
    let fields = fields.filter(|(field, _)| !["apiVersion", "kind"].contains(&field.as_str()));
    Value::Object(fields.map(|(field, value)| (field.clone(), value.clone())).collect())
}

/// Merges the fields of one value into another.
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
