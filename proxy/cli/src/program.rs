//! A program, from its arguments to its exit code.

use clap::{
    Parser,
    error::{ContextKind, ContextValue},
};
use llm_contract::Chain;
use std::{
    error::Error,
    ffi::OsString,
    io::{self, Write as _},
};
use sysexits::ExitCode;

/// An error that ends a program.
pub trait ProgramError: Error + Sized {
    fn exit_code(&self) -> ExitCode;

    /// Prints the error and its causes on standard error.
    fn print(&self, program: &str) {
        print_error(program, self);
    }
}

/// Parses the arguments and runs the program; prints its error.
pub fn main<C: Parser, E: ProgramError>(run: impl FnOnce(C) -> Result<(), E>) -> ExitCode {
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit_code) => return exit_code,
    };
    match run(cli) {
        Ok(()) => ExitCode::Ok,
        Err(error) => {
            error.print(C::command().get_name());
            error.exit_code()
        }
    }
}

/// Parses arguments, the program's name first. Prints help, version and errors; `Err` is the code
/// to exit with.
pub fn parse<C: Parser>(arguments: impl IntoIterator<Item = OsString>) -> Result<C, ExitCode> {
    try_parse(arguments).map_err(|error| {
        // Standard error may be closed; there is no other place to report that.
        let _ = error.print();
        if error.use_stderr() { ExitCode::Usage } else { ExitCode::Ok }
    })
}

/// Parses arguments. An error never repeats an API key that was pasted in the wrong place.
pub fn try_parse<C: Parser>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<C, clap::Error> {
    C::try_parse_from(arguments).map_err(|mut error| {
        let kinds =
            [ContextKind::InvalidValue, ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
        for kind in kinds {
            let value = error.get(kind).map(ToString::to_string);
            if value.is_some_and(|value| value.contains("sk-")) {
                error.insert(kind, ContextValue::String("[a key]".to_owned()));
            }
        }
        error
    })
}

/// Prints an error with its causes on standard error.
pub fn print_error(program: &str, error: &dyn Error) {
    // Standard error may be closed; there is no other place to report that.
    let _ = writeln!(io::stderr(), "{program}: {}", Chain(error));
}

#[cfg(test)]
mod tests {
    use super::*;
    use llm_contract::KeyId;

    #[derive(Debug, Parser)]
    struct Cli {
        #[arg(value_parser = KeyId::parse)]
        id: Option<KeyId>,
    }

    #[test]
    fn a_key_pasted_among_the_arguments_is_not_repeated() {
        for arguments in [&["p", "sk-secret"][..], &["p", "abcdefgh2345", "sk-secret"]] {
            let error = try_parse::<Cli>(arguments.iter().map(OsString::from)).unwrap_err();
            assert!(!error.to_string().contains("sk-secret"), "{error}");
        }
    }
}
