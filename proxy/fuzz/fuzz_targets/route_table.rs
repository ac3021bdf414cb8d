//! Route tables: a table that parses can be applied.
#![no_main]

use libfuzzer_sys::fuzz_target;
use llm_contract::Table;
use llm_proxy::tables::Tables;

fuzz_target!(|text: &[u8]| {
    if let Ok(table) = Table::parse(text) {
        let tables = Tables::empty();
        tables.update(table.clone());
        tables.update(table);
        assert!(tables.is_loaded());
    }
});
