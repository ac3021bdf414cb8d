//! Two installations in one cluster.

use crate::support::{DEADLINE, STEADY, TestBed, assert_no_errors};
use llm_cluster::{resources, wait_for, wait_for_status};
use llm_crd::{ApiKeyResource, PassthroughModel};

#[tokio::test]
async fn two_installations_in_one_cluster_do_not_disturb_each_other() {
    let (one, other) = tokio::join!(TestBed::with(1, 1), TestBed::with(1, 1));
    assert_eq!((one.leader().await, other.leader().await), (0, 0));
    let load = other.load();
    let updates = "llm_operator_push_updates_total";
    let before = other.operators[0].metrics().await.unwrap().get(updates);
    let stranger = resources::key(7).unwrap();
    let made = resources::key_resource(&stranger, &resources::hash(&stranger).unwrap()).unwrap();

    one.installation.apply(&made).await.unwrap();
    let stranger = one.client.with_key(&stranger);
    wait_for_status(&one.addresses(), &stranger, STEADY, 200, DEADLINE).await.unwrap();
    one.add_model("mine").await;
    one.installation.delete::<PassthroughModel>(STEADY).await.unwrap();
    one.wait_for_status(STEADY, 404).await;
    let ours = resources::key(1).unwrap();
    one.installation.delete::<ApiKeyResource>(ours.id().as_str()).await.unwrap();
    one.wait_for_status("mine", 401).await;

    let [proxy] = other.addresses()[..] else { panic!("one proxy") };
    assert_eq!(stranger.status(proxy, STEADY).await.unwrap(), 401);
    assert_eq!(other.client.status(proxy, "mine").await.unwrap(), 404);
    assert_eq!(other.operators[0].metrics().await.unwrap().get(updates), before);
    for testbed in [&one, &other] {
        let asked = testbed.installation.request_counts().unwrap();
        assert!(asked.keys().all(|(_, _, code)| *code != 403), "{asked:#?}");
    }
    assert_no_errors(&load.stop().await);
    let programmed = async || {
        other.condition(STEADY, "RouteProgrammed").await.is_some_and(|(status, _)| status == "True")
    };
    wait_for("the other's routes are programmed", DEADLINE, programmed).await.unwrap();
}
