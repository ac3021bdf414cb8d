use super::*;
use clap::CommandFactory as _;

fn exit(args: &[&str]) -> ExitCode {
    let args = ["llm-gateway"].iter().chain(args).map(OsString::from);
    Cli::read(args).map_or_else(|exit| exit, |_cli| ExitCode::Ok)
}

#[test]
fn the_definition_of_the_commands_is_sound() {
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
        let refusal = parse(args.map(OsString::from)).unwrap_err().to_string();
        assert!(refusal.contains("such as `127.0.0.1:8080`"), "{refusal}");
    }
}

#[test]
fn a_key_among_the_arguments_cannot_be_printed() {
    let args = ["llm-gateway", "explain", "--key", "sk-secret", "--model", "m"];
    let cli = Cli::read(args.map(OsString::from)).unwrap();
    assert!(!format!("{cli:?}").contains("sk-secret"));
}

#[test]
fn a_key_where_its_id_is_wanted_is_not_repeated() {
    let args = ["llm-gateway", "keys", "revoke", "sk-secret"];
    let refusal = parse(args.map(OsString::from)).unwrap_err().to_string();
    assert!(refusal.contains("a key id has 12 characters"), "{refusal}");
    assert!(!refusal.contains("sk-secret"), "{refusal}");
}

#[test]
fn a_moment_is_a_time_or_a_distance() {
    let now: Timestamp = "2030-01-10T00:00:00Z".parse().unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let when = |text: &str| text.parse::<When>();
    assert_eq!(when("1d").unwrap().after(now), Ok(at("2030-01-11T00:00:00Z")));
    assert_eq!(when("1d").unwrap().before(now), Ok(at("2030-01-09T00:00:00Z")));
    assert_eq!(
        when("2030-01-31T01:00:00+01:00").unwrap().after(now),
        Ok(at("2030-01-31T00:00:00Z"))
    );
    assert_eq!(when("99999999999d").unwrap().after(now), Err(InvalidWhen::TooFar));
    assert_eq!(when("tomorrow"), Err(InvalidWhen::Form));
}
