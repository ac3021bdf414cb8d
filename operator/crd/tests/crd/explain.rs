//! What kubectl shows.

use crate::support;
use llm_cluster::wait_for_some;
use std::time::Duration;

/// How long it may take until what is served is described too.
const DEADLINE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn explain_reads_like_documentation() {
    let cluster = support::cluster().await;
    for (field, expected) in [
        ("llmmodel", "A language model served by this cluster"),
        ("llmmodel.spec", "Additional ids under which clients can request this model"),
        ("llmmodel.spec.endpoints.requestTimeout", "for example `30m`"),
        ("llmmodel.spec.serving.updateStrategy", "ENUM: Recreate RollingUpdate"),
        ("passthroughmodel.spec.provider", "Path prefix that replaces `/v1`"),
        ("apikey.spec.owner", "a person, a team, or a service account"),
    ] {
        let text = async || cluster.kubectl(&["explain", field]).await.ok();
        let text = wait_for_some("it is explained", DEADLINE, text).await.unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(expected), "{field}: {text}");
    }
}

#[tokio::test]
async fn all_kinds_are_listed_by_their_category_and_by_short_names() {
    let cluster = support::cluster().await;
    let namespace = cluster.namespace().await.unwrap();
    let examples = support::project().join("docs/examples");
    for example in ["minimal.yaml", "passthrough-openrouter.yaml", "api-keys.yaml"] {
        let path = examples.join(example);
        cluster.kubectl(&["-n", &namespace, "apply", "-f", path.to_str().unwrap()]).await.unwrap();
    }
    for (arguments, expected) in [
        (&["get", "llm", "-o", "name"][..], &["llmmodel", "passthroughmodel", "apikey"][..]),
        (&["get", "lm"], &["PHASE", "MODEL", "REPLICAS", "AGE", "mistralai/Devstral-Small-2505"]),
        (&["get", "ptm"], &["PHASE", "PROVIDER", "AGE", "openrouter.ai"]),
        (&["get", "apikeys"], &["KEY", "CLIENT", "ACTIVE", "ada-abcdefgh2345"]),
        (&["get", "lm", "-o", "wide"], &["REASON", "MESSAGE"]),
    ] {
        let text = cluster.kubectl(&[&["-n", &namespace], arguments].concat()).await.unwrap();
        for word in expected {
            assert!(text.contains(word), "{arguments:?}: {text}");
        }
    }
}
