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

/// A running script; it and all it has started are gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Script {
    path: PathBuf,
    running: Arc<Mutex<Running>>,
}

impl Script {
    /// Starts a script of this package and waits until it says that it is ready.
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
        let script = Self { path, running: Arc::new(Mutex::new(Running { child, input, output })) };
        script.answer(None).await?;
        Ok(script)
    }

    /// Gives the script an order and waits for its answer; it sets the time limits itself.
    pub(crate) async fn ask(&self, order: &str) -> Result<String, ClusterError> {
        self.answer(Some(format!("{order}\n"))).await
    }

    async fn answer(&self, order: Option<String>) -> Result<String, ClusterError> {
        let (script, running) = (self.path.clone(), Arc::clone(&self.running));
        tokio::task::spawn_blocking(move || {
            let mut running = running.lock();
            let answer = running
                .answer(order)
                .map_err(|source| ClusterError::Run { program: script.clone(), source })?;
            answer.map_err(|code| ClusterError::Ended { script, code })
        })
        .await
        .map_err(|source| ClusterError::Thread { source })?
    }
}

#[derive(Debug)]
struct Running {
    child: Child,
    input: Option<ChildStdin>,
    output: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// The script's next line, or its exit code if there is none.
    fn answer(&mut self, order: Option<String>) -> io::Result<Result<String, Option<i32>>> {
        if let (Some(input), Some(order)) = (&mut self.input, order) {
            input.write_all(order.as_bytes())?;
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

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.input.take());
        // Nothing is left to be done about a script that cannot be waited for.
        drop(self.child.wait());
    }
}
