use super::{
    journal::{InvalidJournal, decode},
    writer::CHANGES_BYTES_MIN,
    *,
};
use crate::control_plane::{
    reassembly::{InvalidUpdate, TableUpdate},
    replica::TableReplica,
};
use llm_contract::{
    Table,
    push::{Change, Documents, Kind, Name, UpdateChunks},
};
use prometheus_client::metrics::counter::Counter;
use proptest::prelude::*;
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

/// A replica with a cache, and an operator.
struct Fixture {
    folder: TempDir,
    operator: Documents,
    replica: TableReplica,
    cache: TableCache,
    tasks: TaskTracker,
    failures: Counter,
}

/// Upserts a valid document of this size, or removes it if 0.
fn change(name: usize, bytes: usize) -> Change {
    let name = Name::new(Kind::Routes, format!("models/m{name}"));
    match bytes {
        0 => Change { upserts: Vec::new(), removals: vec![name] },
        bytes => {
            let mut text = r#"{"routes": []}"#.to_owned();
            text.extend(std::iter::repeat_n(' ', bytes.saturating_sub(text.len())));
            Change { upserts: vec![(name, text.into())], removals: Vec::new() }
        }
    }
}

fn update(operator: &mut Documents, change: Change) -> TableUpdate {
    let from = Some(operator.digest());
    operator.apply(change.clone());
    TableUpdate { sequence: 1, from, digest: operator.digest(), change }
}

impl Fixture {
    fn new() -> Self {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), TaskTracker::new());
        let failures = Counter::default();
        let dir = CacheDir::open(folder.path()).unwrap();
        let cache = TableCache::start(dir, &tasks, failures.clone());
        let (operator, replica) = (Documents::default(), TableReplica::new(Table::BYTES_MAX));
        Self { folder, operator, replica, cache, tasks, failures }
    }

    fn publish(&mut self, change: Change) {
        let update = update(&mut self.operator, change);
        let outcome = self.replica.update(update, |_| Vec::new()).unwrap();
        self.cache.record(&self.replica, &outcome.update);
    }

    fn file(&self) -> PathBuf {
        CacheDir::open(self.folder.path()).unwrap().file()
    }

    fn read(&self) -> Option<Documents> {
        let cached = CacheDir::open(self.folder.path()).unwrap().read().unwrap()?;
        Some(table(&cached.updates))
    }

    /// Waits until the last change is on disk.
    async fn written(&self) {
        eventually(|| self.read().is_some_and(|it| it == self.operator)).await;
    }
}

/// A whole file.
fn encode(updates: &[TableUpdate]) -> Vec<u8> {
    let mut file = journal::header();
    updates.iter().for_each(|it| journal::write(&mut file, it.clone()).unwrap());
    file
}

fn table(updates: &[TableUpdate]) -> Documents {
    let mut documents = Documents::default();
    updates.iter().for_each(|update| documents.apply(update.change.clone()));
    documents
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(ticks.tick().await < deadline, "timed out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_table_is_read_again_and_private() {
    let mut fixture = Fixture::new();
    assert!(fixture.read().is_none());
    for (name, bytes) in [(1, 20), (2, 30), (1, 0), (2, 40), (3, 50)] {
        fixture.publish(change(name, bytes));
        fixture.written().await;
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = fixture.file();
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(fixture.failures.get(), 0);
    let Fixture { cache, tasks, .. } = fixture;
    drop(cache);
    tasks.close();
    tasks.wait().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_costs_what_it_changes() {
    let mut fixture = Fixture::new();
    for name in 0..2000 {
        let update = update(&mut fixture.operator, change(name, 500));
        fixture.replica.update(update, |_| Vec::new()).unwrap();
    }
    fixture.publish(change(0, 400));
    fixture.written().await;
    let length = || fs::metadata(fixture.file()).unwrap().len();
    let before = length();
    assert!(2000 * 500 < before);
    fixture.publish(change(7, 600));
    fixture.written().await;
    let length = fs::metadata(fixture.file()).unwrap().len();
    assert!((600..800).contains(&(length - before)), "{before} {length}");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_outgrow_the_table_are_replaced_by_a_snapshot() {
    let mut fixture = Fixture::new();
    for round in 0..500 {
        fixture.publish(change(round % 2, 4000 + round));
    }
    // Lost writes are repeated with the next heartbeat.
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    for _ in 0..10_000 {
        fixture.publish(Change::default());
        if fixture.read().is_some_and(|it| it == fixture.operator) {
            break;
        }
        ticks.tick().await;
    }
    fixture.written().await;
    let length = fs::metadata(fixture.file()).unwrap().len();
    assert!(length < 2 * CHANGES_BYTES_MIN as u64, "{length}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_write_is_counted_and_repeated() {
    let mut fixture = Fixture::new();
    fixture.publish(change(1, 20));
    fixture.written().await;
    let folder = fixture.file().parent().unwrap().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "no folder").unwrap();
    // Large enough to force a snapshot.
    fixture.publish(change(2, 2 * CHANGES_BYTES_MIN));
    eventually(|| 0 < fixture.failures.get()).await;
    fs::remove_file(&folder).unwrap();
    CacheDir::open(fixture.folder.path()).unwrap();
    // A heartbeat is enough.
    fixture.publish(Change::default());
    fixture.written().await;
}

#[test]
fn an_update_of_many_records_is_read_completely_or_not_at_all() {
    let mut operator = Documents::default();
    let parts = [change(0, UpdateChunks::BYTES), change(1, UpdateChunks::BYTES), change(2, 100)];
    let upserts = parts.into_iter().flat_map(|it| it.upserts).collect();
    let update = update(&mut operator, Change { upserts, removals: Vec::new() });
    assert_eq!(journal::chunks(update.clone()).count(), 3);
    let file = encode(&[TableUpdate { from: None, ..update }]);
    assert_eq!(table(&decode(&*file).unwrap()), operator);
    let torn = file.get(..file.len() - 1).unwrap();
    assert!(decode(torn).unwrap().is_empty());
}

#[test]
fn updates_that_do_not_continue_from_each_other_are_rejected() {
    let mut operator = Documents::default();
    let first = TableUpdate { from: None, ..update(&mut operator, change(1, 20)) };
    let second = update(&mut operator, change(2, 20));
    let third = update(&mut operator, change(1, 0));
    assert_eq!(decode(&*encode(&[first.clone(), second, third.clone()])).unwrap().len(), 3);
    let error = decode(&*encode(&[first, third])).unwrap_err();
    assert!(matches!(error, InvalidJournal::Update(InvalidUpdate::OtherBase { .. })));
}

proptest! {
    #[test]
    fn a_truncated_journal_is_a_former_table_and_a_corrupt_one_is_none(
        changes in proptest::collection::vec((0..4_usize, 0..60_usize), 1..6),
        cut: prop::sample::Index,
        damaged: prop::sample::Index,
        by in 1..=255_u8,
    ) {
        let (mut operator, mut file_updates) = (Documents::default(), Vec::new());
        let mut tables = vec![Documents::default()];
        for (name, bytes) in changes {
            file_updates.push(update(&mut operator, change(name, bytes)));
            tables.push(operator.clone());
        }
        let file = encode(&file_updates);
        let torn = file.get(..cut.index(file.len() + 1)).unwrap();
        if let Ok(read) = decode(torn) {
            prop_assert!(tables.contains(&table(&read)));
        }
        let mut file = file;
        let at = damaged.index(file.len());
        *file.get_mut(at).unwrap() ^= by;
        prop_assert!(decode(&*file).is_err());
    }
}
