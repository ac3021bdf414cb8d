//! A resource whose routes are too large says so, and goes on with those it had.

use crate::support::{DEADLINE, STEADY, TestBed};
use llm_cluster::wait_for;

const PROGRAMMED: &str = "RouteProgrammed";
const MODELS: usize = 1000;
const GROUPS: usize = 90;

async fn says(testbed: &TestBed, status: &str, part: &str) {
    let says = async || {
        let said = testbed.condition("growing", PROGRAMMED).await;
        said.is_some_and(|(found, message)| found == status && message.contains(part))
    };
    if let Err(late) = wait_for("the condition is said", DEADLINE, says).await {
        let found = testbed.condition("growing", PROGRAMMED).await;
        assert!(says().await, "{late}: {found:?}");
    }
}

async fn too_large(testbed: &TestBed) -> f64 {
    let metrics = testbed.operators.first().unwrap().metrics().await.unwrap();
    metrics.get("llm_operator_push_documents_too_large")
}

#[tokio::test]
async fn a_resource_with_too_many_models_says_so_and_keeps_those_it_had() {
    let testbed = TestBed::with(1, 1).await;
    testbed.installation.apply(&testbed.provider("growing", &["before"])).await.unwrap();
    says(&testbed, "True", "in force").await;

    let ids: Vec<_> = (0..MODELS).map(|number| format!("model-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let mut large = testbed.provider("growing", &ids);
    let groups = (0..GROUPS).map(|number| format!("a-group-of-many-people-with-number-{number}"));
    large.spec.access.groups.extend(groups);
    testbed.installation.apply(&large).await.unwrap();

    says(&testbed, "False", "bytes, of at most 3145728; declare fewer models in it").await;
    assert_eq!(too_large(&testbed).await, 1.0);
    testbed.wait_for_status("before", 200).await;

    testbed.installation.apply(&testbed.provider("growing", &["after"])).await.unwrap();

    says(&testbed, "True", "in force").await;
    assert_eq!(too_large(&testbed).await, 0.0);
    testbed.wait_for_status("after", 200).await;
    testbed.wait_for_status("before", 404).await;
    testbed.wait_for_status(STEADY, 200).await;
}
