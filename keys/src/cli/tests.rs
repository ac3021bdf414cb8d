use super::*;
use clap::CommandFactory as _;
use std::ffi::OsString;
use sysexits::ExitCode;

const PERSON: [&str; 6] = ["--owner", "ada", "--issuer", "https://sso", "--subject", "4f1c"];
const KEY: [&str; 5] = ["create", "--name", "x", "--models", "*"];

fn read(args: &[&str]) -> Result<Cli, clap::Error> {
    llm_cli::try_parse(["llm-keys"].iter().chain(args).map(OsString::from))
}

#[test]
fn the_command_definitions_are_valid() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    let team = ["--team", "ml"];
    for (args, expected) in [
        (vec!["--help"], ExitCode::Ok),
        (vec!["create", "--help"], ExitCode::Ok),
        (vec!["list", "-n", "llm", "--json"], ExitCode::Ok),
        ([&KEY[..], &team].concat(), ExitCode::Ok),
        ([&KEY[..], &PERSON].concat(), ExitCode::Ok),
        ([&KEY[..], &["--service-account", "apps/chat"]].concat(), ExitCode::Ok),
        ([&KEY[..], &team, &["--expires", "2030-01-31"]].concat(), ExitCode::Ok),
        (vec![], ExitCode::Usage),
        (KEY.to_vec(), ExitCode::Usage),
        ([&KEY[..], &team, &PERSON].concat(), ExitCode::Usage),
        ([&KEY[..], &["--owner", "ada"]].concat(), ExitCode::Usage),
        ([&KEY[..], &team, &["--subject", "4f1c"]].concat(), ExitCode::Usage),
        ([&KEY[..], &["--service-account", "chat"]].concat(), ExitCode::Usage),
        ([&KEY[..], &team, &["--expires", "soon"]].concat(), ExitCode::Usage),
        ([&KEY[..], &team, &["--concurrency", "0"]].concat(), ExitCode::Usage),
        ([&["create", "--name", "x"], &team[..]].concat(), ExitCode::Usage),
        ([&["create", "--name", "x", "--models", "qwen3"], &team[..]].concat(), ExitCode::Usage),
        (vec!["revoke", "not-an-id"], ExitCode::Usage),
    ] {
        let done = llm_cli::parse::<Cli>(["llm-keys"].iter().chain(&args).map(OsString::from));
        assert_eq!(done.map_or_else(|exit| exit, |_cli| ExitCode::Ok), expected, "{args:?}");
    }
}

#[test]
fn an_owner_is_a_person_a_team_or_a_service_account() {
    for (args, name) in [
        (&PERSON[..], "ada"),
        (&["--team", "/ml"], "ml"),
        (&["--service-account", "apps/chat"], "system:serviceaccount:apps:chat"),
    ] {
        let Command::Create(args) = read(&[&KEY[..], args].concat()).unwrap().command else {
            panic!("`create` was written");
        };
        assert_eq!(KubeOwner::from(args.owner).name(), name);
    }
}

#[test]
fn a_key_among_the_arguments_is_not_repeated() {
    for args in [&["revoke", "sk-secret"][..], &["sk-secret"], &["list", "sk-secret"]] {
        let refusal = read(args).unwrap_err().to_string();
        assert!(!refusal.contains("sk-secret"), "{refusal}");
    }
}

#[test]
fn a_key_expires_at_a_time_a_date_or_after_a_duration() {
    let now: jiff::Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
    for (text, expected) in [
        ("90d", "2030-04-01T00:00:00Z"),
        ("2030-01-31", "2030-01-31T00:00:00Z"),
        ("2030-01-31T12:00:00+01:00", "2030-01-31T11:00:00Z"),
    ] {
        let arguments = [&KEY[..], &["--team", "ml", "--expires", text]].concat();
        let Command::Create(args) = read(&arguments).unwrap().command else {
            panic!("`create` was written");
        };
        assert_eq!(args.key.expires_at(now), Ok(Some(expected.parse().unwrap())), "{text}");
    }
}
