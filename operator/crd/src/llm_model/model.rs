//! The model to serve and the source of its weights.

use crate::rule::{self, ratcheted, rule};
use serde::{Deserialize, Serialize};

/// The model to serve and the source of its weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = model_rules()))]
pub struct Model {
    /// Model id that clients send in `"model"`, for example `Qwen/Qwen3-8B`. For source
    /// `huggingface` it is also the repository name. 1 to 256 visible ASCII characters, without
    /// quotes or backslashes.
    #[schemars(schema_with = "rule::model_id")]
    pub name: String,
    /// Source of the weights: `huggingface` (downloaded from a hub), `oci` (contained in an image
    /// under `/models`), or `pvc` (already on a volume).
    pub source: Source,
    /// Revision to download: a branch, a tag, or a commit to pin the weights. Defaults to the
    /// hub's default branch. Only for source `huggingface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Name of a Secret in the same namespace whose key `HF_TOKEN` holds a hub token, for gated or
    /// private models. Only for source `huggingface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// Image that contains the weights under `/models`, for example
    /// `registry.example.org/models/qwen3:v1`. Required for source `oci`, and only allowed there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// Where the weights are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Whether an init container downloads the weights before vLLM starts. Defaults to true. If
    /// false, the weights must be put on the volume by other means. Only for source
    /// `huggingface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload: Option<bool>,
    /// Files to download. Defaults to all. Only for source `huggingface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// URL of the hub, or a mirror of it, to download from, for example `https://hub.example.org`.
    /// Defaults to the public hub. Only for source `huggingface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), extend("x-kubernetes-validations" = [rule(
        "isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getHost() != ''",
        "must be a URL such as https://hub.example.org",
    )]))]
    pub endpoint: Option<String>,
}

fn model_rules() -> Vec<serde_json::Value> {
    vec![
        ratcheted(
            "self.source != 'oci' || has(self.image) && self.image != ''",
            &["source", "image"],
            "source `oci` requires `image`: the image that contains the weights under /models",
        ),
        ratcheted(
            "self.source != 'huggingface' || has(self.storage) && (self.storage.type != 'pvc' || \
             has(self.storage.size) && self.storage.size != '')",
            &["source", "storage"],
            "source `huggingface` requires `storage.size`, for example 80Gi",
        ),
        rule(
            "self.source != 'pvc' || has(self.storage) && has(self.storage.claimName)",
            "source `pvc` requires `storage.claimName`: the claim that holds the weights",
        ),
        rule(
            "self.source == 'pvc' || !has(self.storage) || !has(self.storage.claimName)",
            "`storage.claimName` is only allowed with source `pvc`",
        ),
        rule(
            "self.source != 'pvc' || !has(self.storage) || self.storage.type == 'pvc'",
            "source `pvc` requires `storage.type: pvc`",
        ),
        rule(
            "self.source == 'oci' || !has(self.storage) || self.storage.type != 'image'",
            "`storage.type: image` is only allowed with source `oci`",
        ),
    ]
}

/// Source of weights.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// A hub that speaks the Hugging Face protocol.
    #[default]
    HuggingFace,
    /// An image, copied from or mounted.
    Oci,
    /// An existing volume.
    Pvc,
}

/// Storage for weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Type of storage: `pvc` (a volume that outlives the pods), `emptyDir` (node-local and deleted
    /// with the pod), or `image` (the image is mounted without copying; only for source `oci`,
    /// requires Kubernetes 1.33 or later). Source `oci` copies to an `emptyDir` unless this is
    /// `image`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "StorageType", extend("default" = "pvc"))]
    pub kind: Option<StorageType>,
    /// Size of the volume as a quantity, for example `80Gi`. Required for `pvc`; the size limit for
    /// `emptyDir`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("x-kubernetes-validations" = [rule(
        "self == '' || isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
        "must be a quantity greater than 0, for example 80Gi",
    )]))]
    pub size: Option<String>,
    /// StorageClass of the volume. Defaults to the operator's setting, then to the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// Access mode of the volume: `ReadWriteOnce` (one node), `ReadWriteMany` (many nodes), or
    /// `ReadOnlyMany` (many nodes, read-only: for weights that are already in place). Defaults to
    /// `ReadWriteOnce`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "StorageAccessMode")]
    pub access_mode: Option<StorageAccessMode>,
    /// Name of the PersistentVolumeClaim in the same namespace that holds the weights in its root
    /// directory. Required for source `pvc`, and only allowed there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub claim_name: Option<String>,
}

/// Type of storage for weights.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum StorageType {
    /// A volume that outlives the pods.
    #[default]
    Pvc,
    /// Node-local storage, deleted with the pod.
    EmptyDir,
    /// A mounted image.
    Image,
}

/// Access mode of a volume.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum StorageAccessMode {
    /// One node.
    #[default]
    ReadWriteOnce,
    /// Many nodes.
    ReadWriteMany,
    /// Many nodes, read-only.
    ReadOnlyMany,
}

/// Files of a repository to download.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Files {
    /// Patterns of files to download, for example `*.safetensors`. Defaults to all files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rule::patterns")]
    pub include: Vec<String>,
    /// Patterns of files to skip, for example `original/*`. Takes precedence over `include`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rule::patterns")]
    pub exclude: Vec<String>,
}

impl StorageAccessMode {
    /// The name in Kubernetes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteMany => "ReadWriteMany",
            Self::ReadOnlyMany => "ReadOnlyMany",
        }
    }
}
