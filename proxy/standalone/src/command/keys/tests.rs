use super::*;
use crate::cli::{Cli, Command, DataArgs};
use clap::Parser as _;
use llm_cli::ProgramError as _;
use llm_keys::system_random;
use std::path::PathBuf;
use sysexits::ExitCode;
use tempfile::TempDir;

struct Said {
    out: String,
    notes: String,
}

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().unwrap()
}

/// Runs `llm-gateway keys ..` on a data folder.
fn keys(folder: &TempDir, args: &[&str]) -> Result<Said, CliError> {
    let data = folder.path().join("data");
    let given = ["llm-gateway", "keys", "--data-dir", data.to_str().unwrap()];
    let cli = Cli::try_parse_from(given.iter().chain(args)).unwrap();
    let Command::Keys(args) = cli.command else {
        panic!("`keys` was written");
    };
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    run(args, now(), &mut system_random, &mut Streams { out: &mut out, notes: &mut notes })?;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ok(Said { out: text(out), notes: text(notes) })
}

fn create(folder: &TempDir) -> SecretKey {
    let said = keys(folder, &["create", "--name", "laptop"]).unwrap();
    SecretKey::parse(said.out.trim_end()).unwrap()
}

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    folder
}

#[test]
fn a_new_key_stands_alone_on_standard_output() {
    let said = keys(
        &folder(),
        &[
            "create",
            "--name",
            "ci",
            "--models",
            "demo/*,qwen3",
            "--groups",
            "a,b",
            "--expires",
            "30d",
        ],
    )
    .unwrap();
    let key = SecretKey::parse(said.out.strip_suffix('\n').unwrap()).unwrap();
    assert_eq!(
        said.notes,
        format!(
            "key {} (ci), models demo/*, qwen3, expires 2030-01-31 00:00; it is shown only once:\n",
            key.id()
        )
    );
}

#[test]
fn the_list_shows_each_key_and_never_a_secret() {
    let folder = folder();
    let key = create(&folder);
    keys(&folder, &["suspend", key.id().as_str()]).unwrap();
    let table = keys(&folder, &["list"]).unwrap().out;
    let row = table.lines().nth(1).unwrap();
    let words: Vec<_> = row.split_whitespace().collect();
    let id = key.id();
    assert_eq!(words, [id.as_str(), "laptop", "*", "suspended", "2030-01-01", "00:00", "never"]);
    let json = keys(&folder, &["list", "--json"]).unwrap().out;
    let listed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(listed[0]["clientId"], format!("laptop-{id}"));
    assert_eq!(listed[0]["state"], "suspended");
    assert!(!json.contains("argon2") && !json.contains(key.reveal()), "{json}");
}

#[test]
fn a_first_key_may_be_created_before_its_data_folder_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let said = keys(&folder, &["create", "--name", "laptop"]).unwrap();
    assert!(said.notes.contains("data is new: no gateway has used it yet\n"), "{}", said.notes);
    assert!(SecretKey::parse(said.out.trim_end()).is_ok());
}

#[test]
fn a_data_folder_that_is_not_there_is_named_and_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let id = "abcdefgh2345";
    for args in [&["list"][..], &["revoke", id], &["suspend", id], &["resume", id], &["rotate", id]]
    {
        let Err(error) = keys(&folder, args) else {
            panic!("{args:?} did something");
        };
        assert_eq!(error.exit_code(), ExitCode::Unavailable);
        assert!(error.to_string().contains("there is no data folder"), "{error}");
        assert!(!folder.path().join("data").exists());
    }
}

#[test]
fn an_empty_list_says_where_it_looked() {
    let said = keys(&folder(), &["list"]).unwrap();
    assert!(said.out.is_empty() && said.notes.ends_with("data/keys.json\n"), "{}", said.notes);
    assert_eq!(keys(&folder(), &["list", "--json"]).unwrap().out, "[]\n");
}

#[test]
fn a_key_is_rotated_suspended_resumed_and_revoked_by_its_id() {
    let folder = folder();
    let id = create(&folder).id().to_string();
    let said = keys(&folder, &["rotate", &id, "--overlap", "1h"]).unwrap();
    assert!(said.notes.starts_with(&format!("key {id} stays valid for 1h")), "{}", said.notes);
    let new = SecretKey::parse(said.out.trim_end()).unwrap().id().to_string();
    for (verb, state) in [("suspend", "suspended"), ("resume", "active"), ("revoke", "revoked")] {
        let said = keys(&folder, &[verb, &new]).unwrap();
        assert_eq!(said.notes, format!("key {new} (laptop) is {state}\n"));
        assert_eq!(said.out, "");
    }
}

#[test]
fn each_refusal_has_its_exit_code() {
    let folder = folder();
    create(&folder);
    for args in [
        &["revoke", "abcdefgh2345"][..],
        &["create", "--name", ""],
        &["create", "--name", "x", "--expires", "2029-01-01T00:00:00Z"],
        &["create", "--name", "x", "--expires", "99999999y"],
    ] {
        assert_eq!(keys(&folder, args).err().unwrap().exit_code(), ExitCode::Usage, "{args:?}");
    }
    std::fs::write(folder.path().join("data/keys.json"), "{").unwrap();
    assert_eq!(keys(&folder, &["list"]).err().unwrap().exit_code(), ExitCode::DataErr);
}

#[test]
fn the_data_folder_is_the_one_named_or_the_configurations_or_data() {
    let folder = folder();
    let config = folder.path().join("gateway.yaml");
    std::fs::write(&config, "dataDir: kept").unwrap();
    for (named, config, expected) in [
        (Some("x"), Some(config.clone()), PathBuf::from("x")),
        (None, Some(config), folder.path().join("kept")),
        (None, None, PathBuf::from("data")),
    ] {
        let args = DataArgs { data_dir: named.map(PathBuf::from), config };
        assert_eq!(data_dir::find(args).unwrap(), expected);
    }
}
