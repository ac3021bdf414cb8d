//! `llm-proxy table`: what is in force in a proxy that runs.

use super::{
    cli::{Output, TableArgs},
    explain::ask,
    failure::Failure,
};
use comfy_table::{Table, presets};
use llm_contract::push::{RedactedTable, Section};
use std::io::{self, Write};

/// Asks the admin listener and prints what it says. It has replaced credentials and hashes.
/// `usually` is the form unless one is asked for.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: TableArgs, usually: Output, out: &mut impl Write) -> Result<(), Failure> {
    let TableArgs { admin, output } = args;
    let shown: RedactedTable = ask(&admin, "/table", &[]).await?;
    match output.unwrap_or(usually) {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, &shown).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Output::Table => {
            for Section { head, rows } in shown.sections() {
                let mut table = Table::new();
                table.load_style(presets::NOTHING).set_header(head).add_rows(rows);
                writeln!(out, "{table}\n")?;
            }
            writeln!(out, "table {}", shown.digest)?;
        }
    }
    Ok(())
}
