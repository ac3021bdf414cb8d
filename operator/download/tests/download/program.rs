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

/// How long a test waits for what should come soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that stands for a volume.
pub(crate) struct Volume {
    pub(crate) root: PathBuf,
    _temporary: TempDir,
}

/// The arguments of one run.
pub(crate) struct Program {
    command: Command,
}

/// A run under way.
pub(crate) struct Running {
    child: Child,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) notes: String,
    pub(crate) reason: String,
}

impl Volume {
    pub(crate) fn new() -> Self {
        let temporary = TempDir::new().unwrap();
        Self { root: temporary.path().join("models"), _temporary: temporary }
    }

    /// A file system of its own, of this size.
    pub(crate) fn of_mib(mib: u32) -> Mounted {
        let volume = Self::new();
        std::fs::create_dir(&volume.root).unwrap();
        let mut mount = std::process::Command::new("mount");
        let size = format!("size={mib}m");
        let mounted = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&volume.root).status();
        assert!(mounted.unwrap().success(), "mounting a tmpfs needs root and CAP_SYS_ADMIN");
        Mounted(volume)
    }

    /// All files that are not ours, and what they hold.
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

    /// What is in our own folder, without what is always there.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let list = std::fs::read_dir(self.root.join(".llm-download")).into_iter().flatten();
        let names = list.map(|item| item.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }

    /// How many bytes of unfinished files there are.
    pub(crate) fn unfinished(&self) -> u64 {
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

    /// Holds exactly this, and nothing of us that is not always there.
    pub(crate) fn holds(&self, model: &Model) {
        self.serves(model);
        assert_eq!(self.leftovers(), [] as [String; 0]);
    }

    /// Holds exactly this. Who was killed after everything was done may not have tidied up.
    pub(crate) fn serves(&self, model: &Model) {
        let (found, wanted) = (self.files(), &model.files);
        let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&found), names(wanted));
        for (name, bytes) in wanted {
            assert!(found[name] == *bytes, "{name} differs");
        }
        assert_eq!(self.marker().unwrap()["commit"], model.commit);
        assert_eq!(self.unfinished(), 0);
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
    pub(crate) fn bare() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llm-download"));
        command.env_clear().env("NO_PROXY", "*").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command }
    }

    /// Fetches `acme/tiny`, with little patience for what fails.
    pub(crate) fn fetch(hub: &Hub, volume: &Volume) -> Self {
        Self::bare().env("HF_ENDPOINT", &hub.url).args(["acme/tiny"]).to(&volume.root)
    }

    pub(crate) fn to(self, root: &Path) -> Self {
        let log = root.with_extension("termination-log");
        std::fs::create_dir_all(root.parent().unwrap()).unwrap();
        std::fs::write(&log, "").unwrap();
        self.args(["--local-dir", root.to_str().unwrap(), "--retry-wait", "1ms", "--retries", "4"])
            // Longer than a test waits: what the hub holds back is given up by no one meanwhile.
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

    pub(crate) async fn run(self) -> Ended {
        let log = self.command.as_std().get_envs().find(|(name, _)| *name == "LLM_TERMINATION_LOG");
        let log = log.and_then(|(_, path)| path.map(PathBuf::from));
        let mut ended = self.start().end().await;
        if let Some(log) = log {
            ended.reason = std::fs::read_to_string(log).unwrap();
        }
        ended
    }

    /// Runs, and must not fail.
    pub(crate) async fn succeed(self) -> Ended {
        let ended = self.run().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    /// Runs, and must fail so.
    pub(crate) async fn fail(self, code: i32) -> Ended {
        let ended = self.run().await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        ended
    }
}

impl Running {
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().unwrap();
        kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal).unwrap();
    }

    /// How it ended, when it has. It can still be killed.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.child.wait().await.unwrap()
    }

    /// Kills it, as a power cut would, unless it has ended. It is dead after that.
    pub(crate) async fn kill(mut self) -> ExitStatus {
        let _ = self.child.start_kill();
        self.child.wait().await.unwrap()
    }

    pub(crate) async fn end(self) -> Ended {
        let ended = tokio::time::timeout(PATIENCE, self.child.wait_with_output());
        let ended = ended.await.expect("the program did not end").unwrap();
        Ended {
            code: ended.status.code(),
            out: String::from_utf8(ended.stdout).unwrap(),
            notes: String::from_utf8(ended.stderr).unwrap(),
            reason: String::new(),
        }
    }
}

impl Ended {
    /// What the last line of progress says.
    pub(crate) fn progress(&self) -> Progress {
        self.out.lines().last().and_then(Progress::from_line).unwrap()
    }
}

/// Waits until something holds.
pub(crate) async fn eventually(mut holds: impl FnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(2));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(looks.tick().await < deadline, "it never came to hold");
    }
}
