//! Lines that are gathered and written together a few times a second: one line for each request,
//! written by itself, would cost more than the request's own way through the proxy.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tracing_subscriber::fmt::MakeWriter;

/// How long a line may wait.
const WAIT: Duration = Duration::from_millis(100);
/// How much is gathered before whoever logs has to wait for it to be written.
const BYTES_MAX: usize = 256 * 1024;

/// Lines that wait to be written to standard error.
#[derive(Clone, Default)]
pub(super) struct Gathered(Arc<Mutex<Vec<u8>>>);

impl Gathered {
    /// Begins to write what is gathered, for as long as the process.
    pub(super) fn start() -> Self {
        let gathered = Self::default();
        let waiting = gathered.clone();
        thread::spawn(move || {
            loop {
                thread::sleep(WAIT);
                waiting.write_out();
            }
        });
        gathered
    }

    /// Writes what waits now.
    pub(super) fn write_out(&self) {
        let lines = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        // Nobody is left to tell if this fails.
        let _ = io::stderr().write_all(&lines);
    }
}

impl<'a> MakeWriter<'a> for Gathered {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Gathered {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let full = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.extend_from_slice(line);
            BYTES_MAX < lines.len()
        };
        if full {
            self.write_out();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
