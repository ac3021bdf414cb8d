//! Which upstream a request reaches.

use crate::support::{Proxy, chat, nowhere, served, table};
use llm_sim::{Config, Sim};
use serde_json::{Value, json};

async fn sim() -> Sim {
    Sim::start(Config::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_the_server_of_its_model() {
    let sim = sim().await;
    let model = Config::default().models[0].clone();
    let proxy = Proxy::start(table(json!([served(&model, &[sim.url()])]))).await;
    let answer = proxy.chat(&model).await;
    assert_eq!(answer.status(), 200);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(sim.received()[0].body, chat(&model, false));
    let _ = nowhere();
}
