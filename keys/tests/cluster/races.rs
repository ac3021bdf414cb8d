//! What happens when several change a key, or one stops half-way.

use crate::support::{DAY, Place, now};
use futures::future::join_all;
use http::{Method, Request};
use kube::{Client, client::Body};
use llm_contract::KeyId;
use llm_keys::{KeysError, KubeStore, KubeStoreError, StoredKeyState, clock, system_random};
use std::{
    collections::HashSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tower::BoxError;

/// Rotates a key; something else happens after it was read and before it is written.
async fn rotate_while(
    place: &Place,
    id: KeyId,
    mut meanwhile: impl FnMut(),
) -> Result<KeyId, String> {
    let mut done = false;
    let mut random = |bytes: &mut [u8]| -> io::Result<()> {
        if !std::mem::replace(&mut done, true) {
            meanwhile();
        }
        system_random(bytes)
    };
    let made = place.store.rotate(id, DAY, clock::wall(), &mut random).await;
    made.map(|(_, key)| key.id()).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_rotations_at_the_same_time_one_wins_and_the_others_name_its_key() {
    const ROTATIONS: usize = 10;
    let place = Place::new().await;
    for _ in 0..5 {
        let (id, _) = place.create().await;
        let done = join_all((0..ROTATIONS).map(|_| place.rotate(id))).await;
        let won: Vec<_> = done.iter().filter_map(|made| made.as_ref().ok()).collect();
        assert_eq!(won.len(), 1, "{done:?}");
        let by = KeyId::parse(&won[0].id).unwrap();
        for lost in done.iter().filter_map(|made| made.as_ref().err()) {
            assert!(
                matches!(lost, KubeStoreError::Keys(error) if *error == KeysError::Replaced { id, by }),
                "{lost}"
            );
        }
        let left: HashSet<_> = place.ids().await.into_iter().collect();
        assert_eq!(left, [id, by].map(|id| id.to_string()).into());
        place.store.revoke(id).await.unwrap();
        place.store.revoke(by).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_is_written_meanwhile_is_a_conflict_and_no_obstacle() {
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let by = rotate_while(&place, id, || place.touch_status(id)).await.unwrap();
    assert_eq!(place.patches(id, 2).await, [409, 200]);
    assert_eq!(place.ids().await.len(), 2);
    assert_eq!(place.store.get(id).await.unwrap().replaced_by, Some(by.to_string()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_suspended_meanwhile_is_not_rotated() {
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let suspend = r#"{"spec": {"suspended": true}}"#;
    let args = ["patch", "apikey", id.as_str(), "--type=merge", "--patch", suspend];
    let refused = rotate_while(&place, id, || place.kubectl_now(&args)).await;
    assert_eq!(refused, Err(KeysError::Suspended(id).to_string()));
    assert_eq!(place.ids().await, [id.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_revoked_meanwhile_is_not_rotated() {
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let args = ["delete", "apikey", id.as_str()];
    let refused = rotate_while(&place, id, || place.kubectl_now(&args)).await;
    assert_eq!(refused, Err(KeysError::Unknown(id).to_string()));
    assert!(place.ids().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_key_meanwhile_holds_for_the_one_in_its_place() {
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let narrow = r#"{"spec": {"models": []}}"#;
    let args = ["patch", "apikey", id.as_str(), "--type=merge", "--patch", narrow];
    let by = rotate_while(&place, id, || place.kubectl_now(&args)).await.unwrap();
    assert!(place.resource(by.as_str()).await.spec.models.is_empty());
    assert_eq!(place.ids().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_which_nobody_knows_whether_it_was_made_is_named() {
    let place = Place::alone().await;
    let (id, _) = place.create().await;
    let cluster = &place.cluster;
    let refused = rotate_while(&place, id, || now(cluster.stop_api_server()).unwrap()).await;
    let text = refused.unwrap_err();
    assert!(text.ends_with(" may be left over, and no one has it; revoke it if it is listed"));
    assert!(!text.contains(id.as_str()), "{text}");
    cluster.start_api_server().await.unwrap();
    assert_eq!(place.ids().await, [id.to_string()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_ends_only_if_another_one_takes_its_place() {
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let suspend = r#"{"spec": {"suspended": true}}"#;
    let args = ["patch", "apikey", id.as_str(), "--type=merge", "--patch", suspend];
    rotate_while(&place, id, || place.kubectl_now(&args)).await.unwrap_err();
    assert_eq!(place.resource(id.as_str()).await.spec.expires_at, None);
}

#[tokio::test]
async fn a_rotation_whose_last_answer_is_lost_is_looked_up() {
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let store = KubeStore::new(deaf(&place, Deaf::Once), &place.namespace);
    let made = store.rotate(id, DAY, clock::wall(), &mut system_random).await;
    let by = made.unwrap().1.id().to_string();
    assert_eq!(place.store.get(id).await.unwrap().replaced_by, Some(by));
}

#[tokio::test]
async fn a_rotation_of_which_nobody_knows_how_it_ended_is_told_by_the_next_one() {
    let place = Place::new().await;
    let (id, _) = place.create().await;
    let store = KubeStore::new(deaf(&place, Deaf::FromThenOn), &place.namespace);
    let made = store.rotate(id, DAY, clock::wall(), &mut system_random).await;
    let Err(KubeStoreError::Unclear { by, .. }) = made else { panic!("{made:?}") };
    let again = place.rotate(id).await.unwrap_err().to_string();
    assert_eq!(again, KeysError::Replaced { id, by }.to_string());
    place.rotate(by).await.unwrap();
}

/// What a client does not hear, of a server that hears everything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deaf {
    /// The answer to the change of a key.
    Once,
    /// That, and everything after it.
    FromThenOn,
}

fn deaf(place: &Place, deaf: Deaf) -> Client {
    let (client, changed) = (place.client.clone(), Arc::new(AtomicBool::new(false)));
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, changed) = (client.clone(), Arc::clone(&changed));
        async move {
            let path = request.uri().path();
            let is_change = request.method() == Method::PATCH && !path.ends_with("/status");
            let was_changed = changed.fetch_or(is_change, Ordering::Relaxed);
            let answer = client.send(request).await.map_err(BoxError::from)?;
            let is_lost = if was_changed { deaf == Deaf::FromThenOn } else { is_change };
            let lost = || BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset));
            if is_lost { Err(lost()) } else { Ok(answer) }
        }
    });
    Client::new(service, &place.namespace)
}

#[tokio::test]
async fn a_rotation_that_stops_half_way_leaves_at_most_one_more_key_and_can_be_done_again() {
    const ROUNDS: u64 = 40;
    let place = Place::new().await;
    for round in 0..ROUNDS {
        let (id, _) = place.create().await;
        // Dropped in the middle of whatever request it is at.
        let stopped = tokio::time::timeout(Duration::from_millis(round), place.rotate(id)).await;
        let left = place.store.list().await.unwrap();
        assert!(left.len() <= 2, "{left:?}");
        let old = left.iter().find(|key| key.id == id.as_str()).unwrap();
        assert_eq!(old.validity.state(clock::wall()), StoredKeyState::Active);
        let added = left.iter().find(|key| key.id != id.as_str());
        let is_marked = old.replaced_by.is_some();
        assert!(added.is_some() || !is_marked, "no key ends without one in its place");
        assert!(added.is_none_or(|key| key.replaces == Some(id.to_string())));
        let again = place.rotate(id).await;
        match (stopped, again) {
            (Ok(made), _) => drop(made.unwrap()),
            (Err(_), Ok(_)) => {}
            (Err(_), Err(KubeStoreError::Keys(KeysError::Replaced { by, .. }))) => {
                assert_eq!(added.map(|key| key.id.as_str()), Some(by.as_str()));
            }
            (Err(_), Err(error)) => panic!("{error}"),
        }
        for id in place.ids().await {
            place.store.revoke(KeyId::parse(&id).unwrap()).await.unwrap();
        }
    }
}
