//! Where commands write, and in which format.

use clap::{Args, ValueEnum};
use serde::Serialize;
use std::io::{self, IsTerminal as _, Write};

/// Where a command writes, so that `KEY=$(… create …)` gets the key and nothing else.
pub struct Streams<'a> {
    /// The result; standard output.
    pub out: &'a mut dyn Write,
    /// Remarks for people; standard error.
    pub notes: &'a mut dyn Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub struct OutputArgs {
    /// Output format [default: a table on a terminal, JSON otherwise]
    #[arg(long, short, value_name = "FORMAT")]
    output: Option<OutputFormat>,
}

impl OutputArgs {
    /// The format that was asked for, else the one that suits standard output.
    pub fn format(&self) -> OutputFormat {
        let is_terminal = io::stdout().is_terminal();
        let default = if is_terminal { OutputFormat::Table } else { OutputFormat::Json };
        self.output.unwrap_or(default)
    }
}

/// Writes indented JSON and a newline.
pub fn write_json(mut out: impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}
