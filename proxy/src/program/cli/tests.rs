use super::*;
use clap::CommandFactory as _;

fn exit(args: &[&str]) -> Exit {
    let args = ["llm-proxy"].iter().chain(args).map(OsString::from);
    Cli::read(args).map_or_else(|exit| exit, |_cli| Exit::Done)
}

#[test]
fn the_definition_of_the_commands_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn wrong_usage_exits_with_64_and_help_with_0() {
    let serve = ["serve", "--control", "https://llm-operator:9443"];
    for (args, expected) in [
        (&["--help"][..], Exit::Done),
        (&["--version"], Exit::Done),
        (&["serve", "--help"], Exit::Done),
        (&serve, Exit::Done),
        (&[&serve[..], &["--drain", "1h", "--external", "[::]:80"]].concat(), Exit::Done),
        (&["serve", "--control", "http://127.0.0.1:9443"], Exit::Done),
        (&["table"], Exit::Done),
        (&["explain", "--key-id", "abcdefgh2345", "--model", "m"], Exit::Done),
        (&[], Exit::Usage),
        (&["serve"], Exit::Usage),
        (&["serve", "--control", "http://llm-operator:9443"], Exit::Usage),
        (&["serve", "--control", "https://llm-operator:9443/path"], Exit::Usage),
        (&["serve", "--control", "https://me:secret@llm-operator"], Exit::Usage),
        (&["serve", "--control", "llm-operator:9443"], Exit::Usage),
        (&[&serve[..], &["--tls-cert", "f"]].concat(), Exit::Usage),
        (&[&serve[..], &["--body-bytes", "0"]].concat(), Exit::Usage),
        (&[&serve[..], &["--name", "a b"]].concat(), Exit::Usage),
        (&[&serve[..], &["--control-server-name", "a b"]].concat(), Exit::Usage),
        (&["explain", "--key-id", "not-an-id", "--model", "m"], Exit::Usage),
    ] {
        assert_eq!(exit(args), expected, "{args:?}");
    }
}
