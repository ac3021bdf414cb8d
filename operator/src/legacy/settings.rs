//! What happens to legacy objects.

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacySettings {
    pub mode: Mode,
    /// Another namespace in which the first release kept keys, with grants for them.
    pub keys_namespace: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Leave them alone.
    Keep,
    /// Log what would be removed.
    DryRun,
    /// Remove each once nothing needs it any more.
    Remove,
}
