//! Canaries: what is secret is found nowhere but where it belongs.

use crate::support::{CONFIG, Home, client, sim};
use llm_contract::SecretKey;
use llm_sim::{Fault, Received, Role, Sim};
use std::{fs, path::Path};

const PROVIDER: &str = "sk-canary-of-the-provider";
const ENGINE: &str = "sk-canary-of-the-engine";
const NEXT: &str = "sk-canary-that-replaces-it";

/// The contents of every file below a folder.
fn contents(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text.push_str(&contents(&path));
        } else {
            text.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap()));
        }
    }
    text
}

/// All that a server received, in one text.
fn received(sim: &Sim) -> String {
    let line = |it: &Received| {
        let values = it.headers.iter().map(|(name, value)| {
            format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()))
        });
        format!("{}{}", values.collect::<String>(), String::from_utf8_lossy(&it.body))
    };
    sim.received().iter().map(line).collect()
}

async fn started(home: &Home) -> (Sim, Sim) {
    let engine = sim(&["a"]).await;
    let models = vec!["gpt".to_owned()];
    let played = llm_sim::Config { models, role: Role::Provider, ..llm_sim::Config::default() };
    let provider = Sim::start(played).await.unwrap();
    home.write("provider.key", PROVIDER);
    home.write(
        CONFIG,
        &format!(
            "models: [{{id: a, endpoints: ['{}'], access: {{public: true}}, \
             apiKey: {{env: ENGINE}}}}]\n\
             providers: [{{name: p, url: '{}/v1', credential: {{file: provider.key}}, \
             models: [gpt], access: {{public: true}}}}]\n",
            engine.url(),
            provider.url()
        ),
    );
    (engine, provider)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_no_log_metric_file_or_answer() {
    let home = Home::new();
    let (engine, provider) = started(&home).await;
    let environment = [("ENGINE", ENGINE), ("RUST_LOG", "trace")];
    let args = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let gateway = home.start_with(&environment, &args);
    let mine = gateway.key().to_owned();
    let made = home.create_key(&[]);
    gateway.until_models(&made, &Ok(vec!["a".into(), "gpt".into()])).await;

    let mut seen = String::new();
    for (key, model) in [(&mine, "a"), (&made, "gpt"), (&mine, "nothing")] {
        seen.push_str(&gateway.chat(key, model).await.1.to_string());
    }
    let public = SecretKey::parse(&made).unwrap().id();
    let wrong = SecretKey::assemble(&public, &[b'w'; SecretKey::SECRET_BYTES]).reveal().to_owned();
    seen.push_str(&gateway.chat(&wrong, "a").await.1.to_string());
    for fault in [Fault::Status(401), Fault::Status(500), Fault::ResetBeforeHeaders] {
        engine.inject(fault);
        provider.inject(fault);
        seen.push_str(&gateway.chat(&mine, "a").await.1.to_string());
        seen.push_str(&gateway.chat(&made, "gpt").await.1.to_string());
    }
    home.write("provider.key", &format!("{NEXT}\n in two lines"));
    gateway.wait_for_log("the last good configuration stays in force");
    let metrics = client().get(format!("{}/metrics", gateway.admin)).send().await.unwrap();
    seen.push_str(&metrics.text().await.unwrap());
    for args in [
        &["explain", "--admin", gateway.admin_port(), "--model", "a", "--key", &made][..],
        &["explain", "--admin", gateway.admin_port(), "--model", "a", "--key", &wrong],
        &["keys", "revoke", &made],
        &["keys", "list", "--json"],
        &["check"],
        &["usage"],
    ] {
        let ran = home.run(args);
        seen.push_str(&(ran.out + &ran.err));
    }
    let (code, log) = gateway.stop();
    assert_eq!(code, 0);
    assert!(log.contains("request ended"), "{log}");
    seen.push_str(&log);
    seen.push_str(&contents(&home.join("data")));

    for key in [&mine, &made, &wrong] {
        // The secret without the check behind it would be as good.
        let secret: String =
            key.rsplit('-').next().unwrap().chars().take(SecretKey::SECRET_BYTES).collect();
        let secret = secret.as_str();
        assert!(!seen.contains(secret), "{}", around(&seen, secret));
        assert!(!received(&engine).contains(secret) && !received(&provider).contains(secret));
    }
    for canary in [PROVIDER, ENGINE, NEXT] {
        assert!(!seen.contains(canary), "{}", around(&seen, canary));
    }
    assert!(received(&engine).contains(ENGINE) && !received(&engine).contains(PROVIDER));
    assert!(received(&provider).contains(PROVIDER) && !received(&provider).contains(ENGINE));
}

/// Where something was found.
fn around<'a>(text: &'a str, part: &str) -> &'a str {
    text.lines().find(|line| line.contains(part)).unwrap_or_default()
}
