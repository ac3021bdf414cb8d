//! Writes what is made from the types: definitions for the chart, pages for people.

use anyhow::Context;
use clap::{Parser, Subcommand};
use llm_crd::generate::{GeneratedFile, manifests, pages};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Writes what is made from the types of the custom resources.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The definitions in YAML
    Crds {
        /// Where to write them, a file for each; standard output if absent
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// The reference in Markdown
    Docs {
        /// Where to write it
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
    fs::create_dir_all(dir).with_context(|| format!("making the folder {}", dir.display()))?;
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
