//! `usage`: what the API said was used.

use crate::support::{CONFIG, Gateway, Home, config, id, model, sim};
use rustix::process::Signal;
use std::fs::OpenOptions;
use std::io::Write;

/// The cells of a table, without its lines.
fn rows(table: &str) -> Vec<Vec<String>> {
    let lines = table.lines().filter(|line| !line.trim_start().starts_with(['─', '═', '-', '=']));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Asks, and adds what the API says to a row of requests, input, cached, output, estimated.
async fn ask(gateway: &Gateway, key: &str, model: &str, row: &mut [u64; 5]) {
    let (status, answer) = gateway.chat(key, model).await;
    assert_eq!(status, 200, "{answer}");
    let usage = &answer["usage"];
    row[0] += 1;
    row[1] += usage["prompt_tokens"].as_u64().unwrap();
    row[2] += usage["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap_or(0);
    row[3] += usage["completion_tokens"].as_u64().unwrap();
}

fn row(names: &[&str], numbers: [u64; 5]) -> Vec<String> {
    let names = names.iter().map(|name| (*name).to_owned());
    names.chain(numbers.map(|number| number.to_string())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_has_what_the_api_said_by_key_model_user_and_day() {
    let sim = sim(&["a", "b"]).await;
    let home = Home::new();
    home.write(CONFIG, &format!("{}{}", config("a", &sim.url()), model("b", &sim.url())));
    let gateway = home.serve();
    let alice = home.create_key(&["--user", "alice"]);
    let bob = home.create_key(&["--user", "bob"]);
    gateway.until_models(&bob, &Ok(vec!["a".into(), "b".into()])).await;
    let (mut alice_a, mut alice_b, mut bob_a) = ([0; 5], [0; 5], [0; 5]);
    for _ in 0..3 {
        ask(&gateway, &alice, "a", &mut alice_a).await;
    }
    ask(&gateway, &alice, "b", &mut alice_b).await;
    ask(&gateway, &bob, "a", &mut bob_a).await;
    assert_eq!(gateway.chat(&bob, "nothing").await.0, 404, "reached no upstream, costs nothing");
    assert_eq!(gateway.stop().0, 0);

    let sum = |rows: &[[u64; 5]]| {
        rows.iter().fold([0; 5], |sum, row| std::array::from_fn(|at| sum[at] + row[at]))
    };
    let total = sum(&[alice_a, alice_b, bob_a]);
    assert!(alice_a[1] != 0 && alice_a[3] != 0);
    let (alice, bob) = (id(&alice), id(&bob));
    let mut by_key = [
        row(&[&alice, "alice", "a"], alice_a),
        row(&[&alice, "alice", "b"], alice_b),
        row(&[&bob, "bob", "a"], bob_a),
    ];
    by_key.sort();
    let table = rows(&home.ask(&["usage"]));
    assert_eq!(table[1..4], by_key);
    assert_eq!(table[4], row(&["Total"], total));
    let by = |what| rows(&home.ask(&["usage", "--by", what]))[1..].to_vec();
    let all = row(&["Total"], total);
    assert_eq!(
        by("model"),
        [row(&["a"], sum(&[alice_a, bob_a])), row(&["b"], alice_b), all.clone()]
    );
    assert_eq!(by("user"), [row(&["alice"], sum(&[alice_a, alice_b])), row(&["bob"], bob_a), all]);
    let today: u64 = by("day").last().unwrap()[1].parse().unwrap();
    assert_eq!(today, 5);
    assert_eq!(rows(&home.ask(&["usage", "--since", "1h"])), table);
    let later = rows(&home.ask(&["usage", "--since", "2100-01-01T00:00:00Z"]));
    assert_eq!(later[1..], [row(&["Total"], [0; 5])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_is_there_while_the_gateway_runs_and_after_it_was_killed() {
    let sim = sim(&["a"]).await;
    let home = Home::new();
    home.write(CONFIG, &config("a", &sim.url()));
    for requests in 1..=3 {
        let key = home.create_key(&[]);
        let mut gateway = home.serve();
        assert_eq!(gateway.chat(&key, "a").await.0, 200);
        let mut rounds = tokio::time::interval(std::time::Duration::from_millis(20));
        let counted = || rows(&home.ask(&["usage", "--by", "model"]));
        let written = async {
            while counted().get(1).is_none_or(|row| row[1] != requests.to_string()) {
                rounds.tick().await;
            }
        };
        tokio::time::timeout(crate::support::PATIENCE, written).await.unwrap();
        gateway.signal(Signal::KILL);
        gateway.ended();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_line_is_named_and_costs_only_itself() {
    let sim = sim(&["a"]).await;
    let home = Home::new();
    home.write(CONFIG, &config("a", &sim.url()));
    let key = home.create_key(&[]);
    for _ in 0..2 {
        let gateway = home.serve();
        assert_eq!(gateway.chat(&key, "a").await.0, 200);
        assert_eq!(gateway.stop().0, 0);
        let file = home.join("data/usage/usage-00000001.jsonl");
        let mut file = OpenOptions::new().append(true).open(file).unwrap();
        file.write_all(b"{\"id\": \"req-torn\", \"ti").unwrap();
    }
    let ran = home.run(&["usage", "--by", "model"]);
    assert_eq!(ran.code, 0);
    assert_eq!(rows(&ran.out)[1][1], "2");
    assert_eq!(ran.err, "data/usage/usage-00000001.jsonl:2: damaged line, not counted\n");
}

#[test]
fn without_a_data_folder_nothing_is_summed_up() {
    let home = Home::new();
    let ran = home.run(&["usage"]);
    assert_eq!((ran.code, ran.out.as_str()), (69, ""));
    assert!(ran.err.contains("there is no data folder data"), "{}", ran.err);
}
