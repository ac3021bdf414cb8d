//! `llm-operator table`, the program, as a person runs it.

use crate::support::Cluster;
use serde_json::Value;
use std::process::{Command, Stdio};

const HASH: &str = "$argon2id$v=19$m=512,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$\
                    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const KEY: &str = "nbcdefgh2345";

/// Prints the table of the cluster's namespace, in the forms that these arguments name.
fn table(cluster: &Cluster, args: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_llm-operator"))
        .args(["table", "--namespace", &cluster.namespace, "--base-domain", "example.org"])
        .args(["--exposure-mode", "clusterIP", "--oidc-audience", "llm"])
        .args(["--oidc-issuer-url", "https://sso.example.org/realms/main"])
        .args(args)
        .env("KUBECONFIG", cluster.plane.kubeconfig())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

#[tokio::test]
async fn a_table_is_printed_for_people_and_for_programs_without_secrets() {
    let cluster = Cluster::shared().await;
    let namespace = &cluster.namespace;
    cluster.kubectl(&["create", "secret", "generic", "large", "--from-literal=apiKey=sk-x"]).await;
    let manifests = format!(
        "
apiVersion: llm.nebari.dev/v1alpha1
kind: PassthroughModel
metadata:
  name: large
spec:
  provider: {{hostname: llm.example.org, credentialSecretName: large}}
  models: {{declared: [example/large], aliases: [{{id: big, upstream: example/large}}]}}
  access: {{groups: [ml, ops]}}
---
apiVersion: llm.nebari.dev/v1alpha1
kind: ApiKey
metadata:
  name: {KEY}
spec:
  displayName: laptop
  clientId: ml-{KEY}
  owner: {{team: ml}}
  hash: {HASH}
  models: [\"{namespace}/*\"]
  expiresAt: 2030-01-31T12:00:00Z
"
    );
    cluster.apply(&manifests).await;
    let text = table(&cluster, &["--output", "table"]);
    let rows: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    let (resource, scope) = (format!("{namespace}/large"), format!("{namespace}/*"));
    for row in [
        ["big", &resource, "https://llm.example.org:443/v1", "as", "example/large", "ml,"],
        ["example/large", &resource, "https://llm.example.org:443/v1", "ml,", "ops", "external,"],
        [KEY, "ml", "ml", &scope, "until", "2030-01-31"],
    ] {
        assert!(rows.iter().any(|it| it.starts_with(&row)), "{row:?} in\n{text}");
    }
    let json = table(&cluster, &[]);
    let value: Value = serde_json::from_str(&json).unwrap();
    let digest = value["digest"].as_str().unwrap();
    assert!(text.ends_with(&format!("\ntable {digest}\n")), "{digest} in\n{text}");
    for secret in ["sk-x", HASH] {
        assert!(!text.contains(secret) && !json.contains(secret), "{text}{json}");
    }
}
