//! Reads the file, and the secrets and certificates that it refers to.

use super::{
    Config, ConfigError, ConfigErrors, FILE_BYTES_MAX, FieldPath, Purpose, SecretRef, Tls, parse,
    parse_data_dir, with_lines,
};
use llm_contract::{Authorities, Chain, Credential, CredentialHeader, Secret};
use llm_proxy::tls::{Certificate, InvalidCertificate};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The largest file that holds a secret, a certificate or a key, in bytes.
const REFERENCED_BYTES_MAX: usize = 1024 * 1024;

/// Looks up an environment variable; an argument, so that tests need not set any.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A configuration with its secrets, and the files it was read from.
#[derive(Debug)]
pub struct LoadedConfig {
    pub config: Config,
    pub certificate: Option<CertificatePem>,
    /// The file and all it refers to: when one of them changes, load again.
    pub files: Vec<PathBuf>,
}

/// A certificate chain and its private key, as PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePem {
    pub chain: String,
    pub key: Secret,
}

/// Reads a configuration and all it refers to.
pub fn load(file: &Path, environment: Environment<'_>) -> Result<LoadedConfig, ConfigErrors> {
    let (config, yaml) = with_text(file, parse)?;
    let mut loader = Loader { environment, files: vec![file.to_owned()], errors: Vec::new() };
    let tls = FieldPath::default().field("tls");
    let certificate = config.tls.as_ref().and_then(|it| loader.certificate(&tls, it));
    let config = config.resolve(&mut |path, secret, purpose| loader.secret(path, secret, purpose));
    let Loader { files, errors, .. } = loader;
    match config {
        Some(config) if errors.is_empty() => Ok(LoadedConfig { config, certificate, files }),
        _ => Err(ConfigErrors { file: file.to_owned(), all: with_lines(errors, &yaml), files }),
    }
}

/// The data folder of a configuration, without reading secrets. Errors in models and the like are
/// ignored.
pub fn data_dir(file: &Path) -> Result<PathBuf, ConfigErrors> {
    with_text(file, parse_data_dir)
}

/// Parses a file's text; paths in it are relative to the file's folder.
fn with_text<T>(
    file: &Path,
    parse: impl FnOnce(&str, &Path) -> Result<T, Vec<ConfigError>>,
) -> Result<T, ConfigErrors> {
    let failed = |all| ConfigErrors { file: file.to_owned(), all, files: vec![file.to_owned()] };
    let text = read(file, FILE_BYTES_MAX)
        .map_err(|problem| failed(vec![ConfigError::of_file(format!("the file {problem}"))]))?;
    parse(&text, file.parent().unwrap_or(Path::new(""))).map_err(failed)
}

impl CertificatePem {
    pub fn parse(&self) -> Result<Certificate, InvalidCertificate> {
        Certificate::parse(self.chain.as_bytes(), self.key.reveal().as_bytes())
    }
}

struct Loader<'a> {
    environment: Environment<'a>,
    files: Vec<PathBuf>,
    errors: Vec<ConfigError>,
}

impl Loader<'_> {
    fn error(&mut self, path: &FieldPath, message: impl Into<String>) {
        self.errors.push(ConfigError::new(path, message));
    }

    fn secret(&mut self, path: &FieldPath, secret: &SecretRef, purpose: Purpose) -> Option<Secret> {
        let text = match secret {
            SecretRef::Env(name) => match (self.environment)(name) {
                Some(text) => text,
                None => {
                    self.error(path, format!("the environment variable `{name}` is not set"));
                    return None;
                }
            },
            SecretRef::File(file) => self.read(path, file)?,
        };
        let value = Secret::new(text.trim());
        let (is_valid, problem) = match purpose {
            Purpose::Header => (
                Credential::new(CredentialHeader::ApiKey, &value).is_ok(),
                "is empty or has characters that a header cannot have",
            ),
            Purpose::CaCertificates => {
                (Authorities::parse(value.reveal()).is_ok(), "has no PEM certificate")
            }
        };
        if !is_valid {
            self.error(path, format!("{secret} {problem}"));
            return None;
        }
        Some(value)
    }

    fn certificate(&mut self, path: &FieldPath, tls: &Tls) -> Option<CertificatePem> {
        let chain = self.read(&path.field("certificate"), &tls.certificate);
        let key = self.read(&path.field("key"), &tls.key);
        let pem = CertificatePem { chain: chain?, key: Secret::new(key?) };
        let (field, file, error) = match pem.parse() {
            Ok(_certificate) => return Some(pem),
            Err(error @ InvalidCertificate::Chain) => ("certificate", &tls.certificate, error),
            Err(error @ (InvalidCertificate::Key | InvalidCertificate::Mismatch(_))) => {
                ("key", &tls.key, error)
            }
        };
        let message = format!("the file {}: {}", file.display(), Chain(&error));
        self.error(&path.field(field), message);
        None
    }

    fn read(&mut self, path: &FieldPath, file: &Path) -> Option<String> {
        self.files.push(file.to_owned());
        read(file, REFERENCED_BYTES_MAX)
            .map_err(|problem| self.error(path, format!("the file {} {problem}", file.display())))
            .ok()
    }
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

impl std::fmt::Display for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
