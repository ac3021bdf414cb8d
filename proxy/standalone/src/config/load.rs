//! Reads the file, and the secrets and certificates that it refers to.

use super::{Config, ConfigError, ConfigErrors, FILE_BYTES_MAX, SecretRef, parse_data_dir};
use llm_contract::Secret;
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The largest file that holds a secret, a certificate or a key, in bytes.
const REFERENCED_BYTES_MAX: usize = 1024 * 1024;

/// Looks up an environment variable; an argument, so that tests need not set any.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A configuration, and the files it was read from.
#[derive(Debug)]
pub struct LoadedConfig {
    pub config: Config,
    /// The file and all it refers to: when one of them changes, load again.
    pub files: Vec<PathBuf>,
}

/// Reads a configuration and all it refers to.
pub fn load(file: &Path, environment: Environment<'_>) -> Result<LoadedConfig, ConfigErrors> {
    let mut files = vec![file.to_owned()];
    let config = read_config(file).and_then(|text| {
        Config::parse(&text, folder(file), &mut |secret| {
            if let SecretRef::File(path) = secret {
                files.push(path.clone());
            }
            read_secret(secret, environment)
        })
    });
    match config {
        Ok(config) => Ok(LoadedConfig { config, files }),
        Err(all) => Err(ConfigErrors { file: file.to_owned(), all, files }),
    }
}

/// The data folder of a configuration, without reading secrets. Errors in models and the like are
/// ignored.
pub fn data_dir(file: &Path) -> Result<PathBuf, ConfigErrors> {
    let data_dir = read_config(file).and_then(|text| parse_data_dir(&text, folder(file)));
    data_dir.map_err(|all| ConfigErrors {
        file: file.to_owned(),
        all,
        files: vec![file.to_owned()],
    })
}

fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

fn read_config(file: &Path) -> Result<String, Vec<ConfigError>> {
    read(file, FILE_BYTES_MAX)
        .map_err(|problem| vec![ConfigError::of_file(format!("the file {problem}"))])
}

fn read_secret(secret: &SecretRef, environment: Environment<'_>) -> Result<Secret, String> {
    let text = match secret {
        SecretRef::Env(name) => environment(name).ok_or_else(|| "is not set".to_owned()),
        SecretRef::File(path) => read(path, REFERENCED_BYTES_MAX),
    };
    text.map(Secret::new).map_err(|problem| format!("{secret} {problem}"))
}

/// The text of a file of limited size, or the end of a sentence about the file.
fn read(path: &Path, bytes_max: usize) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("does not exist".to_owned()),
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(_) if bytes_max < bytes.len() => Err(format!("is larger than {bytes_max} bytes")),
        Ok(_) => String::from_utf8(bytes).map_err(|_not_text| "is not UTF-8 text".to_owned()),
    }
}

#[cfg(test)]
mod tests;
