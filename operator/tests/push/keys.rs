//! Every proxy soon rejects a revoked key.

use crate::support::{BUSY_MAX, CHANGE_MAX, DEADLINE, STEADY, TestBed, assert_no_errors};
use llm_cluster::{Durations, clock, resources, soak, wait_for_status};
use llm_crd::ApiKeyResource;

/// Keys, normally and in the long form.
const KEYS: (u32, u32) = (40, 200);
/// The number of the first revoked key.
const FIRST: u32 = 1000;

#[tokio::test]
async fn a_revoked_key_is_refused_by_five_proxies_within_a_second_while_others_go_on() {
    let testbed = TestBed::with(2, 5).await;
    let addresses = testbed.addresses();
    let keys: Vec<_> = (FIRST..FIRST + soak::rounds(KEYS.0, KEYS.1))
        .map(|it| resources::key(it).unwrap())
        .collect();
    let made = keys.iter().map(|key| resources::key_resource(key, &resources::hash(key)?));
    testbed.installation.create_all::<ApiKeyResource>(made).await.unwrap();
    // Every proxy has each key in its cache of verified keys.
    for key in &keys {
        let holder = testbed.client.with_key(key);
        wait_for_status(&addresses, &holder, STEADY, 200, DEADLINE).await.unwrap();
    }
    let load = testbed.load();
    let mut durations = Durations::default();

    for key in &keys {
        let holder = testbed.client.with_key(key);
        testbed.installation.delete::<ApiKeyResource>(key.id().as_str()).await.unwrap();
        let accepted = clock::now();
        let refused = wait_for_status(&addresses, &holder, STEADY, 401, DEADLINE).await.unwrap();
        durations.extend(refused.into_iter().map(|at| at - accepted));
    }

    println!("revocation in force: {durations}");
    assert_no_errors(&load.stop().await);
    assert!(durations.per_mille(500) < CHANGE_MAX, "{durations}");
    assert!(durations.per_mille(900) < BUSY_MAX, "{durations}");
}
