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

fn table(change: Change) -> Table {
    let table = Table::new();
    assert_eq!(table.publish(change, clock::now()), Published::default());
    table
}

#[test]
fn nothing_is_known_before_the_first_change() {
    let table = Table::new();
    assert_eq!((table.since(None), table.digest()), (None, None));
    table.publish(Change::default(), clock::now());
    let delta = table.since(None).unwrap();
    assert_eq!((delta.from, delta.digest), (None, Digest::default()));
}

#[test]
fn a_change_that_changes_nothing_vanishes() {
    let table = table(put(&["m/a"], "1"));
    let mut watch = table.watch();
    watch.mark_unchanged();
    table.publish(put(&["m/a"], "1"), clock::now());
    table.publish(remove(&["m/z"]), clock::now());
    assert!(!watch.has_changed().unwrap());
    assert_eq!(table.since(table.digest()), None);
}

#[test]
fn changes_are_joined_to_the_latest_version_of_each_document() {
    let table = table(put(&["m/a", "m/b", "m/c"], "1"));
    let (start, base) = (clock::now(), table.digest());
    table.publish(put(&["m/a"], "2"), start);
    table.publish(put(&["m/a", "m/d"], "3"), start + Duration::from_secs(1));
    table.publish(remove(&["m/b", "m/d"]), start + Duration::from_secs(2));
    let delta = table.since(base).unwrap();
    assert_eq!((delta.from, delta.published), (base, Some(start)));
    let removals = remove(&["m/b", "m/d"]).removals;
    assert_eq!(delta.change, Change { removals, ..put(&["m/a"], "3") });
}

#[test]
fn a_table_that_came_back_is_the_base_it_was_last() {
    let table = table(put(&["m/a", "m/b"], "1"));
    let base = table.digest();
    table.publish(put(&["m/a"], "2"), clock::now());
    table.publish(put(&["m/a"], "1"), clock::now());
    assert_eq!(table.since(base), None);
    table.publish(put(&["m/b"], "2"), clock::now());
    assert_eq!(table.since(base).unwrap().change, put(&["m/b"], "2"));
}

#[test]
fn a_base_that_is_too_old_gets_the_whole_table() {
    let table = table(put(&["m/a", "m/b"], "1"));
    let old = table.digest();
    for version in 0..STEPS_MAX {
        table.publish(put(&["m/a"], &format!("v{version}")), clock::now());
    }
    assert_eq!(table.since(old).unwrap().from, old);
    table.publish(put(&["m/a"], "last"), clock::now());
    assert_eq!(table.since(old).unwrap().from, None);
    assert_eq!(table.inner.lock().steps.len(), STEPS_MAX);
}

#[test]
fn names_of_changes_are_remembered_up_to_a_number() {
    let names: Vec<String> = (0..NAMES_MAX).map(|it| format!("m/{it}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let table = table(put(&names, "1"));
    assert_eq!(table.inner.lock().names, NAMES_MAX);
    let base = table.digest();
    table.publish(put(&["m/0"], "2"), clock::now());
    assert_eq!(table.inner.lock().names, 1);
    assert_eq!(table.since(base).unwrap().change, put(&["m/0"], "2"));
}

#[test]
fn a_document_that_is_too_large_leaves_the_last_good_one() {
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
fn a_key_that_is_too_large_is_out_of_force() {
    let key = || Name::new(Kind::Key, "abcdefgh2345");
    let change = |document: Vec<u8>| Change {
        upserts: vec![(key(), document.into())],
        removals: Vec::new(),
    };
    let table = table(change(b"{}".to_vec()));
    let base = table.digest();
    let too_large = change(vec![b' '; DOCUMENT_BYTES_MAX + 1]);
    assert_eq!(table.publish(too_large, clock::now()).too_large.len(), 1);
    assert_eq!(table.since(base).unwrap().change.removals, [key()]);
}

#[test]
fn what_finds_no_room_goes_in_by_itself_when_another_leaves() {
    let table = Table::of(16);
    table.publish(put(&["m/a", "m/b"], "12345"), clock::now());
    let refused = table.publish(put(&["m/c", "m/d"], "123456"), clock::now());
    assert_eq!(
        refused.too_large[0].to_string(),
        "with routes m/c the table has 25 bytes, of at most 16; delete what is not needed"
    );
    assert_eq!((refused.too_large.len(), table.held_back()), (2, 2));
    assert_eq!(table.too_large(&name("m/c")).as_ref(), refused.too_large.first());
    assert_eq!(table.publish(remove(&["m/a"]), clock::now()), Published::default());
    let base = table.digest();

    let made_room = table.publish(put(&["m/b"], "1234"), clock::now());

    assert_eq!(made_room.fits_now, [name("m/c")]);
    assert_eq!((table.too_large(&name("m/c")), table.held_back()), (None, 1));
    let sent = table.since(base).unwrap().change.upserts;
    assert_eq!(
        sent.into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        [name("m/b"), name("m/c")]
    );
    table.publish(remove(&["m/d"]), clock::now());
    assert_eq!(table.held_back(), 0);
}

#[test]
fn what_is_too_large_is_so_until_it_changes() {
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

fn read(table: &Table, follower: &mut Option<Documents>) {
    let base = follower.as_ref().map(Documents::digest);
    let Some(delta) = table.since(base) else { return };
    let documents = follower.get_or_insert_default();
    match delta.from {
        Some(from) => assert_eq!(Some(from), base),
        None => *documents = Documents::default(),
    }
    documents.apply(delta.change);
    assert_eq!(documents.digest(), delta.digest);
}

proptest! {
    #[test]
    fn however_publishing_and_reading_alternate_all_end_with_one_table(steps in steps()) {
        let table = Table::new();
        table.publish(Change::default(), clock::now());
        let mut followers = [const { None::<Documents> }; 3];
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
                Step::Read(follower) => read(&table, &mut followers[follower]),
                Step::Forget(follower) => followers[follower] = None,
            }
        }
        for follower in &mut followers {
            read(&table, follower);
            prop_assert_eq!(follower.as_ref(), Some(&table.documents()));
        }
    }
}
