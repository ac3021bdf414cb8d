//! The program `llm-sim`.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::DEADLINE;

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-sim"));
    command.args(arguments).stdout(Stdio::piped()).kill_on_drop(true);
    command.spawn().unwrap()
}

async fn signalled(child: &mut Child, signal: &str) -> ExitStatus {
    let id = child.id().unwrap().to_string();
    Command::new("kill").args(["-s", signal, &id]).status().await.unwrap();
    timeout(DEADLINE, child.wait()).await.expect("an end in time").unwrap()
}

#[tokio::test]
async fn it_prints_its_url_serves_and_ends_cleanly() {
    for signal in ["TERM", "INT"] {
        let mut child = start(&["--port", "0", "--model", "demo/qwen3"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let addr = url.strip_prefix("http://").unwrap();
        let mut socket = TcpStream::connect(addr).await.unwrap();
        let asked = b"GET /v1/models HTTP/1.1\r\nhost: sim\r\nconnection: close\r\n\r\n";
        socket.write_all(asked).await.unwrap();
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut socket, &mut answer).await.unwrap();
        assert!(answer.contains("\"id\":\"demo/qwen3\""), "{answer}");
        assert!(signalled(&mut child, signal).await.success());
    }
}

#[tokio::test]
async fn the_readme_holds_the_help() {
    let help = start(&["--help"]).wait_with_output().await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let readme = include_str!("../../README.md");
    for flag in help.split_whitespace().filter(|word| word.starts_with("--")) {
        assert!(readme.contains(flag), "{flag}");
    }
}

#[tokio::test]
async fn it_takes_the_arguments_of_a_vllm_and_like_it_wants_weights() {
    let folder = std::env::temp_dir().join(format!("llm-sim-weights-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let weights = folder.to_str().unwrap();
    let arguments = ["--model", weights, "--served-model-name", "org/tiny", "alias", "--port", "0"];
    let without = start(&arguments).wait_with_output().await.unwrap();
    assert!(!without.status.success());
    std::fs::write(folder.join("config.json"), "{}").unwrap();
    let arguments = [&arguments[..], &["--tensor-parallel-size", "2"]].concat();
    let mut child = start(&arguments);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let url = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(url.starts_with("http://127.0.0.1:"));
    assert!(signalled(&mut child, "TERM").await.success());
    std::fs::remove_dir_all(folder).unwrap();
}
