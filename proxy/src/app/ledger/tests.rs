use super::*;

fn event(model: &str) -> UsageEvent {
    UsageEvent {
        id: "1".into(),
        request: "req-1".into(),
        time: "2026-11-01T12:00:00Z".parse().unwrap(),
        key: Some("abcdefgh2345".into()),
        owner: "alice".into(),
        model: model.into(),
        upstream: "served".into(),
        operation: "chat".into(),
        status: 200,
        input_tokens: 10,
        output_tokens: 5,
        cached_tokens: 4,
        estimated: false,
        duration_ms: 20,
        first_byte_ms: Some(3),
    }
}

fn write(folder: &Path, events: Vec<UsageEvent>) {
    let (sender, receiver) = mpsc::channel(events.len().max(1));
    for event in events {
        sender.try_send(event).unwrap();
    }
    drop(sender);
    Ledger::open(folder).unwrap().write_all(receiver);
}

/// The models that were used, and the damaged lines.
fn models(folder: &Path) -> (Vec<String>, Vec<usize>) {
    let mut models = Vec::new();
    let damaged = read(folder, |event| models.push(event.model)).unwrap();
    (models, damaged.first.iter().map(|it| it.line).collect())
}

#[test]
fn what_is_written_is_read_again_across_restarts() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), vec![event("a"), event("b")]);
    write(folder.path(), vec![event("c")]);
    assert_eq!(models(folder.path()), (vec!["a".into(), "b".into(), "c".into()], vec![]));
    let numbers = numbers(&folder.path().join(FOLDER)).unwrap();
    assert_eq!(numbers, [1], "a restart makes no file of its own");
}

#[test]
fn a_line_that_a_crash_left_half_written_loses_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), vec![event("a")]);
    let path = path(&folder.path().join(FOLDER), 1);
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(br#"{"id":"req-2","ti"#);
    fs::write(&path, text).unwrap();
    assert_eq!(models(folder.path()), (vec!["a".into()], vec![]), "it may be just being written");
    write(folder.path(), vec![event("b")]);
    assert_eq!(models(folder.path()), (vec!["a".into(), "b".into()], vec![2]));
}

#[test]
fn a_full_file_is_rotated_and_the_oldest_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::open(folder.path()).unwrap();
    for _ in 0..FILES_MAX + 2 {
        ledger.bytes = FILE_BYTES_MAX;
        ledger.write(&event("a")).unwrap();
    }
    let numbers = numbers(&ledger.folder).unwrap();
    assert_eq!((numbers.len(), numbers[0]), (FILES_MAX, 4));
}

#[test]
fn before_the_first_start_nothing_was_used() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(models(folder.path()), (vec![], vec![]));
}
