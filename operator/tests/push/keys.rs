//! A revoked key is soon refused everywhere.

use crate::support::{BUSY_MAX, CHANGE_MAX, DEADLINE, Place, STEADY, assert_unnoticed};
use llm_crd::ApiKeyResource;
use llm_scale::{clock, figures::Figures, reach::reach, resources};

const KEYS: u32 = 200;
/// The first number of those that are revoked.
const FIRST: u32 = 1000;

#[tokio::test]
async fn a_revoked_key_is_refused_by_five_proxies_within_a_second_while_others_go_on() {
    let place = Place::with(2, 5).await;
    let addresses = place.addresses();
    let keys: Vec<_> = (FIRST..FIRST + KEYS).map(|it| resources::key(it).unwrap()).collect();
    let made = keys.iter().map(|key| resources::key_resource(key, &resources::hash(key)?));
    place.it.create_all::<ApiKeyResource>(made).await.unwrap();
    // Each is used everywhere, so that each proxy remembers that it is good.
    for key in &keys {
        let holder = place.caller.with(key);
        reach(&addresses, &holder, STEADY, 200, DEADLINE).await.unwrap();
    }
    let load = place.load();
    let mut figures = Figures::default();

    for key in &keys {
        let holder = place.caller.with(key);
        place.it.delete::<ApiKeyResource>(key.id().as_str()).await.unwrap();
        let accepted = clock::now();
        let refused = reach(&addresses, &holder, STEADY, 401, DEADLINE).await.unwrap();
        figures.extend(refused.into_iter().map(|at| at - accepted));
    }

    println!("revocation in force: {figures}");
    assert_unnoticed(&load.stop().await);
    assert!(figures.per_mille(500) < CHANGE_MAX, "{figures}");
    assert!(figures.per_mille(900) < BUSY_MAX, "{figures}");
}
