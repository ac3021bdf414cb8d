//! Standard error, written a few times a second: a system call for each request's line would cost
//! more than the request's own way through the proxy.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);
/// A thread that logs writes the buffer itself when it holds more than this.
const BYTES_MAX: usize = 256 * 1024;

#[derive(Clone, Default)]
pub(super) struct BufferedStderr(Arc<Mutex<Vec<u8>>>);

impl BufferedStderr {
    /// Starts the thread that writes, which lives as long as the process.
    pub(super) fn start() -> Self {
        let stderr = Self::default();
        let writer = stderr.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(WRITE_INTERVAL);
                writer.write_out();
            }
        });
        stderr
    }

    pub(super) fn write_out(&self) {
        let lines = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // Standard error may be closed; there is no other place to report that.
        let _ = io::stderr().write_all(&lines);
    }
}

impl<'a> MakeWriter<'a> for BufferedStderr {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for BufferedStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let is_full = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.extend_from_slice(line);
            BYTES_MAX < lines.len()
        };
        if is_full {
            self.write_out();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
