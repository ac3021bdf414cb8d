//! The program as a child process, and what it says.

use llm_sim::{Config, Sim};
use reqwest::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// How long a test waits for what should come soon.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long a change may take to be in force, where nothing else keeps the machine busy.
const IN_FORCE: Duration = Duration::from_secs(1);
/// How often a change is measured, so that one of them finds the machine free.
pub(crate) const ATTEMPTS: usize = 3;
/// Any port of this machine.
pub(crate) const ANY: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
pub(crate) const CONFIG: &str = "gateway.yaml";

/// A folder to work in.
pub(crate) struct Home(TempDir);

/// What a command did that ran to its end.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A gateway that runs until the test ends.
pub(crate) struct Gateway {
    /// Such as `http://127.0.0.1:4711/v1`.
    pub(crate) base: String,
    /// Such as `http://127.0.0.1:4712`.
    pub(crate) admin: String,
    /// The key it printed, if any.
    pub(crate) key: Option<String>,
    child: Child,
    out: Arc<Said>,
    err: Arc<Said>,
}

/// What a process has written so far.
#[derive(Default)]
struct Said {
    state: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.join(name)).unwrap()
    }

    /// The names in it, in their order.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llm-gateway"));
        command.args(args).current_dir(self.path()).env("TMPDIR", self.path());
        for name in ["LLM_GATEWAY_KEY", "RUST_LOG", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(&[], args)
    }

    /// Runs a command with these environment variables.
    pub(crate) fn run_with(&self, environment: &[(&str, &str)], args: &[&str]) -> Ran {
        let ran = self.command(args).envs(environment.iter().copied()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: ran.status.code().unwrap_or(-1), out: text(ran.stdout), err: text(ran.stderr) }
    }

    /// Runs a command whose standard output goes into this file; its exit code and errors.
    pub(crate) fn run_into(&self, out: fs::File, args: &[&str]) -> (i32, String) {
        let ran = self.command(args).stdout(out).output().unwrap();
        (ran.status.code().unwrap_or(-1), String::from_utf8(ran.stderr).unwrap())
    }

    /// What a command prints that succeeds.
    pub(crate) fn ask(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        ran.out
    }

    /// Makes a key, as a shell would.
    pub(crate) fn create_key(&self, args: &[&str]) -> String {
        let made = self.ask(&[&["keys", "create", "--name", "test"], args].concat());
        made.strip_suffix('\n').unwrap().to_owned()
    }

    /// Starts a gateway on ports of its own.
    pub(crate) fn start(&self, args: &[&str]) -> Gateway {
        self.start_with(&[], &[args, &ANY].concat())
    }

    /// Starts a gateway with the configuration of this folder.
    pub(crate) fn serve(&self) -> Gateway {
        self.start(&["serve"])
    }

    /// Starts a gateway with these environment variables and exactly these arguments.
    pub(crate) fn start_with(&self, environment: &[(&str, &str)], args: &[&str]) -> Gateway {
        let mut gateway = Gateway::of(self.command(args).envs(environment.iter().copied()));
        gateway.read_banner();
        gateway
    }

    /// Starts a gateway and does not wait until it is ready.
    pub(crate) fn spawn(&self, args: &[&str]) -> Gateway {
        Gateway::of(self.command(args).args(ANY))
    }
}

impl Gateway {
    fn of(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let out = Said::follow(child.stdout.take().unwrap());
        let err = Said::follow(child.stderr.take().unwrap());
        Self { base: String::new(), admin: String::new(), key: None, child, out, err }
    }

    /// Waits for the banner and reads it.
    fn read_banner(&mut self) {
        // The command to try is the last thing that a gateway prints.
        let banner = self.out.wait_for(|text| text.contains("Hello!") && text.ends_with("\n\n"));
        let Some(banner) = banner else {
            panic!("no banner, but: {}{}", self.printed(), self.log());
        };
        let field = |name: &str| {
            let line = banner.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next().unwrap().to_owned())
        };
        self.base = field("  base URL  ").unwrap();
        self.admin = field("  admin     ").unwrap();
        self.key = field("  key       ").filter(|word| word.starts_with("sk-"));
    }

    /// What it printed on standard output.
    pub(crate) fn printed(&self) -> String {
        self.out.text()
    }

    /// What it wrote on standard error.
    pub(crate) fn log(&self) -> String {
        self.err.text()
    }

    pub(crate) fn wait_for_log(&self, part: &str) {
        let found = self.err.wait_for(|text| text.contains(part));
        assert!(found.is_some(), "no {part:?} in the log: {}", self.log());
    }

    pub(crate) fn key(&self) -> &str {
        self.key.as_deref().unwrap()
    }

    pub(crate) fn admin_port(&self) -> &str {
        self.admin.strip_prefix("http://").unwrap()
    }

    /// Its process id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Tells it to stop, and waits until it has: its exit code and all it logged.
    pub(crate) fn stop(mut self) -> (i32, String) {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Waits until it has ended: its exit code and all it logged.
    pub(crate) fn ended(&mut self) -> (i32, String) {
        assert!(self.out.wait_for_end() && self.err.wait_for_end(), "it goes on: {}", self.log());
        (self.child.wait().unwrap().code().unwrap_or(-1), self.log())
    }

    /// Asks a model something; the status and the body.
    pub(crate) async fn chat(&self, key: &str, model: &str) -> (u16, Value) {
        let answer = self.post(key, &chat(model, false)).await;
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }

    pub(crate) async fn post(&self, key: &str, body: &Value) -> reqwest::Response {
        let request = client().post(format!("{}/chat/completions", self.base)).bearer_auth(key);
        request.json(body).timeout(PATIENCE).send().await.unwrap()
    }

    /// The ids of the models that this key may use; the status if it may not ask.
    pub(crate) async fn models(&self, key: &str) -> Result<Vec<String>, u16> {
        self.models_by(&client(), key).await
    }

    pub(crate) async fn models_by(&self, client: &Client, key: &str) -> Result<Vec<String>, u16> {
        let request = client.get(format!("{}/models", self.base)).bearer_auth(key);
        let answer = request.timeout(PATIENCE).send().await.unwrap();
        if answer.status() != 200 {
            return Err(answer.status().as_u16());
        }
        let list: Value = answer.json().await.unwrap();
        let ids = list["data"].as_array().unwrap().iter();
        Ok(ids.map(|model| model["id"].as_str().unwrap().to_owned()).collect())
    }

    /// Waits until the list of models is this one; how long that took.
    pub(crate) async fn until_models(
        &self,
        key: &str,
        wanted: &Result<Vec<String>, u16>,
    ) -> Duration {
        let client = client();
        let begun = llm_proxy::clock::now();
        let mut rounds = tokio::time::interval(Duration::from_millis(5));
        loop {
            let models = self.models_by(&client, key).await;
            let elapsed = llm_proxy::clock::now().duration_since(begun);
            if models == *wanted {
                return elapsed;
            }
            assert!(elapsed < PATIENCE, "{models:?} is not {wanted:?}: {}", self.log());
            rounds.tick().await;
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Said {
    fn follow(mut from: impl Read + Send + 'static) -> Arc<Self> {
        let said = Arc::new(Self::default());
        let writer = Arc::clone(&said);
        thread::spawn(move || {
            let mut part = [0; 4096];
            loop {
                let count = from.read(&mut part).unwrap_or(0);
                let mut state = writer.state.lock().unwrap();
                state.0.push_str(&String::from_utf8_lossy(&part[..count]));
                state.1 = count == 0;
                writer.changed.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        said
    }

    fn text(&self) -> String {
        self.state.lock().unwrap().0.clone()
    }

    fn wait_for(&self, holds: impl Fn(&str) -> bool) -> Option<String> {
        let state = self.state.lock().unwrap();
        let waits = |state: &mut (String, bool)| !state.1 && !holds(&state.0);
        let (state, _) = self.changed.wait_timeout_while(state, PATIENCE, waits).unwrap();
        holds(&state.0).then(|| state.0.clone())
    }

    fn wait_for_end(&self) -> bool {
        let state = self.state.lock().unwrap();
        let waits = |state: &mut (String, bool)| !state.1;
        self.changed.wait_timeout_while(state, PATIENCE, waits).unwrap().0.1
    }
}

/// Holds that a change is in force within a second: at least once, for whatever else runs on the
/// machine may stop all that a test measures.
pub(crate) fn assert_in_force_within_a_second(what: &str, took: &[Duration]) {
    assert!(took.iter().any(|took| *took < IN_FORCE), "{what}: {took:?}");
}

pub(crate) fn client() -> Client {
    llm_gateway::http_client::client("http").unwrap()
}

pub(crate) fn chat(model: &str, stream: bool) -> Value {
    json!({
        "model": model, "stream": stream, "max_tokens": 8,
        "messages": [{ "role": "user", "content": "Say something." }],
    })
}

/// A simulated server of these models.
pub(crate) async fn sim(models: &[&str]) -> Sim {
    let models = models.iter().map(|id| (*id).to_owned()).collect();
    Sim::start(Config { models, ..Config::default() }).await.unwrap()
}

/// One line of a configuration: a model for everyone with a key.
pub(crate) fn model(id: &str, url: &str) -> String {
    format!("  - {{id: {id}, endpoints: ['{url}'], access: {{public: true}}}}\n")
}

/// A configuration of one model for everyone with a key.
pub(crate) fn config(id: &str, url: &str) -> String {
    format!("models:\n{}", model(id, url))
}

/// The public part of a key.
pub(crate) fn id(key: &str) -> String {
    llm_contract::SecretKey::parse(key).unwrap().id().to_string()
}

/// A server that answers everything with this text, as long as the test runs.
pub(crate) async fn page(text: &'static str) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(move || async move { text });
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move { axum::serve(listener, router).await });
    serving.detach_all();
    format!("http://{address}")
}
