//! What is written for people is true.

use crate::support::Home;
use clap::CommandFactory as _;
use llm_gateway::cli::Cli;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_shows_what_a_demo_prints() {
    let readme = readme();
    let shown = readme.split_once("<!-- checked: demo -->\n```console\n").expect("the transcript");
    let shown = shown.1.split_once("```\n").unwrap().0;
    let home = Home::new();
    let gateway = home.start(&["demo"]);
    let admin = format!("{}  (", gateway.admin);
    let printed = gateway
        .printed()
        .replace(gateway.key(), "sk-nb-...")
        .replace(&gateway.base, "http://127.0.0.1:8080/v1")
        .replace(&admin, "http://127.0.0.1:9090  (");
    assert_eq!(shown.trim_end(), printed.trim_end());
}

#[test]
fn the_readme_lists_every_command_and_no_other() {
    let readme = readme();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `llm-gateway "));
    let listed: BTreeSet<_> = rows.filter_map(|row| row.split(['`', ' ']).next()).collect();
    let command = Cli::command();
    let known: BTreeSet<_> = command.get_subcommands().map(|it| it.get_name()).collect();
    assert_eq!(listed, known);
}

/// README.md and all pages below docs.
fn pages() -> BTreeMap<PathBuf, String> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|it| it == "md") {
                found.push(path);
            }
        }
    }
    let mut found = vec![root().join("README.md")];
    below(&root().join("docs"), &mut found);
    let read = |path: PathBuf| (path.clone(), without_code(&fs::read_to_string(path).unwrap()));
    found.into_iter().map(read).collect()
}

fn without_code(page: &str) -> String {
    let mut is_code = false;
    let mut text = String::new();
    for line in page.lines() {
        let fence = line.trim_start().starts_with("```");
        is_code ^= fence;
        if !is_code && !fence {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

/// The targets of a page's links to other files, or to places in files.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"))
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|it| it.is_alphanumeric() || " -_".contains(*it));
        kept.map(|it| if it == ' ' { '-' } else { it }).collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let pages = pages();
    for (path, page) in &pages {
        for link in links(page) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = path.parent().unwrap();
            let target = if file.is_empty() { path.clone() } else { folder.join(file) };
            let target = target.canonicalize();
            let target = target.unwrap_or_else(|_| panic!("{}: {link}", path.display()));
            if !anchor.is_empty() && target.extension().is_some_and(|it| it == "md") {
                let text = without_code(&fs::read_to_string(&target).unwrap());
                let found = anchors(&text).iter().any(|it| it == anchor);
                assert!(found, "{}: {link}", path.display());
            }
        }
    }
}

#[test]
fn the_example_configuration_is_good() {
    let home = Home::new();
    fs::copy(root().join("docs/gateway.example.yaml"), home.join("gateway.yaml")).unwrap();
    let made = rcgen::generate_simple_self_signed(["gateway.example.org".to_owned()]).unwrap();
    home.write("tls.crt", &made.cert.pem());
    home.write("tls.key", &made.signing_key.serialize_pem());
    home.write("openai.key", "sk-openai\n");
    let ran = home.run_with(&[("VLLM_API_KEY", "sk-engine")], &["check"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert_eq!(ran.out, "gateway.yaml: good: 1 model, 1 provider, 1 issuer\n");
}

#[test]
fn headings_become_anchors_as_on_github() {
    let page = "# What is in force\n\n## `serve --config`: edits, & more\n";
    assert_eq!(anchors(page), ["what-is-in-force", "serve---config-edits--more"]);
}
