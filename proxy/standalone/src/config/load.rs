//! The rim: reads the file, and the secrets and certificates that it refers to.

use super::{
    Config, FILE_BYTES_MAX, FieldPath, Mistake, Mistakes, Purpose, Reference, Tls, kept_in, locate,
    parse, tree::Node,
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

/// Where environment variables are looked up; an argument, so that tests need not set any.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A configuration, and what it was read from.
#[derive(Debug)]
pub struct Loaded {
    /// Checked; every secret read.
    pub config: Config,
    /// For both entries, if they speak TLS.
    pub certificate: Option<Pem>,
    /// The file itself and all files it refers to: when one changes, load again.
    pub files: Vec<PathBuf>,
}

/// A certificate with its chain, and its private key; the two fit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pem {
    /// The certificate and its chain, as PEM.
    pub chain: String,
    /// The private key, as PEM.
    pub key: Secret,
}

/// Reads a configuration and everything it refers to.
///
/// # Errors
/// Everything that is wrong with it, among it files and variables that are not there.
pub fn load(file: &Path, environment: Environment<'_>) -> Result<Loaded, Mistakes> {
    let root = FieldPath::default();
    let (config, lines) = parse_file(file)?;
    let mut rim = Rim { environment, files: vec![file.to_owned()], mistakes: Vec::new() };
    let certificate = config.tls.as_ref().and_then(|tls| rim.pem(&root.field("tls"), tls));
    let config =
        config.resolve(&mut |path, reference, purpose| rim.secret(path, reference, purpose));
    let Rim { files, mistakes, .. } = rim;
    match config {
        Some(config) if mistakes.is_empty() => Ok(Loaded { config, certificate, files }),
        Some(_) | None => {
            Err(Mistakes { file: file.to_owned(), all: locate(mistakes, &lines), files })
        }
    }
}

/// The folder that a configuration names, without reading any secret. Mistakes in models and the
/// like do not count.
///
/// # Errors
/// What is wrong with the file, so that it cannot be told.
pub fn data_dir(file: &Path) -> Result<PathBuf, Mistakes> {
    with_text(file, kept_in)
}

fn parse_file(file: &Path) -> Result<(Config<Reference>, Node), Mistakes> {
    with_text(file, parse)
}

/// What becomes of a file's text; paths in it are relative to the file's folder.
fn with_text<T>(
    file: &Path,
    of: impl FnOnce(&str, &Path) -> Result<T, Vec<Mistake>>,
) -> Result<T, Mistakes> {
    let wrong = |all| Mistakes { file: file.to_owned(), all, files: vec![file.to_owned()] };
    let text = read(file, FILE_BYTES_MAX)
        .map_err(|problem| format!("the file {problem}"))
        .map_err(|message| wrong(vec![Mistake::new(&FieldPath::default(), message)]))?;
    of(&text, file.parent().unwrap_or(Path::new(""))).map_err(wrong)
}

impl Pem {
    /// The certificate, ready for use.
    ///
    /// # Errors
    /// [`InvalidCertificate`], if the two are none, or do not fit each other.
    pub fn parse(&self) -> Result<Certificate, InvalidCertificate> {
        Certificate::parse(self.chain.as_bytes(), self.key.reveal().as_bytes())
    }
}

struct Rim<'a> {
    environment: Environment<'a>,
    files: Vec<PathBuf>,
    mistakes: Vec<Mistake>,
}

impl Rim<'_> {
    fn secret(
        &mut self,
        path: &FieldPath,
        reference: &Reference,
        purpose: Purpose,
    ) -> Option<Secret> {
        let text = match reference {
            Reference::Env(name) => match (self.environment)(name) {
                Some(text) => text,
                None => {
                    let message = format!("the environment variable `{name}` is not set");
                    self.mistakes.push(Mistake::new(path, message));
                    return None;
                }
            },
            Reference::File(file) => self.read(path, file)?,
        };
        let secret = Secret::new(text.trim());
        let (usable, otherwise) = match purpose {
            Purpose::Header => (
                Credential::new(CredentialHeader::ApiKey, &secret).is_ok(),
                "is empty or has characters that no header may hold",
            ),
            Purpose::Certificates => {
                (Authorities::parse(secret.reveal()).is_ok(), "holds no PEM certificate")
            }
        };
        if !usable {
            self.mistakes.push(Mistake::new(path, format!("{reference} {otherwise}")));
            return None;
        }
        Some(secret)
    }

    fn pem(&mut self, path: &FieldPath, tls: &Tls) -> Option<Pem> {
        let chain = self.read(&path.field("certificate"), &tls.certificate);
        let key = self.read(&path.field("key"), &tls.key);
        let pem = Pem { chain: chain?, key: Secret::new(key?) };
        let (field, file, error) = match pem.parse() {
            Ok(_certificate) => return Some(pem),
            Err(error @ InvalidCertificate::Chain) => ("certificate", &tls.certificate, error),
            Err(error @ (InvalidCertificate::Key | InvalidCertificate::Mismatch(_))) => {
                ("key", &tls.key, error)
            }
        };
        let message = format!("the file {}: {}", file.display(), Chain(&error));
        self.mistakes.push(Mistake::new(&path.field(field), message));
        None
    }

    fn read(&mut self, path: &FieldPath, file: &Path) -> Option<String> {
        self.files.push(file.to_owned());
        let text = read(file, REFERENCED_BYTES_MAX);
        let message = |problem| format!("the file {} {problem}", file.display());
        text.map_err(|problem| self.mistakes.push(Mistake::new(path, message(problem)))).ok()
    }
}

/// The text of a file of limited size, or what is wrong with the file.
fn read(path: &Path, bytes_max: usize) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(bytes_max as u64 + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err("is not there".to_owned()),
        Err(error) => Err(format!("cannot be read: {error}")),
        Ok(_) if bytes_max < bytes.len() => Err(format!("is larger than {bytes_max} bytes")),
        Ok(_) => String::from_utf8(bytes).map_err(|_not_text| "is not UTF-8 text".to_owned()),
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests;
