//! A hub on the node, made of files.

use crate::testbed::{DEADLINE, TestBed};
use llm_cluster::{NodeProcess, wait_for};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fs;
use tempfile::TempDir;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Where the models' resources look for it.
const ADDRESS: (&str, &str) = ("10.240.0.1", "8088");
const WEIGHTS_BYTES: usize = 8 * 1024 * 1024;

/// Serves these repositories until it is dropped.
pub(crate) async fn serve(testbed: &TestBed, repositories: &[&str]) -> (NodeProcess, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for repository in repositories {
        let files = [
            ("config.json", br#"{"architectures": ["TinyForCausalLM"]}"#.to_vec()),
            ("model.safetensors", vec![7; WEIGHTS_BYTES]),
        ];
        let sibling = |(name, bytes): &(&str, Vec<u8>)| {
            let sha256: String =
                Sha256::digest(bytes).iter().map(|it| format!("{it:02x}")).collect();
            let lfs = json!({"sha256": sha256, "size": bytes.len(), "pointerSize": 134});
            json!({"rfilename": name, "size": bytes.len(), "blobId": "0".repeat(40), "lfs": lfs})
        };
        let siblings: Vec<_> = files.iter().map(sibling).collect();
        let listing =
            json!({"id": repository, "sha": COMMIT, "gated": false, "siblings": siblings});
        let api = folder.path().join("api/models").join(repository).join("revision");
        fs::create_dir_all(&api).unwrap();
        fs::write(api.join("main"), listing.to_string()).unwrap();
        let resolve = folder.path().join(repository).join("resolve").join(COMMIT);
        fs::create_dir_all(&resolve).unwrap();
        for (name, bytes) in files {
            fs::write(resolve.join(name), bytes).unwrap();
        }
    }
    let (host, port) = ADDRESS;
    let root = folder.path().to_str().unwrap();
    let server = ["python3", "-m", "http.server", port, "--bind", host, "--directory", root];
    let server = testbed.node.spawn(&server).unwrap();
    let url = format!("http://{host}:{port}/");
    let answers = async || testbed.node.run(&["curl", "--silent", "--fail", &url]).await.is_ok();
    wait_for("the hub answers", DEADLINE, answers).await.unwrap();
    (server, folder)
}
