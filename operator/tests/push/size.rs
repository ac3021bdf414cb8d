//! A resource whose routes are too large says so, and goes on with those it had.

use crate::support::{DEADLINE, Place, STEADY};
use llm_cluster::wait_for;

const PROGRAMMED: &str = "RouteProgrammed";
const MODELS: usize = 1000;
const GROUPS: usize = 90;

async fn says(place: &Place, status: &str, part: &str) {
    let says = async || {
        let said = place.condition("growing", PROGRAMMED).await;
        said.is_some_and(|(found, message)| found == status && message.contains(part))
    };
    if let Err(late) = wait_for("the condition is said", DEADLINE, says).await {
        let found = place.condition("growing", PROGRAMMED).await;
        assert!(says().await, "{late}: {found:?}");
    }
}

async fn too_large(place: &Place) -> f64 {
    let metrics = place.operators.first().unwrap().metrics().await.unwrap();
    metrics.get("llm_operator_push_documents_too_large")
}

#[tokio::test]
async fn a_resource_with_too_many_models_says_so_and_keeps_those_it_had() {
    let place = Place::with(1, 1).await;
    place.it.put(&place.provider("growing", &["before"])).await.unwrap();
    says(&place, "True", "in force").await;

    let ids: Vec<_> = (0..MODELS).map(|number| format!("model-{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let mut large = place.provider("growing", &ids);
    let groups = (0..GROUPS).map(|number| format!("a-group-of-many-people-with-number-{number}"));
    large.spec.access.groups.extend(groups);
    place.it.put(&large).await.unwrap();

    says(&place, "False", "bytes, of at most 3145728; declare fewer models in it").await;
    assert_eq!(too_large(&place).await, 1.0);
    place.reaches("before", 200).await;

    place.it.put(&place.provider("growing", &["after"])).await.unwrap();

    says(&place, "True", "in force").await;
    assert_eq!(too_large(&place).await, 0.0);
    place.reaches("after", 200).await;
    place.reaches("before", 404).await;
    place.reaches(STEADY, 200).await;
}
