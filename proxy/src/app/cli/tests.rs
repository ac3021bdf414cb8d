use super::*;
use clap::CommandFactory as _;
use std::ffi::OsString;
use sysexits::ExitCode;

fn exit(args: &[&str]) -> ExitCode {
    let args = ["llm-proxy"].iter().chain(args).map(OsString::from);
    llm_cli::parse::<Cli>(args).map_or_else(|exit| exit, |_cli| ExitCode::Ok)
}

#[test]
fn the_command_definitions_are_valid() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    let serve = ["serve", "--control", "https://llm-operator:9443"];
    for (args, expected) in [
        (&["--help"][..], ExitCode::Ok),
        (&["--version"], ExitCode::Ok),
        (&["serve", "--help"], ExitCode::Ok),
        (&serve, ExitCode::Ok),
        (&[&serve[..], &["--drain", "1h", "--external", "[::]:80"]].concat(), ExitCode::Ok),
        (&["serve", "--control", "http://127.0.0.1:9443"], ExitCode::Ok),
        (&["table"], ExitCode::Ok),
        (&["explain", "--key-id", "abcdefgh2345", "--model", "m"], ExitCode::Ok),
        (&[], ExitCode::Usage),
        (&["serve"], ExitCode::Usage),
        (&["serve", "--control", "http://llm-operator:9443"], ExitCode::Usage),
        (&["serve", "--control", "https://llm-operator:9443/path"], ExitCode::Usage),
        (&["serve", "--control", "https://me:secret@llm-operator"], ExitCode::Usage),
        (&["serve", "--control", "llm-operator:9443"], ExitCode::Usage),
        (&[&serve[..], &["--tls-cert", "f"]].concat(), ExitCode::Usage),
        (&[&serve[..], &["--body-bytes", "0"]].concat(), ExitCode::Usage),
        (&[&serve[..], &["--name", "a b"]].concat(), ExitCode::Usage),
        (&[&serve[..], &["--control-server-name", "a b"]].concat(), ExitCode::Usage),
        (&["explain", "--key-id", "not-an-id", "--model", "m"], ExitCode::Usage),
    ] {
        assert_eq!(exit(args), expected, "{args:?}");
    }
}
