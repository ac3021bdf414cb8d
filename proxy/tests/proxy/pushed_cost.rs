//! The cost of a change is independent of the size of the table. It is measured in allocated
//! bytes: these are reproducible, and everything copied or created is allocated.

use crate::support::{LIMITS, Proxy, record, served};
use llm_contract::{
    Table,
    push::{Change, Digest, Documents, Kind, Name},
};
use llm_proxy::control_plane::{TableApplier, reassembly::TableUpdate};
use serde_json::json;
use std::sync::Arc;

fn model(number: usize, port: u16) -> Change {
    let endpoints = [format!("http://10.0.0.5:{port}")];
    let document = json!({ "routes": [served(&format!("m{number}"), &endpoints)] });
    let name = Name::new(Kind::Routes, format!("models/m{number}"));
    Change { upserts: vec![(name, document.to_string().into())], removals: Vec::new() }
}

fn key(number: usize, group: &str) -> Change {
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let letter = |place: usize| char::from(letters[(number >> (5 * place)) & 31]);
    let id: String = (0..12).map(|place| letter(place.min(11))).collect();
    let name = Name::new(Kind::Key, id.as_str());
    let document = json!({ "record": record("abcdefgh2345", &[group]) });
    let mut document = document["record"].clone();
    document["id"] = id.into();
    Change { upserts: vec![(name, document.to_string().into())], removals: Vec::new() }
}

/// The bytes allocated to apply a change.
fn cost(applier: &TableApplier, operator: &mut Documents, change: Change) -> u64 {
    let from: Option<Digest> = Some(operator.digest());
    operator.apply(change.clone());
    let update = TableUpdate { sequence: 1, from, digest: operator.digest(), change };
    let measured = allocation_counter::measure(|| {
        applier.apply_update(update).unwrap();
    });
    measured.bytes_total
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_costs_the_same_among_a_hundred_models_and_among_five_thousand() {
    let mut costs = Vec::new();
    for models in [100, 1000, 5000] {
        let proxy = Proxy::without_table(LIMITS);
        let applier = TableApplier::new(Arc::clone(&proxy.gateway), Table::BYTES_MAX);
        let mut operator = Documents::default();
        let mut whole = Change::default();
        for number in 0..models {
            whole.upserts.extend(model(number, 8000).upserts);
            whole.upserts.extend(key(number, "ml-team").upserts);
        }
        cost(&applier, &mut operator, whole);
        assert_eq!(proxy.gateway.tables.snapshot().keys.len(), models);
        let mut of = |change| cost(&applier, &mut operator, change);
        costs.push((models, of(model(7, 8001)), of(key(7, "others")), of(model(models, 8000))));
    }
    println!("models, bytes for another endpoint, for a key, for a new model: {costs:?}");
    let (first, last) = (costs[0], costs[2]);
    for (few, many) in [(first.1, last.1), (first.2, last.2), (first.3, last.3)] {
        // A level more in the trees that the maps are; fifty times the models.
        assert!(many < 3 * few, "{costs:?}");
    }
}
