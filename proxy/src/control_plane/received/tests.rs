use super::*;
use crate::tables::Tables;
use llm_contract::{Hashing, KeyHash, KeyId, SecretKey, Table};
use proptest::prelude::*;
use std::sync::LazyLock;

/// An operator, and a proxy that takes what it says.
struct Both {
    operator: Documents,
    received: Received,
    tables: Tables,
    sequence: u64,
}

fn apply(tables: &Tables, changes: Changes) -> Vec<NotApplied> {
    let not_applied = |it: crate::tables::Refused| NotApplied {
        name: it.name,
        reason: it.conflict.to_string(),
        keeps_last: it.keeps_last,
    };
    tables.apply(changes).into_iter().map(not_applied).collect()
}

impl Both {
    fn new() -> Self {
        Self {
            operator: Documents::default(),
            received: Received::new(Table::BYTES_MAX),
            tables: Tables::empty(),
            sequence: 0,
        }
    }

    fn take(&mut self, update: Update) -> Result<Outcome, InvalidUpdate> {
        self.received.take(update, |changes| apply(&self.tables, changes))
    }

    /// The operator says this, and the proxy hears it.
    fn say(&mut self, said: &[Said]) -> Outcome {
        let update = self.update(said);
        self.take(update).unwrap()
    }

    fn update(&mut self, said: &[Said]) -> Update {
        let from = self.operator.digest();
        let mut change = Change::default();
        for said in said {
            match said.document() {
                (name, Some(text)) => change.upserts.push((name, text)),
                (name, None) => change.removals.push(name),
            }
        }
        self.operator.apply(change.clone());
        self.sequence += 1;
        let (sequence, digest) = (self.sequence, self.operator.digest());
        Update { sequence, from: Some(from), digest, change }
    }

    fn refused(&self) -> Vec<String> {
        self.received.refused().map(|(name, why)| format!("{name}: {why}")).collect()
    }

    fn in_force(&self) -> BTreeMap<Name, Bytes> {
        self.received.in_force().collect()
    }
}

/// What an operator may say of a resource.
#[derive(Clone, Debug)]
enum Said {
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

impl Said {
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
fn a_document_that_cannot_be_read_leaves_the_last_good_routes_and_ends_a_key() {
    let mut both = Both::new();
    both.say(&[Said::Routes(0, vec![0], 1), Said::Key(0, false)]);
    let good = both.received.documents.hash(&routes(0)).unwrap();
    let outcome = both.say(&[Said::BadRoutes(0, 1), Said::BadKey(0)]);
    assert_eq!(both.in_force().into_keys().collect::<Vec<_>>(), [routes(0)]);
    assert!(both.tables.snapshot().route("m0").is_some());
    assert!(both.tables.snapshot().keys.is_empty());
    let states = [wire::RouteState { name: "models/r0".into(), hash: good.get() }];
    assert_eq!(outcome.report.routes, states);
    let reasons: Vec<_> = outcome.report.refusals.iter().map(|it| &*it.reason).collect();
    assert!(reasons[0].contains("unknown field `rotues`"), "{reasons:?}");
    assert_eq!(reasons.len(), 2);
    assert_eq!(outcome.report.digest, both.operator.digest().to_vec());
    let outcome = both.say(&[Said::Routes(0, vec![1], 2), Said::Key(0, false)]);
    assert!(outcome.report.refusals.is_empty() && both.refused().is_empty());
    assert_eq!(both.tables.snapshot().keys.len(), 1);
}

#[test]
fn a_resource_whose_name_is_taken_is_reported_and_comes_into_force_by_itself() {
    let mut both = Both::new();
    both.say(&[Said::Routes(0, vec![0], 1)]);
    let outcome = both.say(&[Said::Routes(1, vec![0], 1)]);
    assert_eq!(outcome.report.refusals[0].name, "models/r1");
    let reason = r#"the model "m0" is taken by models/r0"#;
    assert_eq!(outcome.report.refusals[0].reason, reason);
    assert_eq!(outcome.report.routes[0].hash, 0);
    let outcome = both.say(&[Said::NoRoutes(0)]);
    let in_force = both.received.documents.hash(&routes(1)).unwrap().get();
    let states: Vec<_> = outcome.report.routes.iter().map(|it| (&*it.name, it.hash)).collect();
    assert_eq!(states, [("models/r0", 0), ("models/r1", in_force)]);
}

#[test]
fn a_name_that_no_custom_resource_has_is_refused_and_is_no_route() {
    let mut both = Both::new();
    let name = Name::new(Kind::Routes, "nowhere");
    let change = Change { upserts: vec![(name, "{}".into())], removals: Vec::new() };
    both.operator.apply(change.clone());
    let from = Some(both.received.digest());
    let update = Update { sequence: 1, from, digest: both.operator.digest(), change };
    let outcome = both.take(update).unwrap();
    assert!(outcome.report.routes.is_empty() && both.received.everything().routes.is_empty());
    assert_eq!(outcome.report.refusals[0].name, "nowhere");
}

#[test]
fn a_whole_table_replaces_what_was_there() {
    let mut both = Both::new();
    both.say(&[Said::Routes(0, vec![0], 1), Said::Key(0, false), Said::Key(1, false)]);
    let mut other = Both::new();
    let update = other.update(&[Said::Routes(1, vec![0], 1), Said::Key(1, false)]);
    let outcome = both.take(Update { from: None, ..update }).unwrap();
    assert_eq!(outcome.update.change.removals, [routes(0), key(0)]);
    assert_eq!(outcome.update.change.upserts.len(), 1, "the other key is as it was");
    assert!(both.refused().is_empty());
    assert_eq!(both.received.digest(), other.operator.digest());
}

#[test]
fn an_update_that_does_not_fit_changes_nothing() {
    let mut both = Both::new();
    both.say(&[Said::Routes(0, vec![0], 1), Said::Key(0, false)]);
    let before = both.received.documents.clone();
    let said = [Said::Routes(0, vec![1], 2), Said::NoKey(0), Said::Key(1, false)];
    let good = both.update(&said);
    let of_another = Update { from: Some(Digest::default()), ..good.clone() };
    let refused = both.take(of_another).unwrap_err();
    assert!(matches!(refused, InvalidUpdate::OtherTable { .. }), "{refused}");
    for from in [good.from, None] {
        let wrong = Update { from, digest: Digest::default(), ..good.clone() };
        let refused = both.take(wrong).unwrap_err();
        assert!(matches!(refused, InvalidUpdate::OtherDigest { .. }), "{refused}");
    }
    both.received.bytes_max = 10;
    let refused = both.take(good.clone()).unwrap_err();
    assert_eq!(refused, InvalidUpdate::TooLarge { bytes_max: 10 });
    assert_eq!(both.received.documents, before);
    assert!(both.tables.snapshot().route("m0").is_some());
    both.received.bytes_max = Table::BYTES_MAX;
    both.take(good).unwrap();
}

fn said() -> impl Strategy<Value = Said> {
    let models = proptest::collection::vec(0..4_u8, 1..3);
    prop_oneof![
        4 => (0..4_u8, models, 1..4_u32).prop_map(|(it, models, of)| Said::Routes(it, models, of)),
        1 => (0..4_u8, 1..3_u32).prop_map(|(it, of)| Said::BadRoutes(it, of)),
        2 => (0..4_u8).prop_map(Said::NoRoutes),
        2 => (0..3_u8, any::<bool>()).prop_map(|(it, suspended)| Said::Key(it, suspended)),
        1 => (0..3_u8).prop_map(Said::BadKey),
        1 => (0..3_u8).prop_map(Said::NoKey),
    ]
}

/// What the tables themselves have in force must be what the books say.
fn assert_books(both: &Both) -> Result<(), TestCaseError> {
    let snapshot = both.tables.snapshot();
    let in_force = both.in_force();
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

fn fold(states: &mut States, report: &wire::InForce) {
    for wire::RouteState { name, hash } in &report.routes {
        match hash {
            0 => states.remove(name),
            hash => states.insert(name.clone(), *hash),
        };
    }
}

proptest! {
    #[test]
    fn after_any_updates_books_tables_reports_and_copies_agree(
        updates in proptest::collection::vec(proptest::collection::vec(said(), 0..4), 0..8),
    ) {
        let mut both = Both::new();
        let mut states = States::new();
        for said in updates {
            let outcome = both.say(&said);
            fold(&mut states, &outcome.report);
            prop_assert_eq!(both.received.digest(), both.operator.digest());
            assert_books(&both)?;
        }
        let mut everything = States::new();
        fold(&mut everything, &both.received.everything());
        prop_assert_eq!(states, everything);

        let mut copy = Both::new();
        for update in both.received.replay() {
            copy.take(update).unwrap();
        }
        prop_assert_eq!(copy.received.digest(), both.received.digest());
        prop_assert_eq!(copy.in_force(), both.in_force());
        prop_assert_eq!(copy.received.refused().len(), both.received.refused().len());
        assert_books(&copy)?;
    }
}
