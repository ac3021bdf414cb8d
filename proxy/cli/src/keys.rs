//! What commands print about API keys.

use crate::{Streams, time_or};
use jiff::Timestamp;
use llm_contract::{KeyId, SecretKey, plain};
use std::{fmt::Display, io, time::Duration};

/// A key as remarks name it.
pub struct KeySummary<'a> {
    pub id: &'a str,
    pub name: &'a str,
    pub models: &'a str,
    pub expires_at: Option<Timestamp>,
}

impl Streams<'_> {
    /// Prints a new key, alone on standard output.
    pub fn print_new_key(&mut self, summary: &KeySummary<'_>, key: &SecretKey) -> io::Result<()> {
        let KeySummary { id, name, models, expires_at } = summary;
        let (name, models) = (plain(name), plain(models));
        let expires = time_or("never", *expires_at);
        writeln!(
            self.notes,
            "key {id} ({name}), models {models}, expires {expires}; it is shown only once:"
        )?;
        writeln!(self.out, "{}", key.reveal())?;
        self.out.flush()
    }

    pub fn note_overlap(&mut self, id: KeyId, overlap: Duration) -> io::Result<()> {
        let overlap = humantime::format_duration(overlap);
        writeln!(self.notes, "key {id} stays valid for {overlap}, or until it expires if sooner")
    }

    pub fn note_state(&mut self, id: &str, name: &str, state: impl Display) -> io::Result<()> {
        writeln!(self.notes, "key {id} ({}) is {state}", plain(name))
    }
}
