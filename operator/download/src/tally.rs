//! Counts bytes and files, and prints the progress line.

use crate::{Progress, State, weights::Weights};
use std::{
    convert::Infallible,
    io::{self, Write as _},
    sync::Arc,
    time::Duration,
};
use tokio::sync::watch;

/// The shortest time between two lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// After how many times nothing changed the line is printed all the same.
const UNCHANGED_TIMES: u32 = 5;

/// The count so far. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<watch::Sender<Progress>>);

impl Tally {
    pub(crate) fn state(&self, state: State) {
        self.0.send_modify(|progress| progress.state = state);
    }

    /// Says how much there is in all, and that nothing of it is known to be here.
    pub(crate) fn begin(&self, weights: &Weights, state: State) {
        let (total, of) = (weights.bytes(), weights.count());
        self.0.send_replace(Progress { state, bytes: 0, total, files: 0, of });
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.send_modify(|progress| progress.bytes = progress.bytes.saturating_add(bytes));
    }

    pub(crate) fn take_back(&self, bytes: u64) {
        self.0.send_modify(|progress| progress.bytes = progress.bytes.saturating_sub(bytes));
    }

    pub(crate) fn one_file(&self) {
        self.0.send_modify(|progress| progress.files = progress.files.saturating_add(1));
    }

    /// Says that everything is here.
    pub(crate) fn done(&self, weights: &Weights) {
        let (total, of) = (weights.bytes(), weights.count());
        let all = Progress { state: State::Done, bytes: total, total, files: of, of };
        self.0.send_replace(all);
    }

    /// Prints the line now.
    pub(crate) fn print(&self) {
        let line = *self.0.borrow();
        // Nobody is left to tell if the log is closed.
        let _ = writeln!(io::stdout(), "{line}");
    }

    /// Prints the line when it has changed, and now and then when it has not; for ever.
    pub(crate) async fn print_on(&self) -> Infallible {
        let (mut printed, mut unchanged) = (None, 0);
        let mut tick = tokio::time::interval(LINE_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let line = *self.0.borrow();
            unchanged += 1;
            if printed != Some(line) || unchanged >= UNCHANGED_TIMES {
                self.print();
                (printed, unchanged) = (Some(line), 0);
            }
        }
    }
}

/// Tells people something that is no failure.
pub(crate) fn note(text: std::fmt::Arguments<'_>) {
    // Nobody is left to tell if the log is closed.
    let _ = writeln!(io::stderr(), "{text}");
}
