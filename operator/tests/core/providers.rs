//! Providers: their routes, and what their status says.

use crate::support::{Cluster, DEADLINE, phase};
use serde_json::json;

/// A provider that everybody may use, and that needs no credential.
pub(crate) const OPEN: &str = "
apiVersion: llm.nebari.dev/v1alpha1
kind: PassthroughModel
metadata:
  name: open
spec:
  provider: {hostname: example.org, credential: {type: None}}
  models: {declared: [example/large]}
  access: {public: true}
";
const PROVIDER: &str = "
apiVersion: llm.nebari.dev/v1alpha1
kind: PassthroughModel
metadata:
  name: openrouter
  finalizers: [llm.nebari.dev/cleanup]
spec:
  provider: {hostname: OpenRouter.ai., credentialSecretName: openrouter}
  models: {declared: [example/large]}
  access: {groups: [llm]}
  endpoints: {internal: {enabled: false}}
";

#[tokio::test]
async fn a_provider_is_in_the_table_once_its_credential_is_there() {
    let cluster = Cluster::shared().await;
    let operator = cluster.operate().await;
    cluster.apply(PROVIDER).await;
    for about in ["Accepted", "BackendConfigured", "UpstreamCredentialResolved"] {
        let said =
            cluster.until_says("PassthroughModel", "openrouter", about, "SecretMissing").await;
        assert_eq!(said, "Secret openrouter does not exist: create it");
    }
    assert_eq!(operator.routes(), [""; 0]);
    let provider = cluster.get("PassthroughModel", "openrouter").await;
    assert_eq!(phase(&provider), "Error");
    assert!(provider["metadata"]["finalizers"].is_null());

    cluster.kubectl(&["create", "secret", "generic", "openrouter", "--from-literal=token=x"]).await;
    cluster.until_says("PassthroughModel", "openrouter", "Accepted", "SecretKeyMissing").await;
    let patch = r#"{"stringData":{"apiKey":"sk-1"}}"#;
    cluster.kubectl(&["patch", "secret", "openrouter", "-p", patch]).await;
    cluster.until_says("PassthroughModel", "openrouter", "Accepted", "Accepted").await;
    cluster.until_says("PassthroughModel", "openrouter", "BackendConfigured", "Applied").await;
    cluster
        .until_says("PassthroughModel", "openrouter", "InternalEndpointReady", "EndpointDisabled")
        .await;
    let provider = cluster.get("PassthroughModel", "openrouter").await;
    assert_eq!(phase(&provider), "Ready");
    assert_eq!(provider["status"]["providerHostname"], "openrouter.ai");
    assert_eq!(provider["status"]["endpoints"], json!({"external": "https://llm.example.org"}));
    let name = format!("{}/openrouter", cluster.namespace);
    let routed = async || operator.routes() == [name.as_str()];
    llm_cluster::wait_for("it is in the table", DEADLINE, routed).await.unwrap();

    cluster.kubectl(&["delete", "secret", "openrouter"]).await;
    cluster
        .until_says("PassthroughModel", "openrouter", "UpstreamCredentialResolved", "SecretMissing")
        .await;
    cluster.kubectl(&["delete", "passthroughmodel", "openrouter"]).await;
    cluster.until_gone("PassthroughModel", "openrouter").await;
}

#[tokio::test]
async fn a_model_and_a_provider_may_not_share_a_name() {
    let cluster = Cluster::shared().await;
    let _operator = cluster.operate().await;
    cluster
        .kubectl(&["create", "secret", "generic", "openrouter", "--from-literal=apiKey=x"])
        .await;
    cluster.apply(PROVIDER).await;
    cluster.until_says("PassthroughModel", "openrouter", "Accepted", "Accepted").await;
    // A second later, so that it is the younger one.
    let created =
        cluster.get("PassthroughModel", "openrouter").await["metadata"]["creationTimestamp"]
            .clone();
    let later = async || {
        created.as_str() < Some(jiff::Timestamp::now().strftime("%FT%TZ").to_string().as_str())
    };
    llm_cluster::wait_for("the next second", DEADLINE, later).await.unwrap();
    cluster.apply(&crate::models::model("openrouter", "")).await;
    cluster.until_says("LLMModel", "openrouter", "Accepted", "NameTaken").await;
    assert!(cluster.get("Deployment", "openrouter").await.is_null());
    cluster.kubectl(&["delete", "passthroughmodel", "openrouter"]).await;
    cluster.until_says("LLMModel", "openrouter", "Accepted", "Accepted").await;
}
