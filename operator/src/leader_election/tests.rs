use super::*;
use kube::Config;
use std::{cell::Cell, rc::Rc};

/// A candidate whose client is never used.
fn candidate(identity: &str) -> LeaderElector {
    candidate_at("http://127.0.0.1:1", identity)
}

fn candidate_at(server: &str, identity: &str) -> LeaderElector {
    let config = Config::new(server.parse().unwrap());
    LeaderElector::new(Client::try_from(config).unwrap(), "llm", "operator", identity)
}

fn held_by(holder: &str) -> Lease {
    let elector = candidate(holder);
    let metadata = ObjectMeta { resource_version: Some("7".into()), ..ObjectMeta::default() };
    elector.lease_of(metadata, None)
}

fn acquires(elector: &LeaderElector, lease: &Lease, now: Instant) -> bool {
    elector.next_lease(Some(lease.clone()), now).is_some()
}

#[tokio::test]
async fn a_free_lease_is_acquired() {
    let Some(lease) = candidate("a").next_lease(None, clock::now()) else {
        panic!("a lease expected");
    };
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some("a"));
    assert!(acquires(&candidate("a"), &held_by(""), clock::now()));
}

#[tokio::test]
async fn the_lease_of_another_is_acquired_only_after_a_whole_duration_without_change() {
    let (mut elector, lease, start) = (candidate("a"), held_by("b"), clock::now());
    elector.observe(Some(lease.clone()), start);
    assert!(!acquires(&elector, &lease, start + LEASE_DURATION));
    assert!(acquires(&elector, &lease, start + LEASE_DURATION + Duration::from_millis(1)));
    let mut renewed = lease;
    renewed.spec.as_mut().unwrap().renew_time =
        Some(MicroTime("2030-01-01T00:00:00Z".parse().unwrap()));
    elector.observe(Some(renewed.clone()), start + LEASE_DURATION);
    assert!(!acquires(&elector, &renewed, start + LEASE_DURATION + LEASE_DURATION));
}

#[tokio::test]
async fn a_renewal_names_the_version_it_has_read_so_that_a_stale_one_conflicts() {
    let Some(lease) = candidate("a").next_lease(Some(held_by("a")), clock::now()) else {
        panic!("a renewal expected");
    };
    assert_eq!(lease.metadata.resource_version.as_deref(), Some("7"));
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
}

/// Records when it is dropped.
struct Dropped(Rc<Cell<Option<tokio::time::Instant>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(Some(tokio::time::Instant::now()));
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_end_is_dropped_before_another_replica_may_lead() {
    // It accepts connections and never replies, like a partitioned network.
    let unresponsive = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut elector = candidate_at(&format!("http://{}", unresponsive.local_addr().unwrap()), "a");
    let start = clock::now();
    elector.observe(Some(held_by("a")), start);
    let (cancelled, dropped) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
    let work = |ended: CancellationToken| {
        let (cancelled, dropped) = (Rc::clone(&cancelled), Dropped(Rc::clone(&dropped)));
        async move {
            let _dropped = dropped;
            ended.cancelled().await;
            cancelled.set(Some(tokio::time::Instant::now()));
            std::future::pending::<()>().await;
        }
    };
    elector.run_while_leader(start, &CancellationToken::new(), work).await;
    let after = |at: &Cell<Option<tokio::time::Instant>>| at.get().unwrap().into_std() - start;
    assert!(
        (RENEW_DEADLINE..DROP_DEADLINE).contains(&after(&cancelled)),
        "{:?}",
        after(&cancelled)
    );
    assert!((DROP_DEADLINE..LEASE_DURATION).contains(&after(&dropped)), "{:?}", after(&dropped));
}
