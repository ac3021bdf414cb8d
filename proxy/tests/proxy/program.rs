//! The program `llm-proxy` from outside: a child process that follows an operator.

use crate::{
    actors::{CHAT, MODEL, sim},
    operator::{Authority, NAME, Operator, TOKEN, routes},
    pushed::{me, model},
    support::{ME, PATIENCE, bearer, chat, eventually, key, record, served},
};
use llm_sim::{Config, Sim};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::Duration,
};
use tempfile::TempDir;

/// Between two tokens: so slow that a stream goes on while the proxy stops.
const TOKEN_WAIT: Duration = Duration::from_millis(40);

/// A folder with all that a proxy needs.
struct Home(TempDir);

impl Home {
    fn new(authority: &Authority) -> Self {
        llm_proxy::app::http_client::install_crypto();
        let home = Self(tempfile::tempdir().unwrap());
        fs::write(home.path("ca.crt"), authority.pem()).unwrap();
        fs::write(home.path("token"), TOKEN).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llm-proxy"));
        command.current_dir(self.0.path()).env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// Starts a proxy that follows the operator at this address, with a model server beside it.
    async fn serve(&self, operator: &str, more: &[&str]) -> Program {
        self.start(operator, &[&["--allow-local-upstreams"], more].concat()).await
    }

    async fn start(&self, operator: &str, more: &[&str]) -> Program {
        let log = self.path("log");
        let mut command = self.command();
        command.args(["serve", "--control-ca", "ca.crt", "--control-token", "token"]);
        command.args(["--external", "127.0.0.1:0", "--internal", "127.0.0.1:0", "--name", "p-0"]);
        command.args(["--state", "state", "--usage", "used"]).args(more);
        command.env("LLM_PROXY_CONTROL", operator);
        command.env("LLM_PROXY_CONTROL_SERVER_NAME", NAME).env("LLM_PROXY_ADMIN", "127.0.0.1:0");
        command.env("RUST_LOG", "debug").stderr(fs::File::create(&log).unwrap());
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        let mut program = Program { child, log, external: String::new(), admin: String::new() };
        let mut serves = None;
        eventually(|| {
            // The last line may not be whole yet.
            let log = program.log();
            let mut lines = log.split_inclusive('\n').filter(|it| it.ends_with('\n'));
            serves = lines.find(|it| it.contains("llm-proxy serves")).map(str::to_owned);
            serves.is_some()
        })
        .await;
        let line: Value = serde_json::from_str(&serves.unwrap()).unwrap();
        program.external = line["external"].as_str().unwrap().to_owned();
        program.admin = line["admin"].as_str().unwrap().to_owned();
        program
    }

    fn all_text(&self) -> String {
        fn gather(folder: &Path, text: &mut String) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    gather(&path, text);
                } else {
                    text.push_str(&String::from_utf8_lossy(&fs::read(path).unwrap()));
                }
            }
        }
        let mut text = String::new();
        gather(&self.path("used"), &mut text);
        text + &fs::read_to_string(self.path("log")).unwrap()
    }
}

/// A proxy that runs until the test ends.
struct Program {
    child: Child,
    log: PathBuf,
    external: String,
    admin: String,
}

impl Program {
    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    async fn until_ready(&self) {
        let mut rounds = tokio::time::interval(Duration::from_millis(5));
        let ready = async {
            while self.get("/readyz").await.0 != 200 {
                rounds.tick().await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, ready).await.is_ok(), "{}", self.log());
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = reqwest::get(format!("http://{}{path}", self.admin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn ask(&self, stream: bool) -> reqwest::Response {
        let request = reqwest::Client::new().post(format!("http://{}{CHAT}", self.external));
        let request = request.header("authorization", bearer()).body(chat(MODEL, stream));
        request.header("content-type", "application/json").timeout(PATIENCE).send().await.unwrap()
    }

    fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    async fn ended(&mut self) -> i32 {
        let mut status = None;
        eventually(|| {
            status = self.child.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code().unwrap_or(-1)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn at(operator: &Operator) -> String {
    format!("https://{}", operator.address)
}

async fn slow() -> Sim {
    sim(Config { itl: TOKEN_WAIT, ..Config::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_serves_what_it_is_sent_and_stops_without_breaking_what_runs() {
    let (authority, sim) = (Authority::new(), slow().await);
    let operator = Operator::start(&authority).await;
    let home = Home::new(&authority);
    let mut program = home.serve(&at(&operator), &[]).await;
    assert_eq!(program.get("/readyz").await.0, 503);
    operator.put([me(), model(MODEL, &sim)]);
    program.until_ready().await;
    assert_eq!(program.ask(false).await.status(), 200);
    let mut stream = program.ask(true).await;
    stream.chunk().await.unwrap().unwrap();
    program.stop();
    let rest = stream.text().await.unwrap();
    assert!(rest.ends_with("data: [DONE]\n\n"), "{rest}");
    assert_eq!(program.ended().await, 0, "{}", program.log());
    assert_eq!(operator.streams()[0].hello.proxy, "p-0");
    let used = fs::read_to_string(home.path("used/usage/usage-00000001.jsonl")).unwrap();
    assert_eq!(used.lines().count(), 2, "{used}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_starts_without_an_operator_serves_what_it_kept() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let home = Home::new(&authority);
    operator.put([me(), model(MODEL, &sim)]);
    let mut program = home.serve(&at(&operator), &[]).await;
    program.until_ready().await;
    program.stop();
    assert_eq!(program.ended().await, 0);
    let address = at(&operator);
    drop(operator);
    let program = home.serve(&address, &[]).await;
    assert_eq!(program.get("/readyz").await.0, 200);
    assert_eq!(program.ask(false).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_on_the_proxy_s_own_machine_is_out_of_reach_whatever_it_is_called() {
    let authority = Authority::new();
    let operator = Operator::start(&authority).await;
    let home = Home::new(&authority);
    // Whichever loopback address the name has here.
    let bind = tokio::net::lookup_host("localhost:0").await.unwrap().next().unwrap();
    let sim = sim(Config { bind, ..Config::default() }).await;
    let port = sim.addr().port();
    let put = |host: &str| {
        let provider = json!({ "name": "them", "url": format!("http://{host}:{port}") });
        let upstream = json!({ "provider": { "name": "them" } });
        let route = json!({ "model": MODEL, "access": { "public": true }, "upstream": upstream });
        let document = json!({ "provider": provider, "routes": [route] });
        operator.put([me(), (routes(MODEL), document)]);
    };
    put("localhost");
    let program = home.start(&at(&operator), &[]).await;
    program.until_ready().await;
    let refused = format!(r#"llm_proxy_addresses_refused_total{{route="{MODEL}"}} "#);
    let hosts =
        ["localhost", "127.1", "[::1]", "[::ffff:7f00:1]", "0x7f000001", "[64:ff9b::7f00:1]"];
    for (asked, host) in (1..).zip(hosts) {
        put(host);
        operator.until_applied().await;
        let answer = program.ask(false).await;
        assert_eq!(answer.status(), 502, "{host}");
        let body: Value = answer.json().await.unwrap();
        assert_eq!(body["error"]["code"], "upstream_error", "{host}");
        let metrics = program.get("/metrics").await.1;
        assert!(metrics.contains(&format!("{refused}{asked}\n")), "{host}: {metrics}");
    }
    let named = format!("http://localhost:{port}");
    let says = |line: &str| line.contains(&named) && line.contains("is loopback");
    eventually(|| program.log().lines().any(says)).await;
    assert!(sim.received().is_empty());
    drop(program);
    put("localhost");
    let program = home.serve(&at(&operator), &[]).await;
    // It is ready before, with what was kept.
    operator.until_applied().await;
    assert_eq!(program.ask(false).await.status(), 200, "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_that_refuses_the_token_has_its_reason_in_the_log() {
    let authority = Authority::new();
    let operator = Operator::start(&authority).await;
    operator.expect_token("another");
    let home = Home::new(&authority);
    let program = home.serve(&at(&operator), &[]).await;
    eventually(|| program.log().contains("the operator responded: the token is not valid")).await;
    eventually(|| 3 < operator.refused()).await;
    assert!(!program.log().contains("the operator ended the stream"), "{}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_in_no_log_metric_or_answer() {
    let (authority, sim) = (Authority::new(), sim(Config::default()).await);
    let operator = Operator::start(&authority).await;
    let home = Home::new(&authority);
    let mut with_secret = served(MODEL, &[sim.url()]);
    with_secret["upstream"]["served"]["apiKey"] = "sk-canary".into();
    let odd = json!({ "provider": "sk-canary", "routes": [] });
    let with_secret = json!({ "routes": [with_secret] });
    operator.put([me(), (routes(MODEL), with_secret), (routes("odd"), odd)]);
    let program = home.serve(&at(&operator), &[]).await;
    program.until_ready().await;
    program.ask(false).await;
    let mut told = String::new();
    for path in ["/metrics", "/table", &format!("/explain?key={ME}&model={MODEL}")] {
        told.push_str(&program.get(path).await.1);
    }
    let explain = ["explain", "--model", MODEL, "--admin", &program.admin];
    let url = format!("http://{}", program.admin);
    let table = ["table", "--admin", &program.admin];
    let for_people = ["table", "--output", "table", "--admin", &url];
    for args in [&table[..], &for_people, &explain] {
        let ran =
            home.command().args(args).env("LLM_PROXY_KEY", key(ME).reveal()).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        told.push_str(&String::from_utf8(ran.stdout).unwrap());
    }
    assert!(told.contains("→ 200") && told.contains("control_connected 1"), "{told}");
    assert!(told.contains(r#""name": "models/odd""#), "{told}");
    let row =
        |words: &[&str]| told.lines().any(|it| it.split_whitespace().eq(words.iter().copied()));
    assert!(row(&["REFUSED", "NAME", "REASON"]) && told.contains(&sim.url()), "{told}");
    // Lines are gathered before they are written.
    for line in ["table applied", "a document was rejected", "request ended"] {
        eventually(|| program.log().contains(line)).await;
    }
    told.push_str(&home.all_text());
    let hash = record(ME, &[])["hash"].as_str().unwrap().to_owned();
    for secret in ["sk-canary", TOKEN, key(ME).reveal(), &hash, hash.rsplit('$').next().unwrap()] {
        let line = told.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{line:?}");
    }
    // What is kept is kept whole, or nothing could be served from it.
    let kept = || fs::read(home.path("state/table/table.journal")).unwrap_or_default();
    eventually(|| kept().windows(9).any(|it| it == b"sk-canary")).await;
}

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
}

fn write(home: &Home, it: &CertifiedKey<KeyPair>) {
    fs::write(home.path("tls.crt"), it.cert.pem()).unwrap();
    fs::write(home.path("tls.key"), it.signing_key.serialize_pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_replaced_is_shown_to_the_next_connection() {
    let authority = Authority::new();
    let operator = Operator::start(&authority).await;
    let (home, old, new) = (Home::new(&authority), certificate(), certificate());
    operator.put([me()]);
    write(&home, &old);
    let tls = ["--tls-cert", "tls.crt", "--tls-key", "tls.key"];
    let program = home.serve(&at(&operator), &tls).await;
    program.until_ready().await;
    for shown in [old, new] {
        write(&home, &shown);
        let only = reqwest::Certificate::from_pem(shown.cert.pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([only]).build().unwrap();
        let url = format!("https://{}/v1/models", program.external);
        let ask = || client.get(&url).header("authorization", bearer()).send();
        let mut rounds = tokio::time::interval(Duration::from_millis(10));
        let asked = async {
            while !ask().await.is_ok_and(|it| it.status() == 200) {
                rounds.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap();
    }
}

#[test]
fn what_cannot_be_done_is_said_in_a_line_and_by_the_exit_code() {
    let home = Home::new(&Authority::new());
    write(&home, &certificate());
    fs::write(home.path("other.key"), certificate().signing_key.serialize_pem()).unwrap();
    fs::write(home.path("empty"), "\n").unwrap();
    let listening = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listening.local_addr().unwrap().to_string();
    let serve = ["serve", "--control", "https://127.0.0.1:1", "--external", "127.0.0.1:0"];
    let serve = [&serve[..], &["--internal", "127.0.0.1:0", "--admin", "127.0.0.1:0"]].concat();
    let with = |more: &[&'static str]| [&serve[..], more].concat();
    for (args, code, said) in [
        (with(&["--tls-cert", "tls.crt", "--tls-key", "other.key"]), 65, "does not match"),
        (with(&["--tls-cert", "nothing", "--tls-key", "tls.key"]), 69, "cannot read nothing"),
        (with(&["--pepper", "empty"]), 65, "empty holds no pepper"),
        (with(&["--state", "/proc/nothing"]), 69, "choose another with --state"),
        (vec!["serve", "--control", "http://10.0.0.1:1"], 64, "use https, unless"),
        (vec!["table", "--admin", "127.0.0.1:1"], 69, "is it running"),
        (vec!["explain", "--model", "m"], 64, "which key?"),
    ] {
        let ran = home.run(&args);
        let err = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(code), "{args:?}: {err}");
        assert!(err.contains(said), "{err}");
    }
    let ran = home.run(&["serve", "--control", "https://127.0.0.1:1", "--external", &taken]);
    assert_eq!(ran.status.code(), Some(69));
    let err = String::from_utf8(ran.stderr).unwrap();
    assert!(err.contains("choose another address with --external"), "{err}");
}
