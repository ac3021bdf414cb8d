use super::*;
use crate::tables::Tables;
use llm_contract::{Hashing, KeyHash, KeyId, SecretKey, Table};
use proptest::prelude::*;
use std::sync::LazyLock;

/// An operator, and a proxy that applies its updates.
struct Both {
    operator: Documents,
    replica: TableReplica,
    tables: Tables,
    sequence: u64,
}

fn apply(tables: &Tables, changes: Changes) -> Vec<RejectedDocument> {
    tables.apply(changes).into_iter().map(RejectedDocument::from).collect()
}

impl Both {
    fn new() -> Self {
        Self {
            operator: Documents::default(),
            replica: TableReplica::new(Table::BYTES_MAX),
            tables: Tables::empty(),
            sequence: 0,
        }
    }

    fn update(&mut self, update: TableUpdate) -> Result<UpdateOutcome, InvalidUpdate> {
        self.replica.update(update, |changes| apply(&self.tables, changes))
    }

    /// The operator publishes, and the proxy applies it.
    fn publish(&mut self, edits: &[Edit]) -> UpdateOutcome {
        let update = self.compile(edits);
        self.update(update).unwrap()
    }

    fn compile(&mut self, edits: &[Edit]) -> TableUpdate {
        let from = self.operator.digest();
        let mut change = Change::default();
        for edits in edits {
            match edits.document() {
                (name, Some(text)) => change.upserts.push((name, text)),
                (name, None) => change.removals.push(name),
            }
        }
        self.operator.apply(change.clone());
        self.sequence += 1;
        let (sequence, digest) = (self.sequence, self.operator.digest());
        TableUpdate { sequence, from: Some(from), digest, change }
    }

    fn rejected(&self) -> Vec<String> {
        self.replica.rejected().map(|(name, why)| format!("{name}: {why}")).collect()
    }

    fn applied(&self) -> BTreeMap<Name, Bytes> {
        self.replica.applied().collect()
    }
}

/// One change by the operator.
#[derive(Clone, Debug)]
enum Edit {
    /// It has these models, in this version.
    Routes(u8, Vec<u8>, u32),
    BadRoutes(u8, u32),
    NoRoutes(u8),
    Key(u8, bool),
    BadKey(u8),
    NoKey(u8),
}

static HASH: LazyLock<KeyHash> = LazyLock::new(|| {
    let key = SecretKey::assemble(&KeyId::parse("abcdefgh2345").unwrap(), &[b'x'; 43]);
    KeyHash::of(&key, Hashing::MINTED, [7; 16], None).unwrap()
});

fn routes(resource: u8) -> Name {
    Name::new(Kind::Routes, format!("models/r{resource}"))
}

fn key(id: u8) -> Name {
    Name::new(Kind::Key, format!("abcdefgh234{}", char::from(b'a' + id)))
}

impl Edit {
    fn document(&self) -> (Name, Option<Bytes>) {
        let text = |text: String| Some(Bytes::from(text));
        match self {
            Self::Routes(resource, models, version) => {
                let route = |model: &u8| {
                    format!(
                        r#"{{"model": "m{model}", "access": {{"public": true}},
                            "limits": {{"concurrency": {version}}}, "upstream":
                            {{"served": {{"endpoints": ["http://10.0.0.{model}:8000"]}}}}}}"#
                    )
                };
                let models: BTreeSet<_> = models.iter().collect();
                let models: Vec<_> = models.into_iter().map(route).collect();
                (routes(*resource), text(format!(r#"{{"routes": [{}]}}"#, models.join(", "))))
            }
            Self::BadRoutes(resource, version) => {
                (routes(*resource), text(format!(r#"{{"rotues": {version}}}"#)))
            }
            Self::NoRoutes(resource) => (routes(*resource), None),
            Self::Key(id, suspended) => {
                let name = key(*id);
                let document = format!(
                    r#"{{"id": "{}", "clientId": "c", "owner": {{"name": "me"}}, "hash": "{}",
                        "suspended": {suspended}}}"#,
                    name.name, *HASH
                );
                (name, text(document))
            }
            Self::BadKey(id) => (key(*id), text(r#"{"id": 7}"#.to_owned())),
            Self::NoKey(id) => (key(*id), None),
        }
    }
}

#[test]
fn an_invalid_document_leaves_the_last_good_routes_but_removes_a_key() {
    let mut both = Both::new();
    both.publish(&[Edit::Routes(0, vec![0], 1), Edit::Key(0, false)]);
    let good = both.replica.documents.hash(&routes(0)).unwrap();
    let outcome = both.publish(&[Edit::BadRoutes(0, 1), Edit::BadKey(0)]);
    assert_eq!(both.applied().into_keys().collect::<Vec<_>>(), [routes(0)]);
    assert!(both.tables.snapshot().route("m0").is_some());
    assert!(both.tables.snapshot().keys.is_empty());
    let states = [wire::RouteState { name: "models/r0".into(), hash: good.get() }];
    assert_eq!(outcome.report.routes, states);
    let reasons: Vec<_> = outcome.report.rejected.iter().map(|it| &*it.reason).collect();
    assert!(reasons[0].contains("unknown field `rotues`"), "{reasons:?}");
    assert_eq!(reasons.len(), 2);
    assert_eq!(outcome.report.digest, both.operator.digest().to_vec());
    let outcome = both.publish(&[Edit::Routes(0, vec![1], 2), Edit::Key(0, false)]);
    assert!(outcome.report.rejected.is_empty() && both.rejected().is_empty());
    assert_eq!(both.tables.snapshot().keys.len(), 1);
}

#[test]
fn a_resource_whose_model_is_taken_is_rejected_until_the_model_is_free() {
    let mut both = Both::new();
    both.publish(&[Edit::Routes(0, vec![0], 1)]);
    let outcome = both.publish(&[Edit::Routes(1, vec![0], 1)]);
    assert_eq!(outcome.report.rejected[0].name, "models/r1");
    let reason = r#"the model "m0" is taken by models/r0"#;
    assert_eq!(outcome.report.rejected[0].reason, reason);
    assert_eq!(outcome.report.routes[0].hash, 0);
    let outcome = both.publish(&[Edit::NoRoutes(0)]);
    let in_force = both.replica.documents.hash(&routes(1)).unwrap().get();
    let states: Vec<_> = outcome.report.routes.iter().map(|it| (&*it.name, it.hash)).collect();
    assert_eq!(states, [("models/r0", 0), ("models/r1", in_force)]);
}

#[test]
fn an_invalid_resource_name_is_rejected_and_is_no_route() {
    let mut both = Both::new();
    let name = Name::new(Kind::Routes, "nowhere");
    let change = Change { upserts: vec![(name, "{}".into())], removals: Vec::new() };
    both.operator.apply(change.clone());
    let from = Some(both.replica.digest());
    let update = TableUpdate { sequence: 1, from, digest: both.operator.digest(), change };
    let outcome = both.update(update).unwrap();
    assert!(outcome.report.routes.is_empty() && both.replica.full_report().routes.is_empty());
    assert_eq!(outcome.report.rejected[0].name, "nowhere");
}

#[test]
fn a_snapshot_replaces_the_replica() {
    let mut both = Both::new();
    both.publish(&[Edit::Routes(0, vec![0], 1), Edit::Key(0, false), Edit::Key(1, false)]);
    let mut other = Both::new();
    let update = other.compile(&[Edit::Routes(1, vec![0], 1), Edit::Key(1, false)]);
    let outcome = both.update(TableUpdate { from: None, ..update }).unwrap();
    assert_eq!(outcome.update.change.removals, [routes(0), key(0)]);
    assert_eq!(outcome.update.change.upserts.len(), 1, "the other key is unchanged");
    assert!(both.rejected().is_empty());
    assert_eq!(both.replica.digest(), other.operator.digest());
}

#[test]
fn an_invalid_update_changes_nothing() {
    let mut both = Both::new();
    both.publish(&[Edit::Routes(0, vec![0], 1), Edit::Key(0, false)]);
    let before = both.replica.documents.clone();
    let edits = [Edit::Routes(0, vec![1], 2), Edit::NoKey(0), Edit::Key(1, false)];
    let good = both.compile(&edits);
    let of_another = TableUpdate { from: Some(Digest::default()), ..good.clone() };
    let error = both.update(of_another).unwrap_err();
    assert!(matches!(error, InvalidUpdate::OtherBase { .. }), "{error}");
    for from in [good.from, None] {
        let wrong = TableUpdate { from, digest: Digest::default(), ..good.clone() };
        let error = both.update(wrong).unwrap_err();
        assert!(matches!(error, InvalidUpdate::OtherDigest { .. }), "{error}");
    }
    both.replica.bytes_max = 10;
    let error = both.update(good.clone()).unwrap_err();
    assert_eq!(error, InvalidUpdate::TooLarge { bytes_max: 10 });
    assert_eq!(both.replica.documents, before);
    assert!(both.tables.snapshot().route("m0").is_some());
    both.replica.bytes_max = Table::BYTES_MAX;
    both.update(good).unwrap();
}

fn edits() -> impl Strategy<Value = Edit> {
    let models = proptest::collection::vec(0..4_u8, 1..3);
    prop_oneof![
        4 => (0..4_u8, models, 1..4_u32).prop_map(|(it, models, of)| Edit::Routes(it, models, of)),
        1 => (0..4_u8, 1..3_u32).prop_map(|(it, of)| Edit::BadRoutes(it, of)),
        2 => (0..4_u8).prop_map(Edit::NoRoutes),
        2 => (0..3_u8, any::<bool>()).prop_map(|(it, suspended)| Edit::Key(it, suspended)),
        1 => (0..3_u8).prop_map(Edit::BadKey),
        1 => (0..3_u8).prop_map(Edit::NoKey),
    ]
}

/// The tables must hold what the replica says is applied.
fn assert_consistent(both: &Both) -> Result<(), TestCaseError> {
    let snapshot = both.tables.snapshot();
    let in_force = both.applied();
    let mut keys = 0;
    let mut resources = 0;
    for (name, text) in &in_force {
        match Resource::parse(name, text).unwrap() {
            Resource::Routes(routes) => {
                resources += 1;
                for route in routes {
                    let llm_contract::RouteMatch::Model { id, .. } = &route.matches else {
                        continue;
                    };
                    prop_assert_eq!(&snapshot.route(id.as_str()).unwrap().route, &route);
                }
            }
            Resource::Key(record) => {
                keys += 1;
                prop_assert_eq!(&snapshot.keys.get(&record.id).unwrap().record, &*record);
            }
            Resource::Settings(_) | Resource::Issuers(_) => {}
        }
    }
    prop_assert_eq!((resources, keys), (snapshot.resources(), snapshot.keys.len()));
    Ok(())
}

type States = BTreeMap<String, u64>;

fn fold(states: &mut States, report: &wire::Applied) {
    for wire::RouteState { name, hash } in &report.routes {
        match hash {
            0 => states.remove(name),
            hash => states.insert(name.clone(), *hash),
        };
    }
}

proptest! {
    #[test]
    fn after_any_updates_replica_tables_reports_and_cache_agree(
        updates in proptest::collection::vec(proptest::collection::vec(edits(), 0..4), 0..8),
    ) {
        let mut both = Both::new();
        let mut states = States::new();
        for edits in updates {
            let outcome = both.publish(&edits);
            fold(&mut states, &outcome.report);
            prop_assert_eq!(both.replica.digest(), both.operator.digest());
            assert_consistent(&both)?;
        }
        let mut everything = States::new();
        fold(&mut everything, &both.replica.full_report());
        prop_assert_eq!(states, everything);

        let mut copy = Both::new();
        for update in both.replica.replay() {
            copy.update(update).unwrap();
        }
        prop_assert_eq!(copy.replica.digest(), both.replica.digest());
        prop_assert_eq!(copy.applied(), both.applied());
        prop_assert_eq!(copy.replica.rejected().len(), both.replica.rejected().len());
        assert_consistent(&copy)?;
    }
}
