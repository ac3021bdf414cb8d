//! Where the programs are: beside the one that runs.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

const PACKAGES: [&str; 5] = ["llm-operator", "llm-proxy", "llm-keys", "llm-download", "llm-sim"];

/// A folder of programs of one build.
#[derive(Clone, Debug)]
pub struct Programs(PathBuf);

impl Programs {
    /// The folder of the running program; of a test, that of the programs it tests.
    pub fn beside_this() -> anyhow::Result<Self> {
        let this = std::env::current_exe().context("looking for this program")?;
        let folder = this.parent().unwrap_or(Path::new("."));
        let is_test = folder.file_name().is_some_and(|name| name == "deps");
        let folder = if is_test { folder.parent().unwrap_or(folder) } else { folder };
        Ok(Self(folder.to_owned()))
    }

    /// The path of a program; the error says how to build it.
    pub fn path(&self, program: &str) -> anyhow::Result<PathBuf> {
        let path = self.0.join(program);
        if !path.is_file() {
            let release = if self.0.ends_with("release") { " --release" } else { "" };
            let packages = PACKAGES.map(|package| format!(" -p {package}")).concat();
            bail!("{} is missing: run `cargo build{release} --bins{packages}`", path.display());
        }
        Ok(path)
    }
}
