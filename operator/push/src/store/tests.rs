use super::*;
use crate::clock;
use bytes::Bytes;
use llm_contract::push::Kind;
use proptest::prelude::*;
use std::time::Duration;

fn name(name: &str) -> Name {
    Name::new(Kind::Routes, name)
}

fn put(names: &[&str], document: &str) -> Change {
    let upsert = |it: &&str| (name(it), Bytes::copy_from_slice(document.as_bytes()));
    Change { upserts: names.iter().map(upsert).collect(), removals: Vec::new() }
}

fn remove(names: &[&str]) -> Change {
    Change { upserts: Vec::new(), removals: names.iter().map(|it| name(it)).collect() }
}

fn table(change: Change) -> DocumentStore {
    let table = DocumentStore::new();
    assert_eq!(table.publish(change, clock::now()), PublishOutcome::default());
    table
}

#[test]
fn there_is_no_delta_before_the_first_publish() {
    let table = DocumentStore::new();
    assert_eq!((table.delta(None), table.digest()), (None, None));
    table.publish(Change::default(), clock::now());
    let delta = table.delta(None).unwrap();
    assert_eq!((delta.from, delta.digest), (None, Digest::default()));
}

#[test]
fn a_change_without_effect_is_not_published() {
    let table = table(put(&["m/a"], "1"));
    let mut watch = table.watch();
    watch.mark_unchanged();
    table.publish(put(&["m/a"], "1"), clock::now());
    table.publish(remove(&["m/z"]), clock::now());
    assert!(!watch.has_changed().unwrap());
    assert_eq!(table.delta(table.digest()), None);
}

#[test]
fn changes_are_merged_to_the_latest_version_of_each_document() {
    let table = table(put(&["m/a", "m/b", "m/c"], "1"));
    let (start, base) = (clock::now(), table.digest());
    table.publish(put(&["m/a"], "2"), start);
    table.publish(put(&["m/a", "m/d"], "3"), start + Duration::from_secs(1));
    table.publish(remove(&["m/b", "m/d"]), start + Duration::from_secs(2));
    let delta = table.delta(base).unwrap();
    assert_eq!((delta.from, delta.published), (base, Some(start)));
    let removals = remove(&["m/b", "m/d"]).removals;
    assert_eq!(delta.change, Change { removals, ..put(&["m/a"], "3") });
}

#[test]
fn a_digest_that_recurs_is_its_latest_revision() {
    let table = table(put(&["m/a", "m/b"], "1"));
    let base = table.digest();
    table.publish(put(&["m/a"], "2"), clock::now());
    table.publish(put(&["m/a"], "1"), clock::now());
    assert_eq!(table.delta(base), None);
    table.publish(put(&["m/b"], "2"), clock::now());
    assert_eq!(table.delta(base).unwrap().change, put(&["m/b"], "2"));
}

#[test]
fn a_base_older_than_the_log_gets_a_snapshot() {
    let table = table(put(&["m/a", "m/b"], "1"));
    let old = table.digest();
    for version in 0..REVISIONS_MAX {
        table.publish(put(&["m/a"], &format!("v{version}")), clock::now());
    }
    assert_eq!(table.delta(old).unwrap().from, old);
    table.publish(put(&["m/a"], "last"), clock::now());
    assert_eq!(table.delta(old).unwrap().from, None);
    assert_eq!(table.inner.lock().revisions.len(), REVISIONS_MAX);
}

#[test]
fn the_names_in_the_log_are_bounded() {
    let names: Vec<String> = (0..NAMES_MAX).map(|it| format!("m/{it}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let table = table(put(&names, "1"));
    assert_eq!(table.inner.lock().names, NAMES_MAX);
    let base = table.digest();
    table.publish(put(&["m/0"], "2"), clock::now());
    assert_eq!(table.inner.lock().names, 1);
    assert_eq!(table.delta(base).unwrap().change, put(&["m/0"], "2"));
}

#[test]
fn an_oversized_document_leaves_the_last_good_one() {
    let table = table(put(&["m/a"], "1"));
    let large = vec![b' '; DOCUMENT_BYTES_MAX + 1].into();
    let mut change = put(&["m/b"], "1");
    change.upserts.push((name("m/a"), large));
    let refused = table.publish(change, clock::now()).too_large;
    let [refused] = &*refused else { panic!("{refused:?}") };
    assert_eq!(
        refused.to_string(),
        "routes m/a has 3145729 bytes, of at most 3145728; declare fewer models in it"
    );
    assert_eq!(table.documents().get(&name("m/a")).unwrap(), "1");
    assert!(table.hash(&name("m/b")).is_some());
}

#[test]
fn an_oversized_key_is_removed() {
    let key = || Name::new(Kind::Key, "abcdefgh2345");
    let change = |document: Vec<u8>| Change {
        upserts: vec![(key(), document.into())],
        removals: Vec::new(),
    };
    let table = table(change(b"{}".to_vec()));
    let base = table.digest();
    let too_large = change(vec![b' '; DOCUMENT_BYTES_MAX + 1]);
    assert_eq!(table.publish(too_large, clock::now()).too_large.len(), 1);
    assert_eq!(table.delta(base).unwrap().change.removals, [key()]);
}

#[test]
fn a_document_without_room_is_published_when_there_is_room() {
    let table = DocumentStore::with_limit(16);
    table.publish(put(&["m/a", "m/b"], "12345"), clock::now());
    let refused = table.publish(put(&["m/c", "m/d"], "123456"), clock::now());
    assert_eq!(
        refused.too_large[0].to_string(),
        "with routes m/c the table has 25 bytes, of at most 16; delete what is not needed"
    );
    assert_eq!((refused.too_large.len(), table.oversized()), (2, 2));
    assert_eq!(table.too_large(&name("m/c")).as_ref(), refused.too_large.first());
    assert_eq!(table.publish(remove(&["m/a"]), clock::now()), PublishOutcome::default());
    let base = table.digest();

    let made_room = table.publish(put(&["m/b"], "1234"), clock::now());

    assert_eq!(made_room.fits_now, [name("m/c")]);
    assert_eq!((table.too_large(&name("m/c")), table.oversized()), (None, 1));
    let sent = table.delta(base).unwrap().change.upserts;
    assert_eq!(
        sent.into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        [name("m/b"), name("m/c")]
    );
    table.publish(remove(&["m/d"]), clock::now());
    assert_eq!(table.oversized(), 0);
}

#[test]
fn an_oversized_document_stays_so_until_it_changes() {
    let table = table(put(&["m/a"], "1"));
    let large = String::from_utf8(vec![b' '; DOCUMENT_BYTES_MAX + 1]).unwrap();
    table.publish(put(&["m/a"], &large), clock::now());
    table.publish(put(&["m/b"], "1"), clock::now());
    assert!(matches!(table.too_large(&name("m/a")), Some(TooLarge::Document { .. })));
    let fits = table.publish(put(&["m/a"], "2"), clock::now());
    assert_eq!((fits.fits_now, fits.too_large), (vec![name("m/a")], Vec::new()));
    assert_eq!(table.too_large(&name("m/a")), None);
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<(u8, Option<u8>)>),
    Read(usize),
    Forget(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let documents = proptest::collection::vec((0_u8..6, proptest::option::of(0_u8..3)), 0..4);
    let step = prop_oneof![
        3 => documents.prop_map(Step::Publish),
        3 => (0_usize..3).prop_map(Step::Read),
        1 => (0_usize..3).prop_map(Step::Forget),
    ];
    proptest::collection::vec(step, 0..40)
}

fn read(table: &DocumentStore, subscriber: &mut Option<Documents>) {
    let base = subscriber.as_ref().map(Documents::digest);
    let Some(delta) = table.delta(base) else { return };
    let documents = subscriber.get_or_insert_default();
    match delta.from {
        Some(from) => assert_eq!(Some(from), base),
        None => *documents = Documents::default(),
    }
    documents.apply(delta.change);
    assert_eq!(documents.digest(), delta.digest);
}

proptest! {
    #[test]
    fn all_subscribers_converge_however_publishing_and_reading_alternate(steps in steps()) {
        let table = DocumentStore::new();
        table.publish(Change::default(), clock::now());
        let mut subscribers = [const { None::<Documents> }; 3];
        for step in steps {
            match step {
                Step::Publish(documents) => {
                    let mut change = Change::default();
                    for (document, version) in documents {
                        let name = name(&format!("m/{document}"));
                        match version {
                            Some(version) => change.upserts.push((name, version.to_string().into())),
                            None => change.removals.push(name),
                        }
                    }
                    table.publish(change, clock::now());
                }
                Step::Read(subscriber) => read(&table, &mut subscribers[subscriber]),
                Step::Forget(subscriber) => subscribers[subscriber] = None,
            }
        }
        for subscriber in &mut subscribers {
            read(&table, subscriber);
            prop_assert_eq!(subscriber.as_ref(), Some(&table.documents()));
        }
    }
}
