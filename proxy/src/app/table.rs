//! The `table` command: the route table in force in a running proxy.

use super::{admin_client, cli::TableArgs, error::CliError};
use llm_cli::print_route_table;
use llm_contract::push::RedactedTable;
use std::io::Write;

pub async fn run(args: &TableArgs, out: &mut impl Write) -> Result<(), CliError> {
    let table: RedactedTable = admin_client::get(&args.admin, "/table", &[]).await?;
    Ok(print_route_table(&table, args.output.format(), out)?)
}
