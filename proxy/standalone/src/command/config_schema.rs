//! `llm-gateway config-schema`: prints the JSON schema of `gateway.yaml`.

use crate::{config, error::CliError};
use std::io::Write;

pub fn run(out: &mut impl Write) -> Result<(), CliError> {
    Ok(llm_cli::write_json(out, &config::schema())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_describes_every_field_for_an_editor() {
        let mut out = Vec::new();
        run(&mut out).unwrap();
        let schema: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(schema["title"], "gateway.yaml");
        assert_eq!(schema["additionalProperties"], false);
        let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
        for properties in definitions.filter_map(|it| it["properties"].as_object()) {
            for (name, property) in properties {
                assert!(property["description"].is_string(), "{name}");
            }
        }
    }
}
