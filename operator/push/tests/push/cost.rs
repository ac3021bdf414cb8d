//! The cost of a change is independent of the size of the table.

use crate::support::{Operator, change, now, routes};
use llm_contract::push::{Change, Kind, Name};

const KEYS: usize = 100_000;

fn table(models: usize) -> Change {
    let route = vec![b'r'; 800];
    let key = bytes::Bytes::from(vec![b'k'; 400]);
    let models = (0..models).map(|it| (routes(&format!("m/model-{it:04}")), route.clone().into()));
    let keys = (0..KEYS).map(|it| (Name::new(Kind::Key, format!("{it:016}")), key.clone()));
    Change { upserts: models.chain(keys).collect(), removals: Vec::new() }
}

#[tokio::test]
async fn a_change_costs_what_it_changes() {
    let mut costs = Vec::new();
    for models in [100, 1000, 5000] {
        let operator = Operator::start().await;
        operator.push.table().publish(table(models), now());
        let mut proxy = operator.proxy("p1").await;
        assert_eq!(proxy.follow().await.change.upserts.len(), models + KEYS);
        let before = operator.push.stats().bytes.get();
        operator.publish(&[("m/model-0042", "another")], &[]);
        let received = proxy.follow().await;
        assert_eq!(received.change, change(&[("m/model-0042", "another")], &[]));
        costs.push((operator.push.stats().bytes.get() - before, received.bytes));
    }
    assert_eq!(costs, [costs[0]; 3]);
    assert!(costs[0].1 < 200, "{costs:?}");
}
