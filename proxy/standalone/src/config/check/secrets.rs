//! Secrets and certificates that a configuration refers to.

use super::{Checker, within};
use crate::config::{
    CertificatePem, SecretRef,
    error::FieldPath,
    file::{self, SECRET_ADVICE},
};
use llm_contract::{Authorities, Chain, Credential, CredentialHeader, Secret};
use llm_proxy::tls::InvalidCertificate;

impl Checker<'_, '_> {
    /// A secret for a header of requests to an upstream.
    pub(super) fn header_secret(
        &mut self,
        path: &FieldPath,
        env: Option<String>,
        file: Option<String>,
    ) -> Option<Secret> {
        let source = match (env, file) {
            (Some(name), None) => SecretRef::Env(name),
            (None, Some(file)) => SecretRef::File(within(self.folder, &file)),
            (None, None) => {
                self.refuse(path, SECRET_ADVICE);
                return None;
            }
            (Some(_), Some(_)) => {
                self.refuse(path, "cannot have both `env` and `file`");
                return None;
            }
        };
        let secret = self.read(path, &source)?;
        let secret = Secret::new(secret.reveal().trim());
        if Credential::new(CredentialHeader::ApiKey, &secret).is_err() {
            let problem = "is empty or has characters that a header cannot have";
            self.refuse(path, format!("{source} {problem}"));
        }
        Some(secret)
    }

    pub(super) fn ca(&mut self, path: &FieldPath, ca: Option<file::CaFile>) -> Option<Secret> {
        let source = SecretRef::File(within(self.folder, &ca?.file));
        let secret = self.read(path, &source)?;
        let secret = Secret::new(secret.reveal().trim());
        if Authorities::parse(secret.reveal()).is_err() {
            self.refuse(path, format!("{source} has no PEM certificate"));
        }
        Some(secret)
    }

    pub(super) fn tls(&mut self, path: &FieldPath, tls: file::Tls) -> Option<CertificatePem> {
        let paths = [path.field("certificate"), path.field("key")];
        let files = [tls.certificate, tls.key].map(|it| SecretRef::File(within(self.folder, &it)));
        let ([chain_path, key_path], [chain_file, key_file]) = (&paths, &files);
        let (chain, key) = (self.read(chain_path, chain_file), self.read(key_path, key_file));
        let pem = CertificatePem { chain: chain?, key: key? };
        let (path, file, error) = match pem.parse() {
            Ok(_certificate) => return Some(pem),
            Err(error @ InvalidCertificate::Chain) => (chain_path, chain_file, error),
            Err(error @ (InvalidCertificate::Key | InvalidCertificate::Mismatch(_))) => {
                (key_path, key_file, error)
            }
        };
        self.refuse(path, format!("{file}: {}", Chain(&error)));
        None
    }

    fn read(&mut self, path: &FieldPath, source: &SecretRef) -> Option<Secret> {
        (self.read)(source).map_err(|message| self.refuse(path, message)).ok()
    }
}
