//! `explain`: why would this be refused?

use crate::support::{CONFIG, Gateway, Home, Ran, id, sim};

async fn started() -> (llm_sim::Sim, Home, Gateway) {
    let sim = sim(&["open", "closed"]).await;
    let home = Home::new();
    let url = sim.url();
    home.write(
        CONFIG,
        &format!(
            "models:\n  \
             - {{id: open, endpoints: ['{url}'], access: {{public: true}}}}\n  \
             - {{id: closed, endpoints: ['{url}'], access: {{groups: [ml]}}}}\n"
        ),
    );
    let gateway = home.serve();
    (sim, home, gateway)
}

fn explain(home: &Home, gateway: &Gateway, args: &[&str]) -> Ran {
    // In the environment for other uses; an id goes before it.
    let environment = [("LLM_GATEWAY_KEY", gateway.key())];
    home.run_with(&environment, &[&["explain", "--admin", gateway.admin_port()], args].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_is_told_by_the_stage_that_makes_it() {
    let (_sim, home, gateway) = started().await;
    let key = home.create_key(&["--models", "open"]);
    let stranger = home.create_key(&[]);
    let revoked = home.create_key(&[]);
    for key in [&key, &stranger, &revoked] {
        gateway.until_models(key, &Ok(vec!["open".to_owned()])).await;
    }
    home.ask(&["keys", "revoke", &id(&revoked)]);
    gateway.until_models(&revoked, &Err(401)).await;
    for (key, model, status, because) in [
        (&key, "open", "200", "1 of 1 endpoints are ready"),
        (&key, "closed", "403", "✗ authorize     the key's models are [open]"),
        (&stranger, "closed", "403", "✗ authorize     test is in none of [ml]"),
        (&stranger, "nothing", "404", "✗ resolve       no route serves this model"),
        (&revoked, "open", "401", "✗ authenticate  no key of this id is in force here"),
    ] {
        let by_id = explain(&home, &gateway, &["--key-id", &id(key), "--model", model]);
        assert_eq!(by_id.code, 0, "{}", by_id.err);
        assert!(by_id.out.contains(because), "{}", by_id.out);
        assert!(by_id.out.ends_with(&format!("→ {status}\n")), "{}", by_id.out);
        let by_key = explain(&home, &gateway, &["--key", key, "--model", model]);
        assert_eq!(by_key.out, by_id.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_may_be_in_the_environment_and_the_first_one_may_do_all() {
    let (_sim, home, gateway) = started().await;
    let ran = explain(&home, &gateway, &["--model", "closed"]);
    assert!(ran.out.contains("✓ authorize     admin is in ml"), "{}", ran.out);
    assert!(ran.out.ends_with("→ 200\n"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_answer_is_named() {
    let home = Home::new();
    let sim = sim(&["a"]).await;
    sim.stop_listening().await;
    let address = sim.addr().to_string();
    let args = ["explain", "--key-id", "abcdefgh2345", "--model", "m", "--admin", &address];
    // Without a certificate on the machine, too.
    let ran = home.run_with(&[("SSL_CERT_FILE", "none"), ("SSL_CERT_DIR", "none")], &args);
    assert_eq!(ran.code, 69);
    let start =
        format!("llm-gateway: no answer from the gateway at http://{address}; is it running");
    assert!(ran.err.starts_with(&start), "{}", ran.err);
}
