use super::*;
use crate::system_random;
use llm_contract::{Chain, ModelPattern, Owner};
use std::{collections::HashSet, sync::Barrier};
use tempfile::TempDir;

fn store() -> (TempDir, FileStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::at(folder.path().join("data"));
    (folder, store)
}

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

fn laptop() -> NewKey {
    NewKey {
        name: "laptop".into(),
        owner: Owner { name: "me".into(), groups: vec![] },
        models: vec![ModelPattern::parse("*").unwrap()],
        not_before: None,
        expires_at: None,
        concurrency: None,
    }
}

fn create(store: &FileStore) -> (StoredKey, SecretKey) {
    store.create(laptop(), now(), &mut system_random).unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_key_is_there_for_every_store_of_the_folder() {
    let (_folder, store) = store();
    let (stored, key) = create(&store);
    let read = FileStore::at(&store.folder).read().unwrap();
    assert_eq!(read.list(), [stored]);
    assert!(read.list()[0].hash.matches(&key, None));
}

#[test]
fn reading_creates_nothing() {
    let (_folder, store) = store();
    assert!(store.read().unwrap().list().is_empty());
    assert!(!store.folder.exists());
}

#[test]
fn only_the_owner_may_read_what_is_written() {
    let (_folder, store) = store();
    create(&store);
    assert_eq!(mode(&store.folder), 0o700);
    assert_eq!(mode(&store.path()), 0o600);
    assert_eq!(mode(&store.folder.join(FILE_LOCK)), 0o600);
}

#[test]
fn a_file_left_by_a_crash_is_ignored_and_replaced() {
    let (_folder, store) = store();
    create(&store);
    let left = store.folder.join(FILE_NEW);
    fs::write(&left, r#"{"version": 1, "ke"#).unwrap();
    fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(store.read().unwrap().list().len(), 1);
    create(&store);
    assert_eq!(store.read().unwrap().list().len(), 2);
    assert_eq!(mode(&store.path()), 0o600);
    assert!(!left.exists());
}

#[test]
fn writers_at_the_same_time_lose_nothing() {
    const WRITERS: usize = 2;
    const KEYS: usize = 50;
    let (_folder, store) = store();
    let start = Barrier::new(WRITERS);
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..KEYS {
                    create(&FileStore::at(&store.folder));
                }
            });
        }
    });
    let ids: HashSet<_> = store.read().unwrap().list().iter().map(|key| key.id).collect();
    assert_eq!(ids.len(), WRITERS * KEYS);
}

#[test]
fn a_damaged_file_is_left_as_it_is_and_named_with_its_line() {
    let (_folder, store) = store();
    create(&store);
    let damaged = "{\n  \"version\": 1,\n  \"keys\": [{\"id\": \"abcdefgh2345\", nonsense";
    fs::write(store.path(), damaged).unwrap();
    let refused = store.create(laptop(), now(), &mut system_random).unwrap_err();
    assert_eq!(fs::read_to_string(store.path()).unwrap(), damaged);
    let text = Chain(&refused).to_string();
    assert!(text.starts_with(&store.path().display().to_string()), "{text}");
    assert!(text.contains("restore it from a backup") && text.contains("line 3"), "{text}");
}

#[test]
fn a_change_that_is_refused_writes_nothing() {
    let (_folder, store) = store();
    create(&store);
    let before = fs::read(store.path()).unwrap();
    let id = KeyId::parse("abcdefgh2345").unwrap();
    let refused = store.revoke(id, now()).unwrap_err();
    assert_eq!(refused.to_string(), "there is no key abcdefgh2345");
    assert_eq!(fs::read(store.path()).unwrap(), before);
}

#[test]
fn a_key_is_suspended_resumed_rotated_and_revoked() {
    let (_folder, store) = store();
    let (first, key) = create(&store);
    assert!(store.suspend(first.id).unwrap().suspended);
    assert!(!store.resume(first.id).unwrap().suspended);
    let hour = Duration::from_secs(3600);
    let (second, second_key) = store.rotate(first.id, hour, now(), &mut system_random).unwrap();
    assert_eq!(second.replaces, Some(first.id));
    assert_ne!(key.reveal(), second_key.reveal());
    store.revoke(first.id, now()).unwrap();
    let sent: Vec<_> = store.read().unwrap().documents().iter().map(|key| key.id).collect();
    assert_eq!(sent, [second.id]);
}

#[test]
fn a_key_in_clear_is_in_no_file() {
    let (_folder, store) = store();
    let (stored, key) = create(&store);
    let secret = key.reveal().rsplit('-').next().unwrap();
    for entry in fs::read_dir(&store.folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(secret), "{} {text}", stored.id);
    }
}

#[test]
fn a_lock_that_is_never_released_is_named_with_its_holder() {
    let (_folder, store) = store();
    create(&store);
    let _held = store.lock(1).unwrap();
    let text = store.lock(1).unwrap_err().to_string();
    assert!(text.contains("keys.lock has been locked by process"), "{text}");
    assert!(text.contains(&std::process::id().to_string()) && text.contains("5 s"), "{text}");
}

#[test]
fn a_folder_that_cannot_be_created_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let refused = FileStore::at(file.join("data")).create(laptop(), now(), &mut system_random);
    let text = Chain(&refused.unwrap_err()).to_string();
    assert!(text.starts_with("cannot create the folder ") && text.contains("file/data"), "{text}");
}
