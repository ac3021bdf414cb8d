//! `demo`: everything works when pasted, and nothing is left at the end.

use crate::{support::Home, upstream::paste};
use std::net::TcpListener;

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_does_what_it_prints_and_leaves_nothing() {
    let home = Home::new();
    let gateway = home.start(&["demo"]);
    let answer = paste(&gateway.printed());
    assert!(answer.starts_with("data: {") && answer.ends_with("data: [DONE]\n\n"), "{answer}");
    let models = gateway.models(gateway.key()).await.unwrap();
    assert_eq!(models, ["demo/cloud", "demo/qwen3"]);
    assert_eq!(gateway.chat(gateway.key(), "demo/cloud").await.0, 200);
    for path in ["healthz", "readyz", "metrics"] {
        let url = format!("{}/{path}", gateway.admin);
        let answer = crate::support::client().get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
    }
    assert_eq!(home.names().len(), 1, "its temporary folder");
    assert_eq!(gateway.stop().0, 0);
    assert!(home.names().is_empty(), "{:?}", home.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_takes_another_port_if_one_is_taken_and_says_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let gateway = home.start_with(&[], &["demo", "--listen", &address, "--admin", &address]);
    let printed = gateway.printed();
    let other = gateway.base.strip_prefix("http://").unwrap().strip_suffix("/v1").unwrap();
    let said = format!("{address} is in use; the demo listens on {other} instead\n");
    assert!(printed.starts_with(&said), "{printed}");
    assert_ne!(other, address);
    assert!(gateway.models(gateway.key()).await.is_ok());
}

#[test]
fn a_demo_that_cannot_listen_leaves_nothing() {
    let home = Home::new();
    let ran = home.run(&["demo", "--listen", "192.0.2.1:80"]);
    assert_eq!(ran.code, 69);
    assert!(ran.err.contains("cannot listen on 192.0.2.1:80; choose another"), "{}", ran.err);
    assert!(home.names().is_empty(), "{:?}", home.names());
}
