//! API keys: the secret, its stored hash, and its record.

mod format;
mod hash;
mod record;

pub use format::{InvalidKey, KeyId, SecretKey};
pub use hash::{Hashing, InvalidKeyHash, KeyHash, Pepper};
pub use record::{InvalidKeyRecord, KeyRecord, KeyState, Owner};
