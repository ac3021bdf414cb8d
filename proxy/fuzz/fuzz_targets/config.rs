//! Configurations: a file that is good makes a table that is good; errors are always reported.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llm_contract::{Secret, Table};
use llm_gateway::config::Config;
use std::path::Path;

fuzz_target!(|text: &str| {
    match Config::parse(text, Path::new("/etc"), &mut |_| Ok(Secret::new("x"))) {
        Ok(config) => {
            let _ = Table::try_from(config.table(Vec::new(), 1));
        }
        Err(errors) => assert!(!errors.is_empty()),
    }
});
