//! What cannot be done is said in one line, with its exit code, the thing and the next step.

use crate::support::{ANY, CONFIG, Home, Ran, config, sim};
use std::{
    fs::{self, OpenOptions},
    net::TcpListener,
};

#[test]
fn wrong_usage_is_64() {
    let home = Home::new();
    for args in [&[][..], &["sreve"], &["keys", "revoke", "it"], &["explain", "--model", "m"]] {
        assert_eq!(home.run(args).code, 64, "{args:?}");
    }
    assert!(home.names().is_empty());
}

#[test]
fn an_output_that_is_full_is_no_defect_of_ours() {
    let home = Home::new();
    for args in [&["config-schema"][..], &["keys", "create", "--name", "x"], &["keys", "list"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (code, err) = home.run_into(full, args);
        assert_eq!(code, 69, "{args:?}: {err}");
        let last = "llm-gateway: I/O error: No space left on device";
        assert!(err.lines().last().unwrap().starts_with(last), "{err}");
    }
}

#[test]
fn the_help_of_each_command_shows_an_example() {
    let home = Home::new();
    let keys = ["create", "list", "revoke", "rotate", "suspend", "resume"];
    let commands = ["demo", "serve", "check", "keys", "explain", "usage", "config-schema"];
    let all = commands.map(|it| vec![it]).into_iter().chain(keys.map(|it| vec!["keys", it]));
    for command in all {
        let help = home.ask(&[&command[..], &["--help"]].concat());
        let example = help.split_once("\nExample").unwrap_or_else(|| panic!("{help}")).1;
        assert!(example.contains(&format!("llm-gateway {}", command.join(" "))), "{help}");
    }
}

#[test]
fn check_prints_every_error_with_its_line_and_its_path() {
    let home = Home::new();
    home.write(
        CONFIG,
        "listen: {external: nowhere}\n\
         models:\n  \
         - {id: a, endpoints: ['http://h:1/v1'], access: {public: true}}\n  \
         - {id: a, endpoints: ['http://h:1'], access: {}}\n\
         providers: [{name: p, url: 'https://h', models: [m], access: {groups: [g]}, \
         credential: sk-secret}]\n",
    );
    let ran = home.run(&["check", "--config", CONFIG]);
    assert_eq!((ran.code, ran.out.as_str()), (65, ""));
    for start in [
        "gateway.yaml:1: listen.external: must be an IP address and a port",
        "gateway.yaml:3: models[0].endpoints[0]: must be http",
        "gateway.yaml:4: models[1].access: ",
        "gateway.yaml:4: models[1].id: `a` is already served: models[0].id",
        "gateway.yaml:5: providers[0].credential: a secret must not be in this file",
    ] {
        assert!(ran.err.lines().any(|line| line.starts_with(start)), "{start}\n{}", ran.err);
    }
    assert_eq!(ran.err.lines().count(), 5, "{}", ran.err);
    assert!(!ran.err.contains("sk-secret"));
    let served = home.run(&[&["serve"][..], &ANY].concat());
    assert_eq!((served.code, served.err), (65, ran.err), "serve says the same");
    assert_eq!(home.names(), [CONFIG]);
}

#[test]
fn what_is_no_yaml_is_named_with_its_line() {
    let home = Home::new();
    home.write(CONFIG, "models:\n  - {id: a\nlimits: {}\n");
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, 65);
    assert!(ran.err.starts_with("gateway.yaml:"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
}

#[test]
fn without_a_configuration_the_next_step_is_named() {
    let home = Home::new();
    let ran = home.run(&["serve"]);
    assert_eq!(ran.code, 65);
    assert_eq!(
        ran.err,
        "llm-gateway: there is no gateway.yaml; choose a configuration with --config, or a model \
         server with --upstream\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_taken_is_named_and_nothing_is_left_behind() {
    let sim = sim(&["a"]).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    for (free, option) in [("--admin", "--listen"), ("--listen", "--admin")] {
        let args = ["serve", "--upstream", &sim.url(), free, "127.0.0.1:0", option, &address];
        let ran = home.run(&args);
        assert_eq!((ran.code, ran.out.as_str()), (69, ""));
        let start = format!(
            "llm-gateway: cannot listen on {address}; choose another address with {option}: "
        );
        assert!(ran.err.lines().last().unwrap().starts_with(&start), "{}", ran.err);
        assert!(home.names().is_empty(), "{:?}", home.names());
    }
}

/// A folder with a good configuration, and a start in it that fails.
fn start_in(home: &Home) -> Ran {
    home.write(CONFIG, "{}");
    let ran = home.run(&[&["serve"][..], &ANY].concat());
    assert_eq!(ran.out, "");
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_gateway_on_a_data_folder_names_the_first() {
    let sim = sim(&["a"]).await;
    let home = Home::new();
    home.write(CONFIG, &config("a", &sim.url()));
    let first = home.serve();
    let ran = home.run(&[&["serve"][..], &ANY].concat());
    assert_eq!((ran.code, ran.out.as_str()), (69, ""));
    let start = format!(
        "llm-gateway: the data folder data is in use by a running gateway (process {}); stop it",
        first.process()
    );
    assert!(ran.err.lines().last().unwrap().starts_with(&start), "{}", ran.err);
    assert_eq!(first.chat(first.key(), "a").await.0, 200);
    assert_eq!(first.stop().0, 0);
    let key = home.create_key(&[]);
    assert_eq!(home.serve().chat(&key, "a").await.0, 200, "the folder is free again");
}

#[test]
fn a_data_folder_that_is_a_file_is_named() {
    let home = Home::new();
    home.write("data", "not a folder");
    let ran = start_in(&home);
    assert_eq!(ran.code, 69);
    assert!(
        ran.err.contains("cannot use the data folder data; fix it, or choose another with"),
        "{}",
        ran.err
    );
    let ran = home.run(&["keys", "create", "--name", "x"]);
    assert_eq!((ran.code, ran.out.as_str()), (69, ""));
    assert_eq!(home.read("data"), "not a folder");
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let home = Home::new();
    fs::create_dir_all(home.join("data/gateway.lock")).unwrap();
    let ran = start_in(&home);
    assert_eq!(ran.code, 69);
    assert!(ran.err.contains("cannot use the data folder data;"), "{}", ran.err);
    fs::remove_dir(home.join("data/gateway.lock")).unwrap();
    home.write("data/usage", "not a folder");
    let ran = start_in(&home);
    assert_eq!(ran.code, 69);
    assert!(ran.err.contains("cannot use the data folder data/usage;"), "{}", ran.err);
}

#[test]
fn damaged_keys_are_named_with_the_next_step_and_left_as_they_are() {
    let home = Home::new();
    home.create_key(&[]);
    let torn = home.read("data/keys.json").replacen("\"hash\"", "\"hsah\"", 1);
    home.write("data/keys.json", &torn);
    for ran in [
        start_in(&home),
        home.run(&["keys", "list"]),
        home.run(&["keys", "create", "--name", "x"]),
        home.run(&["keys", "revoke", "abcdefgh2345"]),
    ] {
        assert_eq!((ran.code, ran.out.as_str()), (65, ""), "{}", ran.err);
        let said = ran.err.lines().last().unwrap();
        assert!(said.contains("data/keys.json cannot be used, and was left unchanged"), "{said}");
        assert!(said.contains("restore it from a backup, or move it away"), "{said}");
        assert!(said.contains("at line 12 column 12"), "{said}");
        assert_eq!(home.read("data/keys.json"), torn);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_damaged_while_it_runs_leave_the_last_good_ones_in_force() {
    let sim = sim(&["a"]).await;
    let home = Home::new();
    home.write(CONFIG, &config("a", &sim.url()));
    let gateway = home.serve();
    let good = home.read("data/keys.json");
    home.write("data/keys.json", "{\"version\": 1, \"keys\": [\n");
    gateway.wait_for_log("the last good keys stay in force");
    gateway.wait_for_log("data/keys.json cannot be used, and was left unchanged");
    assert_eq!(gateway.chat(gateway.key(), "a").await.0, 200);
    home.write("data/keys.json", &good);
    let made = home.create_key(&[]);
    gateway.until_models(&made, &Ok(vec!["a".to_owned()])).await;
}
