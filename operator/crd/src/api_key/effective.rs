//! The values in effect, and which owner is meant.

use super::{ApiKeyOwner, ApiKeySpec};
use jiff::Timestamp;

/// Who is behind a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner<'a> {
    /// A person with an account at an identity provider.
    Person {
        /// Who issues their tokens.
        issuer: &'a str,
        /// What their tokens call them, for ever.
        subject: &'a str,
        /// What people call them.
        username: &'a str,
    },
    /// A group of the identity provider.
    Team(&'a str),
    /// A service account of the cluster.
    ServiceAccount {
        /// Its namespace.
        namespace: &'a str,
        /// Its name.
        name: &'a str,
    },
}

impl ApiKeyOwner {
    /// Which owner is meant; `None` if it is not exactly one.
    pub fn who(&self) -> Option<Owner<'_>> {
        let Self { issuer, subject, username, team, service_account } = self;
        match (issuer, subject, username, team, service_account) {
            (Some(issuer), Some(subject), Some(username), None, None) => {
                Some(Owner::Person { issuer, subject, username })
            }
            (None, None, None, Some(team), None) => Some(Owner::Team(team)),
            (None, None, None, None, Some(account)) => {
                let (namespace, name) = account.split_once('/')?;
                Some(Owner::ServiceAccount { namespace, name })
            }
            _ => None,
        }
    }
}

impl ApiKeySpec {
    /// Whether somebody suspended the key.
    pub fn is_suspended(&self) -> bool {
        self.suspended == Some(true)
    }

    /// From when on the key is refused, given the keys of its namespace that say they replace it:
    /// its own `expiresAt`, or the end of an overlap that comes before.
    pub fn expires_at<'a>(
        &self,
        id: &str,
        others: impl IntoIterator<Item = &'a Self>,
    ) -> Option<Timestamp> {
        let replacements = others.into_iter().filter_map(|other| other.replaces.as_ref());
        let overlaps = replacements.filter(|it| it.id == id).map(|it| it.overlap_until.0);
        overlaps.chain(self.expires_at.as_ref().map(|time| time.0)).min()
    }
}

impl Owner<'_> {
    /// The name in logs and usage reports.
    pub fn name(&self) -> String {
        match self {
            Self::Person { username, .. } => (*username).into(),
            Self::Team(team) => (*team).into(),
            Self::ServiceAccount { namespace, name } => {
                format!("system:serviceaccount:{namespace}:{name}")
            }
        }
    }
}
