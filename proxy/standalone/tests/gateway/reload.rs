//! `serve --config`: what its files say comes into force while it runs.

use crate::support::{ATTEMPTS, CONFIG, Home, assert_in_force_within_a_second, config, model, sim};
use llm_gateway::file_watcher::POLL_INTERVAL;
use llm_proxy::clock;
use llm_sim::{Role, Sim};
use std::fs;

fn ids(ids: &[&str]) -> Result<Vec<String>, u16> {
    Ok(ids.iter().map(|id| (*id).to_owned()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_edit_is_in_force_within_a_second() {
    let sim = sim(&["a", "b"]).await;
    let home = Home::new();
    home.write(CONFIG, &config("a", &sim.url()));
    let gateway = home.serve();
    assert_eq!(gateway.models(gateway.key()).await, ids(&["a"]));
    let mut took = Vec::new();
    for _ in 0..ATTEMPTS {
        home.write(CONFIG, &format!("{}{}", config("a", &sim.url()), model("b", &sim.url())));
        took.push(gateway.until_models(gateway.key(), &ids(&["a", "b"])).await);
        assert_eq!(gateway.chat(gateway.key(), "b").await.0, 200);
        home.write(CONFIG, &config("a", &sim.url()));
        took.push(gateway.until_models(gateway.key(), &ids(&["a"])).await);
    }
    assert_in_force_within_a_second("an edit", &took);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_edit_changes_nothing_and_the_log_names_each_line() {
    let sim = sim(&["a"]).await;
    let home = Home::new();
    home.write(CONFIG, &config("a", &sim.url()));
    let gateway = home.serve();
    let bad = format!("lisen: {{}}\n{}dataDir: 7\n", config("b", &sim.url()));
    home.write(CONFIG, &bad);
    gateway.wait_for_log("gateway.yaml:1: lisen: unknown field; did you mean `listen`?");
    gateway.wait_for_log("gateway.yaml:4: dataDir: must be a string");
    assert!(gateway.log().contains("the last good configuration stays in force"));
    assert_eq!(gateway.models(gateway.key()).await, ids(&["a"]));
    home.write(CONFIG, &config("b", &sim.url()));
    gateway.until_models(gateway.key(), &ids(&["b"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bad_edit_lacked_mends_it_when_it_comes() {
    let sim = sim(&["a", "b"]).await;
    let home = Home::new();
    home.write(CONFIG, &config("a", &sim.url()));
    let gateway = home.serve();
    home.write(
        CONFIG,
        &format!(
            "models: [{{id: b, endpoints: ['{}'], access: {{public: true}}, apiKey: {{file: it}}}}]",
            sim.url()
        ),
    );
    gateway.wait_for_log("models[0].apiKey: the file it does not exist");
    home.write("it", "sk-engine");
    gateway.until_models(gateway.key(), &ids(&["b"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_in_pieces_is_not_read_half() {
    let sim = sim(&["a", "b"]).await;
    let home = Home::new();
    let whole = format!("{}{}", config("a", &sim.url()), model("b", &sim.url()));
    home.write(CONFIG, &whole);
    let gateway = home.serve();
    // Truncated and written again, as many editors do it: never is there no model.
    let begun = clock::now();
    while clock::now().duration_since(begun) < POLL_INTERVAL * 6 {
        let truncated = clock::now();
        home.write(CONFIG, "");
        let models = gateway.models(gateway.key()).await;
        home.write(CONFIG, &whole);
        if clock::now().duration_since(truncated) < POLL_INTERVAL {
            assert_eq!(models, ids(&["a", "b"]));
        }
        // A write that takes longer than a poll is applied, and corrected by the next one.
        gateway.until_models(gateway.key(), &ids(&["a", "b"])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_replaced_is_what_the_provider_sees_next() {
    let played = llm_sim::Config {
        models: vec!["gpt".to_owned()],
        role: Role::Provider,
        ..llm_sim::Config::default()
    };
    let provider = Sim::start(played).await.unwrap();
    let home = Home::new();
    home.write("provider.key", "sk-old\n");
    home.write(
        CONFIG,
        &format!(
            "providers: [{{name: p, url: '{}/v1', credential: {{file: provider.key}}, \
             models: [gpt], access: {{public: true}}}}]",
            provider.url()
        ),
    );
    let gateway = home.serve();
    let seen = || provider.received().last().unwrap().headers["authorization"].clone();
    assert_eq!(gateway.chat(gateway.key(), "gpt").await.0, 200);
    assert_eq!(seen(), "Bearer sk-old");
    // As Kubernetes replaces a mounted secret.
    home.write("next.key", "sk-new\n");
    fs::rename(home.join("next.key"), home.join("provider.key")).unwrap();
    gateway.wait_for_log(r#""revision":2"#);
    assert_eq!(gateway.chat(gateway.key(), "gpt").await.0, 200);
    assert_eq!(seen(), "Bearer sk-new");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_internal_entry_is_there_if_there_are_issuers() {
    let sim = sim(&["a"]).await;
    let issuer = "issuers: [{issuer: 'http://127.0.0.1:1/realm', audiences: [llm]}]\n";
    let listen = "listen: {internal: '127.0.0.1:0'}\n";
    let model = config("a", &sim.url());
    let home = home_of(&format!("{listen}{model}{issuer}"));
    let printed = home.serve().printed();
    assert!(printed.contains("  internal  http://127.0.0.1:"), "{printed}");
    assert!(!home_of(&model).serve().printed().contains("internal"));
    let refused = home_of(&format!("{listen}{model}"));
    let ran = refused.run(&["check"]);
    assert_eq!(ran.code, 65);
    assert!(
        ran.err.starts_with(
            "gateway.yaml:1: listen.internal: it accepts tokens of `issuers`, and there are none"
        ),
        "{}",
        ran.err
    );
}

fn home_of(text: &str) -> Home {
    let home = Home::new();
    home.write(CONFIG, text);
    home
}
