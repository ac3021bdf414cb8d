//! Prints how long each step takes.

use llm_cluster::clock;
use std::time::Instant;

pub(crate) struct StepTimer {
    start: Instant,
    last: Instant,
}

impl StepTimer {
    pub(crate) fn start() -> Self {
        let now = clock::now();
        Self { start: now, last: now }
    }

    pub(crate) fn finish(&mut self, step: &str) {
        let now = clock::now();
        let (all, this) = ((now - self.start).as_secs_f64(), (now - self.last).as_secs_f64());
        println!("{all:6.1} s  {this:+6.1} s  {step}");
        self.last = now;
    }
}
