//! Programs that run to their end.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::error::ClusterError;

/// The standard output of a command that succeeds.
pub(crate) async fn output(command: Command) -> Result<String, ClusterError> {
    output_with_input(command, "").await
}

pub(crate) async fn output_with_input(
    mut command: Command,
    input: &str,
) -> Result<String, ClusterError> {
    let program = PathBuf::from(command.as_std().get_program());
    let run = |source| ClusterError::Run { program: program.clone(), source };
    command.kill_on_drop(true).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(run)?;
    let stdin = child.stdin.take();
    let write = async {
        // A command that ends without reading its input says why on standard error.
        if let Some(mut stdin) = stdin {
            drop(stdin.write_all(input.as_bytes()).await);
        }
    };
    let ((), output) = tokio::join!(write, child.wait_with_output());
    let output = output.map_err(run)?;
    if !output.status.success() {
        return Err(ClusterError::Failed {
            command: format!("{:?}", command.as_std()),
            code: output.status.code(),
            message: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
