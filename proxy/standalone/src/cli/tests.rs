use super::*;
use clap::CommandFactory as _;
use jiff::Timestamp;
use llm_cli::InvalidTimeSpec;
use std::ffi::OsString;
use sysexits::ExitCode;

fn exit(args: &[&str]) -> ExitCode {
    let args = ["llm-gateway"].iter().chain(args).map(OsString::from);
    llm_cli::parse::<Cli>(args).map_or_else(|exit| exit, |_cli| ExitCode::Ok)
}

#[test]
fn the_command_definitions_are_valid() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    for (args, expected) in [
        (&["--help"][..], ExitCode::Ok),
        (&["--version"], ExitCode::Ok),
        (&["keys", "create", "--help"], ExitCode::Ok),
        (&["serve", "--upstream", "http://127.0.0.1:8000"], ExitCode::Ok),
        (&["serve"], ExitCode::Ok),
        (&["serve", "--config", "gateway.yaml", "--listen", "127.0.0.1:0"], ExitCode::Ok),
        (&["explain", "--key", "sk-x", "--model", "m"], ExitCode::Ok),
        (&["usage", "--since", "7d", "--by", "model"], ExitCode::Ok),
        (&[], ExitCode::Usage),
        (&["sreve"], ExitCode::Usage),
        (&["serve", "--upstream", "127.0.0.1:8000"], ExitCode::Usage),
        (&["serve", "--upstream", "http://h", "--config", "f"], ExitCode::Usage),
        (&["serve", "--upstream", "http://h", "--listen", "8080"], ExitCode::Usage),
        (&["keys", "revoke", "not-an-id"], ExitCode::Usage),
        (&["keys", "create"], ExitCode::Usage),
        (&["keys", "create", "--name", "x", "--models", "a*b"], ExitCode::Usage),
        (&["keys", "create", "--name", "x", "--expires", "soon"], ExitCode::Usage),
        (&["explain", "--key", "sk-x"], ExitCode::Usage),
    ] {
        assert_eq!(exit(args), expected, "{args:?}");
    }
}

#[test]
fn half_an_address_is_refused_with_a_whole_one() {
    for half in ["8080", ":8080", "127.0.0.1"] {
        let args = ["llm-gateway", "demo", "--listen", half];
        let error = llm_cli::try_parse::<Cli>(args.map(OsString::from)).unwrap_err().to_string();
        assert!(error.contains("such as `127.0.0.1:8080`"), "{error}");
    }
}

#[test]
fn a_key_among_the_arguments_cannot_be_printed() {
    let args = ["llm-gateway", "explain", "--key", "sk-secret", "--model", "m"];
    let cli = llm_cli::parse::<Cli>(args.map(OsString::from)).unwrap();
    assert!(!format!("{cli:?}").contains("sk-secret"));
}

#[test]
fn a_key_where_its_id_is_wanted_is_not_repeated() {
    let args = ["llm-gateway", "keys", "revoke", "sk-secret"];
    let error = llm_cli::try_parse::<Cli>(args.map(OsString::from)).unwrap_err().to_string();
    assert!(error.contains("a key id has 12 characters"), "{error}");
    assert!(!error.contains("sk-secret"), "{error}");
}

#[test]
fn a_key_expires_at_a_time_a_date_or_after_a_duration() {
    let now: Timestamp = "2030-01-10T00:00:00Z".parse().unwrap();
    for (text, expected) in [
        ("1d", Ok("2030-01-11T00:00:00Z")),
        ("2030-01-31", Ok("2030-01-31T00:00:00Z")),
        ("2030-01-31T01:00:00+01:00", Ok("2030-01-31T00:00:00Z")),
        ("99999999999d", Err(InvalidTimeSpec::OutOfRange)),
    ] {
        let arguments = ["llm-gateway", "keys", "create", "--name", "x", "--expires", text];
        let Command::Keys(KeysArgs { command: KeysCommand::Create(args), .. }) =
            llm_cli::try_parse::<Cli>(arguments.map(OsString::from)).unwrap().command
        else {
            panic!("`keys create` was written");
        };
        let expected = expected.map(|time| Some(time.parse().unwrap()));
        assert_eq!(args.key.expires_at(now), expected, "{text}");
    }
}

#[test]
fn usage_counts_from_a_time_a_date_or_a_duration_ago() {
    let now: Timestamp = "2030-01-10T00:00:00Z".parse().unwrap();
    for (text, expected) in [("1d", "2030-01-09T00:00:00Z"), ("2030-01-02", "2030-01-02T00:00:00Z")]
    {
        let arguments = ["llm-gateway", "usage", "--since", text];
        let Command::Usage(args) =
            llm_cli::try_parse::<Cli>(arguments.map(OsString::from)).unwrap().command
        else {
            panic!("`usage` was written");
        };
        assert_eq!(args.since.before(now), Ok(expected.parse().unwrap()), "{text}");
    }
}
