use super::*;
use kube::Config;
use std::{cell::Cell, rc::Rc};

/// A candidate whose client is never used.
fn candidate(identity: &str) -> Election {
    candidate_at("http://127.0.0.1:1", identity)
}

fn candidate_at(server: &str, identity: &str) -> Election {
    let config = Config::new(server.parse().unwrap());
    Election::new(Client::try_from(config).unwrap(), "llm", "operator", identity)
}

fn held_by(holder: &str) -> Lease {
    let election = candidate(holder);
    let metadata = ObjectMeta { resource_version: Some("7".into()), ..ObjectMeta::default() };
    election.mine(metadata, None)
}

fn takes(election: &Election, lease: &Lease, now: Instant) -> bool {
    matches!(election.step(Some(lease.clone()), now), Step::Write(_))
}

#[tokio::test]
async fn a_lease_that_nobody_holds_is_taken() {
    let Step::Write(lease) = candidate("a").step(None, clock::now()) else {
        panic!("a lease expected");
    };
    assert_eq!(lease.spec.unwrap().holder_identity.as_deref(), Some("a"));
    assert!(takes(&candidate("a"), &held_by(""), clock::now()));
}

#[tokio::test]
async fn another_s_lease_is_taken_only_when_it_was_silent_for_all_of_it() {
    let (mut election, lease, start) = (candidate("a"), held_by("b"), clock::now());
    election.see(Some(lease.clone()), start);
    assert!(!takes(&election, &lease, start + LEASE));
    assert!(takes(&election, &lease, start + LEASE + Duration::from_millis(1)));
    let mut renewed = lease;
    renewed.spec.as_mut().unwrap().renew_time =
        Some(MicroTime("2030-01-01T00:00:00Z".parse().unwrap()));
    election.see(Some(renewed.clone()), start + LEASE);
    assert!(!takes(&election, &renewed, start + LEASE + LEASE));
}

#[tokio::test]
async fn what_a_stale_reader_writes_is_refused_because_it_names_the_version_it_has_read() {
    let Step::Write(lease) = candidate("a").step(Some(held_by("a")), clock::now()) else {
        panic!("a renewal expected");
    };
    assert_eq!(lease.metadata.resource_version.as_deref(), Some("7"));
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(1));
}

/// Says when it is dropped.
struct Dropped(Rc<Cell<Option<tokio::time::Instant>>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(Some(tokio::time::Instant::now()));
    }
}

#[tokio::test(start_paused = true)]
async fn work_that_does_not_end_is_dropped_before_another_s_may_begin() {
    // It takes connections and says nothing, as a network does that was cut.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut election = candidate_at(&format!("http://{}", silent.local_addr().unwrap()), "a");
    let start = clock::now();
    election.see(Some(held_by("a")), start);
    let (told, dropped) = (Rc::new(Cell::new(None)), Rc::new(Cell::new(None)));
    let work = |over: CancellationToken| {
        let (told, dropped) = (Rc::clone(&told), Dropped(Rc::clone(&dropped)));
        async move {
            let _dropped = dropped;
            over.cancelled().await;
            told.set(Some(tokio::time::Instant::now()));
            std::future::pending::<()>().await;
        }
    };
    election.hold(start, &CancellationToken::new(), work).await;
    let after = |at: &Cell<Option<tokio::time::Instant>>| at.get().unwrap().into_std() - start;
    assert!((RENEW_WITHIN..END_WITHIN).contains(&after(&told)), "{:?}", after(&told));
    assert!((END_WITHIN..LEASE).contains(&after(&dropped)), "{:?}", after(&dropped));
}
