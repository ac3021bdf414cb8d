use super::*;
use crate::{
    clock,
    upstream::{endpoint::EndpointState, health::FAILURES_MAX},
};
use llm_contract::{Served, Timeouts};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::StdRng};
use std::collections::HashSet;

fn endpoints(count: u16) -> Vec<Arc<Endpoint>> {
    let served =
        Served { endpoints: vec![], model: None, credential: None, timeouts: Timeouts::SERVED };
    (0..count)
        .map(|index| format!("http://10.0.0.1:{}", 8000 + index).parse().unwrap())
        .map(|url| {
            Arc::new(Endpoint::served(&url, &served, Arc::new(EndpointState::default())).unwrap())
        })
        .collect()
}

#[test]
fn the_endpoint_with_the_fewest_requests_is_chosen() {
    let endpoints = endpoints(3);
    let _first = endpoints[0].state.running.acquire();
    let _second = endpoints[1].state.running.acquire();
    let chosen = least_busy(&endpoints, &[], &mut StdRng::seed_from_u64(1)).unwrap();
    assert!(Arc::ptr_eq(chosen, &endpoints[2]));
}

#[test]
fn ties_are_broken_at_random() {
    let endpoints = endpoints(4);
    let mut random = StdRng::seed_from_u64(1);
    let chosen: HashSet<_> =
        (0..100).map(|_| least_busy(&endpoints, &[], &mut random).unwrap().name.clone()).collect();
    assert_eq!(chosen.len(), 4);
}

#[test]
fn an_ejected_endpoint_is_skipped() {
    let endpoints = endpoints(2);
    for _ in 0..FAILURES_MAX {
        endpoints[0].state.health.record_failure(clock::now());
    }
    for seed in 0..20 {
        let chosen = least_busy(&endpoints, &[], &mut StdRng::seed_from_u64(seed)).unwrap();
        assert!(Arc::ptr_eq(chosen, &endpoints[1]));
    }
}

proptest! {
    #[test]
    fn each_endpoint_is_tried_once_and_then_none(count in 0u16..8, seed: u64) {
        let endpoints = endpoints(count);
        let mut random = StdRng::seed_from_u64(seed);
        let mut tried = Vec::new();
        while let Some(endpoint) = least_busy(&endpoints, &tried, &mut random) {
            tried.push(endpoint);
        }
        prop_assert_eq!(tried.len(), usize::from(count));
    }
}
