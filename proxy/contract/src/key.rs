//! API keys: what is shown once, what is stored, and who is behind one.

mod format;
mod hash;
mod record;

pub use format::{InvalidKey, KeyId, SecretKey};
pub use hash::{Hashing, InvalidKeyHash, KeyHash, Pepper};
pub use record::{InvalidKeyRecord, KeyRecord, KeyState, Owner};
