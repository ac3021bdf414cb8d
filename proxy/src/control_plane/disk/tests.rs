use super::*;
use llm_contract::push::{Change, Kind, Name};
use proptest::prelude::*;
use std::{os::unix::fs::PermissionsExt, time::Duration};
use tempfile::TempDir;

/// A proxy that keeps what an operator says.
struct Keeping {
    folder: TempDir,
    operator: Documents,
    received: Received,
    disk: Disk,
    tasks: TaskTracker,
    failures: Counter,
}

/// A good document of so many bytes; none at all for 0.
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

fn said(operator: &mut Documents, change: Change) -> Update {
    let from = Some(operator.digest());
    operator.apply(change.clone());
    Update { sequence: 1, from, digest: operator.digest(), change }
}

impl Keeping {
    fn new() -> Self {
        let (folder, tasks) = (tempfile::tempdir().unwrap(), TaskTracker::new());
        let failures = Counter::default();
        let disk = Place::open(folder.path()).unwrap().keep(&tasks, failures.clone());
        let (operator, received) = (Documents::default(), Received::new(Table::BYTES_MAX));
        Self { folder, operator, received, disk, tasks, failures }
    }

    fn say(&mut self, change: Change) {
        let update = said(&mut self.operator, change);
        let outcome = self.received.take(update, |_| Vec::new()).unwrap();
        self.disk.record(&self.received, &outcome.update);
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join(FOLDER).join(FILE)
    }

    fn read(&self) -> Option<Documents> {
        let kept = Place::open(self.folder.path()).unwrap().read().unwrap()?;
        Some(table(&kept.updates))
    }

    /// Waits until what was said last is on disk.
    async fn written(&self) {
        eventually(|| self.read().is_some_and(|it| it == self.operator)).await;
    }
}

fn table(updates: &[Update]) -> Documents {
    let mut documents = Documents::default();
    updates.iter().for_each(|update| documents.apply(update.change.clone()));
    documents
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(looks.tick().await < deadline, "it never came to hold");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_is_read_again_and_is_only_for_us() {
    let mut keeping = Keeping::new();
    assert!(keeping.read().is_none());
    for (name, bytes) in [(1, 20), (2, 30), (1, 0), (2, 40), (3, 50)] {
        keeping.say(change(name, bytes));
        keeping.written().await;
    }
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = keeping.file();
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    assert_eq!(keeping.failures.get(), 0);
    let Keeping { disk, tasks, .. } = keeping;
    drop(disk);
    tasks.close();
    tasks.wait().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_costs_what_it_changes() {
    let mut keeping = Keeping::new();
    for name in 0..2000 {
        let update = said(&mut keeping.operator, change(name, 500));
        keeping.received.take(update, |_| Vec::new()).unwrap();
    }
    keeping.say(change(0, 400));
    keeping.written().await;
    let length = || fs::metadata(keeping.file()).unwrap().len();
    let before = length();
    assert!(2000 * 500 < before);
    keeping.say(change(7, 600));
    keeping.written().await;
    let length = fs::metadata(keeping.file()).unwrap().len();
    assert!((600..800).contains(&(length - before)), "{before} {length}");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_changes_outgrow_the_table_it_is_written_anew() {
    let mut keeping = Keeping::new();
    for round in 0..500 {
        keeping.say(change(round % 2, 4000 + round));
    }
    // What came too fast to be written is with the operator's next word.
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    for _ in 0..10_000 {
        keeping.say(Change::default());
        if keeping.read().is_some_and(|it| it == keeping.operator) {
            break;
        }
        looks.tick().await;
    }
    keeping.written().await;
    let length = fs::metadata(keeping.file()).unwrap().len();
    assert!(length < 2 * CHANGES_BYTES_MIN as u64, "{length}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_written_is_counted_and_written_as_soon_as_it_can_be() {
    let mut keeping = Keeping::new();
    keeping.say(change(1, 20));
    keeping.written().await;
    let folder = keeping.file().parent().unwrap().to_owned();
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "no folder").unwrap();
    // Larger than what changes may come to, so that the table is written anew.
    keeping.say(change(2, 2 * CHANGES_BYTES_MIN));
    eventually(|| 0 < keeping.failures.get()).await;
    fs::remove_file(&folder).unwrap();
    Place::open(keeping.folder.path()).unwrap();
    // A word of the operator that nothing has changed is enough.
    keeping.say(Change::default());
    keeping.written().await;
}

#[test]
fn an_update_of_many_records_is_read_whole_or_not_at_all() {
    let mut operator = Documents::default();
    let parts = [
        change(0, push::UpdateChunks::BYTES),
        change(1, push::UpdateChunks::BYTES),
        change(2, 100),
    ];
    let upserts = parts.into_iter().flat_map(|it| it.upserts).collect();
    let update = said(&mut operator, Change { upserts, removals: Vec::new() });
    assert_eq!(records(update.clone()).count(), 3);
    let file = written(&[Update { from: None, ..update }]);
    assert_eq!(table(&updates(&*file).unwrap()), operator);
    let torn = file.get(..file.len() - 1).unwrap();
    assert!(updates(torn).unwrap().is_empty());
}

#[test]
fn records_that_do_not_follow_on_one_another_are_refused() {
    let mut operator = Documents::default();
    let first = Update { from: None, ..said(&mut operator, change(1, 20)) };
    let second = said(&mut operator, change(2, 20));
    let third = said(&mut operator, change(1, 0));
    assert_eq!(updates(&*written(&[first.clone(), second, third.clone()])).unwrap().len(), 3);
    let refused = updates(&*written(&[first, third])).unwrap_err();
    assert!(matches!(refused, Unusable::Update(InvalidUpdate::OtherTable { .. })));
}

proptest! {
    #[test]
    fn a_copy_is_a_table_that_was_in_force_or_none(
        changes in proptest::collection::vec((0..4_usize, 0..60_usize), 1..6),
        cut: prop::sample::Index,
        damaged: prop::sample::Index,
        by in 1..=255_u8,
    ) {
        let (mut operator, mut file_updates) = (Documents::default(), Vec::new());
        let mut tables = vec![Documents::default()];
        for (name, bytes) in changes {
            file_updates.push(said(&mut operator, change(name, bytes)));
            tables.push(operator.clone());
        }
        let file = written(&file_updates);
        let torn = file.get(..cut.index(file.len() + 1)).unwrap();
        if let Ok(read) = updates(torn) {
            prop_assert!(tables.contains(&table(&read)));
        }
        let mut file = file;
        let at = damaged.index(file.len());
        *file.get_mut(at).unwrap() ^= by;
        prop_assert!(updates(&*file).is_err());
    }
}
