//! Which model to serve, and where its weights come from.

use crate::rule::{self, ratcheted, rule};
use serde::{Deserialize, Serialize};

/// Which model to serve, and where its weights come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = model_rules()))]
pub struct Model {
    /// The id clients write in `"model"`, for example `Qwen/Qwen3-8B`. For weights from a hub it
    /// is also the name of the repository. 1 to 256 visible ASCII characters, without quotes and
    /// backslashes.
    #[schemars(schema_with = "rule::model_id")]
    pub name: String,
    /// Where the weights come from: `huggingface` (downloaded from a hub), `oci` (an image that
    /// holds them under `/models`), or `pvc` (they are on a volume already).
    pub source: Source,
    /// The revision to download: a branch, a tag, or, for weights that never change, a commit.
    /// The hub's default branch if absent. Only for source `huggingface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The name of a Secret in the same namespace whose key `HF_TOKEN` holds a token of the hub,
    /// for models that need one. Only for source `huggingface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_secret_name: Option<String>,
    /// The image that holds the weights under `/models`, for example
    /// `registry.example.org/models/qwen3:v1`. Required for source `oci`, and only for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub image: Option<String>,
    /// Where the weights are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
    /// Whether an init container fetches the weights before vLLM starts. True if absent. With
    /// false somebody else has to put them on the volume. Only for source `huggingface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preload: Option<bool>,
    /// Which files to download. All if absent. Only for source `huggingface`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Files>,
    /// The hub or the mirror of it to download from, for example `https://hub.example.org`. The
    /// public hub if absent. Only for source `huggingface`.
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
            "source `oci` needs `image`: the image that holds the weights under /models",
        ),
        ratcheted(
            "self.source != 'huggingface' || has(self.storage) && (self.storage.type != 'pvc' || \
             has(self.storage.size) && self.storage.size != '')",
            &["source", "storage"],
            "weights from a hub need room: say `storage.size`, for example 80Gi",
        ),
        rule(
            "self.source != 'pvc' || has(self.storage) && has(self.storage.claimName)",
            "source `pvc` needs `storage.claimName`: the claim that holds the weights",
        ),
        rule(
            "self.source == 'pvc' || !has(self.storage) || !has(self.storage.claimName)",
            "`storage.claimName` is for source `pvc` only",
        ),
        rule(
            "self.source != 'pvc' || !has(self.storage) || self.storage.type == 'pvc'",
            "source `pvc` cannot be kept in another `storage.type` than `pvc`",
        ),
        rule(
            "self.source == 'oci' || !has(self.storage) || self.storage.type != 'image'",
            "`storage.type: image` is for source `oci` only",
        ),
    ]
}

/// Where weights come from.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Downloaded from a hub.
    #[default]
    HuggingFace,
    /// Copied from an image, or mounted as one.
    Oci,
    /// On a volume already.
    Pvc,
}

/// Where weights are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// How they are kept: `pvc` (a volume that outlives the pods), `emptyDir` (a folder of the
    /// node that goes with the pod), or `image` (the image itself is mounted: nothing is copied;
    /// only for source `oci`, and needs Kubernetes 1.33 or later). Source `oci` copies to an
    /// `emptyDir` unless this says `image`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "StorageType", extend("default" = "pvc"))]
    pub kind: Option<StorageType>,
    /// How large the volume is, as a quantity, for example `80Gi`. Required for `pvc`; for
    /// `emptyDir` it is the most the folder may hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("x-kubernetes-validations" = [rule(
        "self == '' || isQuantity(self) && quantity(self).isGreaterThan(quantity('0'))",
        "must be a quantity greater than 0, for example 80Gi",
    )]))]
    pub size: Option<String>,
    /// The StorageClass of the volume. The operator's default if absent, else the cluster's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub storage_class_name: Option<String>,
    /// How many nodes may use the volume: `ReadWriteOnce` (one), `ReadWriteMany` (all), or
    /// `ReadOnlyMany` (all, and nobody writes: for weights that are there already).
    /// `ReadWriteOnce` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "StorageAccessMode")]
    pub access_mode: Option<StorageAccessMode>,
    /// The PersistentVolumeClaim in the same namespace that holds the weights at its top.
    /// Required for source `pvc`, and only for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rule::object_name")]
    pub claim_name: Option<String>,
}

/// How weights are kept.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum StorageType {
    /// On a volume that outlives the pods.
    #[default]
    Pvc,
    /// In a folder of the node that goes with the pod.
    EmptyDir,
    /// The image is mounted.
    Image,
}

/// How many nodes may use a volume.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum StorageAccessMode {
    /// One.
    #[default]
    ReadWriteOnce,
    /// All.
    ReadWriteMany,
    /// All, and nobody writes.
    ReadOnlyMany,
}

/// Which files of a repository to download.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Files {
    /// Patterns of the files to download, for example `*.safetensors`. All if absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rule::patterns")]
    pub include: Vec<String>,
    /// Patterns of the files to leave out, for example `original/*`. They win over `include`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "rule::patterns")]
    pub exclude: Vec<String>,
}

impl StorageAccessMode {
    /// The name Kubernetes has for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteMany => "ReadWriteMany",
            Self::ReadOnlyMany => "ReadOnlyMany",
        }
    }
}
