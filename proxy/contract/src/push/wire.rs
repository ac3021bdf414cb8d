//! Generated messages and service of `push.proto`.

#![expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    reason = "generated from push.proto, where every message is described"
)]

use std::fmt;

tonic::include_proto!("llm.push.v1");

impl fmt::Debug for Resource {
    /// Without the document, which may hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.document.len();
        write!(f, "Resource({} {:?}, {bytes} bytes)", self.kind().as_str_name(), self.name)
    }
}
