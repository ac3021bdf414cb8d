//! Where nothing changes, nothing is asked.

use crate::support::{DEADLINE, TestBed};
use kube::api::ListParams;
use llm_cluster::{clock, resources, wait_for};
use llm_crd::LLMModel;
use std::{collections::BTreeMap, time::Duration};

const MODELS: usize = 100;
/// Longer than the programs stand still on a busy machine, and then go on with what they do.
const CALM: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_secs(30);
/// The key is in force, and then each of two proxies says that it was used.
const KEY_STATUS_MAX: usize = 3;

/// What was asked beyond watches, leases, and the status of the only key: that it was used is said
/// of it, though rarely.
fn unexpected(testbed: &TestBed) -> BTreeMap<(String, String, u16), usize> {
    let mut asked = testbed.installation.request_counts().unwrap();
    asked.retain(|(verb, resource, _), _| {
        verb != "watch" && !["leases", "apikeys/status"].contains(&&**resource)
    });
    asked
}

#[tokio::test]
async fn where_nothing_changes_nothing_is_asked_but_the_lease() {
    let testbed = TestBed::with(2, 2).await;
    let models = (0..MODELS).map(|number| resources::model(&format!("model-{number}")));
    testbed.installation.create_all(models).await.unwrap();
    let models = testbed.installation.api::<LLMModel>();
    let reported = async || {
        let models = models.list(&ListParams::default()).await.unwrap();
        let seen = |it: &LLMModel| it.status.as_ref().and_then(|it| it.observed_generation);
        models.iter().all(|it| seen(it) == it.metadata.generation)
    };
    wait_for("every model is reported", DEADLINE, reported).await.unwrap();
    let (mut before, mut since) = (unexpected(&testbed), clock::now());
    let settled = async || {
        let now = unexpected(&testbed);
        if now != before {
            (before, since) = (now, clock::now());
        }
        CALM <= clock::now() - since
    };
    wait_for("nothing is asked for a while", DEADLINE, settled).await.unwrap();

    tokio::time::sleep(QUIET).await;

    assert_eq!(unexpected(&testbed), before);
    let asked = testbed.installation.request_counts().unwrap();
    println!("asked in all: {asked:?}");
    let said = asked.iter().filter(|((_, resource, _), _)| resource == "apikeys/status");
    assert!(said.map(|(_, count)| count).sum::<usize>() <= KEY_STATUS_MAX, "{asked:#?}");
    assert!(asked.keys().all(|(_, _, code)| *code != 403), "{asked:#?}");
}
