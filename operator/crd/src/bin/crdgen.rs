//! `crdgen`: writes the definitions for the chart and the reference pages.

use anyhow::Context;
use clap::{Parser, Subcommand};
use llm_crd::generate::{GeneratedFile, manifests, pages};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Generates files from the types of the custom resources.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Generate the custom resource definitions as YAML
    Crds {
        /// Directory to write one file per definition to; standard output by default
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Generate the reference as Markdown
    Docs {
        /// Directory to write the pages to
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Crds { dir: Some(dir) } => write(&dir, &manifests()?),
        Command::Crds { dir: None } => print(&manifests()?).context("writing the definitions"),
        Command::Docs { dir } => write(&dir, &pages()?),
    }
}

fn write(dir: &Path, files: &[GeneratedFile]) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("creating the directory {}", dir.display()))?;
    for GeneratedFile { name, text } in files {
        let path = dir.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn print(files: &[GeneratedFile]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for GeneratedFile { text, .. } in files {
        write!(out, "---\n{text}")?;
    }
    out.flush()
}
