//! What is committed is what the types say.

use crate::support;
use llm_crd::generate::{GeneratedFile, manifests, pages};
use std::{collections::BTreeSet, fs, path::Path};

fn check(folder: &str, files: &[GeneratedFile], command: &str) {
    let folder = support::project().join(folder);
    for GeneratedFile { name, text } in files {
        let committed = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(committed == *text, "{name} is not as the types say: run `{command}`");
    }
    let expected: BTreeSet<_> = files.iter().map(|file| file.name.clone()).collect();
    assert_eq!(names(&folder), expected, "{} holds other files", folder.display());
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_definitions_of_the_chart_are_those_of_the_types() {
    let folder = "charts/nebari-llm-serving/crds";
    let command = format!("cargo run -p llm-crd --bin crdgen -- crds --dir {folder}");
    check(folder, &manifests().unwrap(), &command);
}

#[test]
fn the_reference_is_that_of_the_types() {
    let folder = "docs/reference";
    let command = format!("cargo run -p llm-crd --bin crdgen -- docs --dir {folder}");
    check(folder, &pages().unwrap(), &command);
}
