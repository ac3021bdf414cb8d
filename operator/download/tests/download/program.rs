//! The program under test, and a folder for it to fill.

use crate::hub::{Hub, Model};
use llm_download::Progress;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// How long a test waits for an event.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A folder used as a volume.
pub(crate) struct Volume {
    pub(crate) root: PathBuf,
    _temporary: TempDir,
}

/// The arguments of one run.
pub(crate) struct Program {
    command: Command,
}

/// A running process.
pub(crate) struct Running {
    child: Child,
}

/// The result of a run. `reason` is the termination message.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) reason: String,
}

impl Volume {
    pub(crate) fn new() -> Self {
        let temporary = TempDir::new().unwrap();
        Self { root: temporary.path().join("models"), _temporary: temporary }
    }

    /// A tmpfs of this size.
    pub(crate) fn of_mib(mib: u32) -> Mounted {
        let volume = Self::new();
        std::fs::create_dir(&volume.root).unwrap();
        let mut mount = std::process::Command::new("mount");
        let size = format!("size={mib}m");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&volume.root).status();
        assert!(mounted.unwrap().success(), "mounting a tmpfs needs root and CAP_SYS_ADMIN");
        Mounted(volume)
    }

    /// All files but the program's own, and their bytes.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for item in std::fs::read_dir(folder).into_iter().flatten() {
                let path = item.unwrap().path();
                let name = path.strip_prefix(&self.root).unwrap().to_str().unwrap().to_owned();
                if name.starts_with(".llm-download") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
        files
    }

    pub(crate) fn marker(&self) -> Option<serde_json::Value> {
        let text = std::fs::read(self.root.join(".llm-download.json")).ok()?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    /// The content of the program's own folder, without the lock file.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let list = std::fs::read_dir(self.root.join(".llm-download")).into_iter().flatten();
        let names = list.map(|item| item.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }

    /// The size of all partial files.
    pub(crate) fn partial_bytes(&self) -> u64 {
        let mut bytes = 0;
        for folder in std::fs::read_dir(self.root.join(".llm-download")).into_iter().flatten() {
            for file in std::fs::read_dir(folder.unwrap().path()).into_iter().flatten().flatten() {
                if file.path().extension().is_some_and(|end| end == "part") {
                    bytes += file.metadata().map_or(0, |found| found.len());
                }
            }
        }
        bytes
    }

    /// Only these files are there, and no leftovers.
    pub(crate) fn assert_exactly(&self, model: &Model) {
        self.assert_complete(model);
        assert_eq!(self.leftovers(), [] as [String; 0]);
    }

    /// Only these files are there. A process killed at its very end may leave empty folders.
    pub(crate) fn assert_complete(&self, model: &Model) {
        let (found, wanted) = (self.files(), &model.files);
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(wanted));
        for (name, bytes) in wanted {
            assert!(found[name] == *bytes, "{name} differs");
        }
        assert_eq!(self.marker().unwrap()["commit"], model.commit);
        assert_eq!(self.partial_bytes(), 0);
    }
}

/// A volume that is unmounted when the test ends.
pub(crate) struct Mounted(pub(crate) Volume);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0.root).status();
    }
}

impl Program {
    /// Without arguments.
    pub(crate) fn new() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llm-download"));
        command.env_clear().env("NO_PROXY", "*").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    /// Downloads `acme/tiny`, with short waits.
    pub(crate) fn fetch(hub: &Hub, volume: &Volume) -> Self {
        Self::new().env("HF_ENDPOINT", &hub.url).args(["acme/tiny"]).to(&volume.root)
    }

    pub(crate) fn to(self, root: &Path) -> Self {
        let log = root.with_extension("termination-log");
        std::fs::create_dir_all(root.parent().unwrap()).unwrap();
        std::fs::write(&log, "").unwrap();
        self.args(["--local-dir", root.to_str().unwrap(), "--retry-wait", "1ms", "--retries", "4"])
            // Longer than a test: what a gate holds back must not time out.
            .args(["--idle-timeout", "10m"])
            .env("LLM_TERMINATION_LOG", log.to_str().unwrap())
    }

    pub(crate) fn args<const N: usize>(mut self, args: [&str; N]) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn start(mut self) -> Running {
        Running { child: self.command.spawn().unwrap() }
    }

    pub(crate) async fn run(self) -> Output {
        let log = self.command.as_std().get_envs().find(|(name, _)| *name == "LLM_TERMINATION_LOG");
        let log = log.and_then(|(_, path)| path.map(PathBuf::from));
        let mut output = self.start().end().await;
        if let Some(log) = log {
            output.reason = std::fs::read_to_string(log).unwrap();
        }
        output
    }

    /// Runs, and must succeed.
    pub(crate) async fn succeed(self) -> Output {
        let output = self.run().await;
        assert_eq!(output.code, Some(0), "{output:?}");
        output
    }

    /// Runs, and must fail with this exit code.
    pub(crate) async fn fail(self, code: i32) -> Output {
        let output = self.run().await;
        assert_eq!(output.code, Some(code), "{output:?}");
        output
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().unwrap();
        kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// Waits for the end. The process can still be killed.
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// Kills the process, unless it has ended, and waits for its end.
    pub(crate) async fn kill(mut self) -> ExitStatus {
        let _ = self.child.start_kill();
        self.child.wait().await.unwrap()
    }

    pub(crate) async fn end(self) -> Output {
        let output = tokio::time::timeout(TIMEOUT, self.child.wait_with_output());
        let output = output.await.expect("the program did not end").unwrap();
        Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            reason: String::new(),
        }
    }
}

impl Output {
    /// The last progress line.
    pub(crate) fn progress(&self) -> Progress {
        self.stdout.lines().last().and_then(Progress::from_line).unwrap()
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) {
    let mut interval = tokio::time::interval(Duration::from_millis(2));
    let deadline = tokio::time::Instant::now() + TIMEOUT;
    while !condition() {
        assert!(interval.tick().await < deadline, "the condition was never met");
    }
}
