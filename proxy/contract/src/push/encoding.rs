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

#[cfg(test)]
mod tests {
    use super::{Change, wire};

    #[test]
    fn an_unknown_kind_is_rejected() {
        let name = wire::Name { kind: 99, name: "x".into() };
        let error = Change::default().extend(Vec::new(), vec![name]).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"resource "x" is of a kind this program does not know (99)"#
        );
    }

    #[test]
    fn debug_output_of_a_message_never_holds_a_document() {
        let resource = wire::Resource { kind: 1, name: "a/b".into(), document: "sk-up".into() };
        assert_eq!(format!("{resource:?}"), r#"Resource(KIND_ROUTES "a/b", 5 bytes)"#);
    }
}
