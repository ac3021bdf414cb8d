//! Conversions between documents and the messages on the wire.

use super::{Change, InvalidChange, Kind, Name, wire};

const KINDS: [Kind; 4] = [Kind::Settings, Kind::Issuers, Kind::Routes, Kind::Key];

impl Kind {
    /// The encoding on the wire.
    pub fn to_wire(self) -> wire::Kind {
        match self {
            Self::Settings => wire::Kind::Settings,
            Self::Issuers => wire::Kind::Issuers,
            Self::Routes => wire::Kind::Routes,
            Self::Key => wire::Kind::Key,
        }
    }
}

impl Name {
    /// Parses the encoding on the wire.
    ///
    /// # Errors
    /// [`InvalidChange::Kind`] for a kind unknown to this version.
    pub fn parse(kind: i32, name: String) -> Result<Self, InvalidChange> {
        match KINDS.into_iter().find(|it| i32::from(it.to_wire()) == kind) {
            Some(kind) => Ok(Self::new(kind, name)),
            None => Err(InvalidChange::Kind(name, kind)),
        }
    }
}

impl Change {
    /// Appends the contents of a message.
    ///
    /// # Errors
    /// [`InvalidChange::Kind`]; the change is incomplete then.
    pub fn extend(
        &mut self,
        upserts: Vec<wire::Resource>,
        removals: Vec<wire::Name>,
    ) -> Result<(), InvalidChange> {
        for wire::Resource { kind, name, document } in upserts {
            self.upserts.push((Name::parse(kind, name)?, document));
        }
        for wire::Name { kind, name } in removals {
            self.removals.push(Name::parse(kind, name)?);
        }
        Ok(())
    }
}
