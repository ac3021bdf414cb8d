//! How long each step takes.

use llm_scale::clock;
use std::time::Instant;

pub(crate) struct Steps {
    began: Instant,
    last: Instant,
}

impl Steps {
    pub(crate) fn begin() -> Self {
        let now = clock::now();
        Self { began: now, last: now }
    }

    pub(crate) fn done(&mut self, step: &str) {
        let now = clock::now();
        let (all, this) = ((now - self.began).as_secs_f64(), (now - self.last).as_secs_f64());
        println!("{all:6.1} s  {this:+6.1} s  {step}");
        self.last = now;
    }
}
