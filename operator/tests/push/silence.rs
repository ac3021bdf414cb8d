//! Where nothing changes, nothing is asked.

use crate::support::{DEADLINE, Place};
use llm_cluster::wait_for;
use llm_scale::resources;
use std::{collections::BTreeMap, time::Duration};

const MODELS: usize = 100;
const QUIET: Duration = Duration::from_secs(30);
/// The key is in force, and then each of two proxies says that it was used.
const KEY_STATUS_MAX: usize = 3;

/// What was asked beyond watches, leases, and the status of the only key: that it was used is said
/// of it, though rarely.
fn unexpected(place: &Place) -> BTreeMap<(String, String, u16), usize> {
    let mut asked = place.it.asked().unwrap();
    asked.retain(|(verb, resource, _), _| {
        verb != "watch" && !["leases", "apikeys/status"].contains(&&**resource)
    });
    asked
}

#[tokio::test]
async fn where_nothing_changes_nothing_is_asked_but_the_lease() {
    let place = Place::with(2, 2).await;
    let models = (0..MODELS).map(|number| resources::model(&format!("model-{number}")));
    place.it.create_all(models).await.unwrap();
    let mut before = unexpected(&place);
    let mut calm = 0;
    let settled = async || {
        let now = unexpected(&place);
        calm = if now == before { calm + 1 } else { 0 };
        before = now;
        calm == 60
    };
    wait_for("nothing is asked for three seconds", DEADLINE, settled).await.unwrap();

    tokio::time::sleep(QUIET).await;

    assert_eq!(unexpected(&place), before);
    let asked = place.it.asked().unwrap();
    println!("asked in all: {asked:?}");
    let said = asked.iter().filter(|((_, resource, _), _)| resource == "apikeys/status");
    assert!(said.map(|(_, count)| count).sum::<usize>() <= KEY_STATUS_MAX, "{asked:#?}");
    assert!(asked.keys().all(|(_, _, code)| *code != 403), "{asked:#?}");
}
