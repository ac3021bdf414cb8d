//! Two installations in one cluster.

use crate::support::{DEADLINE, Place, STEADY, assert_unnoticed};
use llm_cluster::wait_for;
use llm_crd::{ApiKeyResource, PassthroughModel};
use llm_scale::{reach::reach, resources};

#[tokio::test]
async fn two_installations_in_one_cluster_do_not_disturb_each_other() {
    let (one, other) = tokio::join!(Place::with(1, 1), Place::with(1, 1));
    assert_eq!((one.leader().await, other.leader().await), (0, 0));
    let load = other.load();
    let updates = "llm_operator_push_updates_total";
    let before = other.operators[0].metrics().await.unwrap().get(updates);
    let stranger = resources::key(7).unwrap();
    let made = resources::key_resource(&stranger, &resources::hash(&stranger).unwrap()).unwrap();

    one.it.put(&made).await.unwrap();
    let stranger = one.caller.with(&stranger);
    reach(&one.addresses(), &stranger, STEADY, 200, DEADLINE).await.unwrap();
    one.adds("mine").await;
    one.it.delete::<PassthroughModel>(STEADY).await.unwrap();
    one.reaches(STEADY, 404).await;
    let ours = resources::key(1).unwrap();
    one.it.delete::<ApiKeyResource>(ours.id().as_str()).await.unwrap();
    one.reaches("mine", 401).await;

    let [proxy] = other.addresses()[..] else { panic!("one proxy") };
    assert_eq!(stranger.status(proxy, STEADY).await.unwrap(), 401);
    assert_eq!(other.caller.status(proxy, "mine").await.unwrap(), 404);
    assert_eq!(other.operators[0].metrics().await.unwrap().get(updates), before);
    for place in [&one, &other] {
        let asked = place.it.asked().unwrap();
        assert!(asked.keys().all(|(_, _, code)| *code != 403), "{asked:#?}");
    }
    assert_unnoticed(&load.stop().await);
    let programmed = async || {
        other.condition(STEADY, "RouteProgrammed").await.is_some_and(|(status, _)| status == "True")
    };
    wait_for("the other's routes are programmed", DEADLINE, programmed).await.unwrap();
}
