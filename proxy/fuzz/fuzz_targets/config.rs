//! Configurations: a file that is good makes a table that is good; errors are always reported.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llm_contract::{Secret, Table};
use llm_gateway::config::Config;
use std::path::Path;

fuzz_target!(|text: &str| {
    match Config::parse(text, Path::new("/etc")) {
        Ok(config) => {
            let resolved = config.resolve(&mut |_, _, _| Some(Secret::new("x")));
            let table = resolved.map(|config| config.table(Vec::new(), 1));
            // A certificate of one letter is refused; nothing else is.
            let _ = table.map(Table::try_from);
        }
        Err(errors) => assert!(!errors.is_empty()),
    }
});
