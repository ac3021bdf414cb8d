//! A script that runs a cluster until its standard input ends.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::error::ClusterError;

/// The folder of this package, in which the scripts are.
pub(crate) const HOME: &str = env!("CARGO_MANIFEST_DIR");

/// A running script; ends with everything it has started when this is dropped.
#[derive(Debug)]
pub(crate) struct Script {
    path: PathBuf,
    running: Arc<Mutex<ScriptProcess>>,
}

impl Script {
    /// Starts a script of this package and waits until it reports that it is ready.
    pub(crate) async fn start(
        name: &str,
        prepare: impl FnOnce(&mut Command),
    ) -> Result<Self, ClusterError> {
        let path = Path::new(HOME).join(name);
        let mut command = Command::new(&path);
        // An interrupt from the terminal ends the tests; the script then ends by itself.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        prepare(&mut command);
        let mut child = command
            .spawn()
            .map_err(|source| ClusterError::Run { program: path.clone(), source })?;
        let input = child.stdin.take();
        let output = child.stdout.take().map(BufReader::new);
        let script =
            Self { path, running: Arc::new(Mutex::new(ScriptProcess { child, input, output })) };
        script.answer(None).await?;
        Ok(script)
    }

    /// Sends the script a command and waits for its answer; the script has its own time limits.
    pub(crate) async fn send(&self, command: &str) -> Result<String, ClusterError> {
        self.answer(Some(format!("{command}\n"))).await
    }

    async fn answer(&self, command: Option<String>) -> Result<String, ClusterError> {
        let (script, running) = (self.path.clone(), Arc::clone(&self.running));
        tokio::task::spawn_blocking(move || {
            let mut running = running.lock();
            let answer = running
                .answer(command)
                .map_err(|source| ClusterError::Run { program: script.clone(), source })?;
            answer.map_err(|code| ClusterError::Ended { script, code })
        })
        .await
        .map_err(|source| ClusterError::Thread { source })?
    }
}

#[derive(Debug)]
struct ScriptProcess {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl ScriptProcess {
    /// The script's next line, or its exit code if there is none.
    fn answer(&mut self, command: Option<String>) -> io::Result<Result<String, Option<i32>>> {
        if let (Some(input), Some(command)) = (&mut self.input, command) {
            input.write_all(command.as_bytes())?;
        }
        let mut answer = String::new();
        if let Some(output) = &mut self.output {
            output.read_line(&mut answer)?;
        }
        if answer.is_empty() {
            return Ok(Err(self.child.wait()?.code()));
        }
        Ok(Ok(answer.trim_end().to_owned()))
    }
}

impl Drop for ScriptProcess {
    fn drop(&mut self) {
        drop(self.input.take());
        // Nothing can be done about a script that cannot be waited for.
        drop(self.child.wait());
    }
}
