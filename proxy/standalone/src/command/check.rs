//! `llm-gateway check`: reports every error in a configuration.

use crate::{
    cli::CheckArgs,
    config::{self, Environment},
    error::CliError,
    http_client,
};
use llm_contract::Table;
use llm_proxy::auth::oidc::{IssuerConfig, Issuers};
use std::io::Write;

/// Loads the configuration with its secrets, as a gateway would at its start.
pub fn run(
    args: &CheckArgs,
    environment: Environment<'_>,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let config = config::load(&args.config, environment)?.config;
    let table = Table::try_from(config.table(Vec::new(), 1))?;
    check_issuers(&table)?;
    writeln!(
        out,
        "{}: good: {}, {}, {}",
        args.config.display(),
        count(config.models.len(), "model"),
        count(config.providers.len(), "provider"),
        count(config.issuers.len(), "issuer"),
    )?;
    Ok(())
}

/// Sets issuers up on a runtime that never runs, so that no request is sent to them.
fn check_issuers(table: &Table) -> Result<(), CliError> {
    http_client::install_crypto();
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let issuers = table.issuers.iter().map(IssuerConfig::from).collect();
    Ok(Issuers::new(1).update(issuers, runtime.handle())?)
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_cli::ProgramError as _;
    use sysexits::ExitCode;

    fn check(text: &str) -> Result<String, CliError> {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("gateway.yaml");
        std::fs::write(&config, text).unwrap();
        let mut out = Vec::new();
        run(&CheckArgs { config }, &|_| None, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_good_file_is_reported_as_good() {
        let model = "models: [{id: m, endpoints: ['http://h:1'], access: {public: true}}]";
        let output = check(model).unwrap();
        assert!(
            output.ends_with("gateway.yaml: good: 1 model, 0 providers, 0 issuers\n"),
            "{output}"
        );
    }

    #[test]
    fn a_bad_file_is_refused_with_every_error_on_its_line() {
        let refused = check("lisen: {}\ndataDir: 7\n").unwrap_err();
        assert_eq!(refused.exit_code(), ExitCode::DataErr);
        let text = refused.to_string();
        let lines: Vec<_> =
            text.lines().map(|it| it.split_once("gateway.yaml").unwrap().1).collect();
        assert_eq!(
            lines,
            [
                ":1: lisen: unknown field; did you mean `listen`?",
                ":2: dataDir: must be a string, not a number; put it in quotes"
            ]
        );
    }
}
