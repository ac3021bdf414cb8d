//! The gateway's key manager: minting keys, and keeping what is stored of them.
//!
//! [`mint()`] and [`Keys`] decide and touch nothing; [`FileStore`] keeps them in a folder, safely
//! for several processes at once. A key in clear exists only between minting and the person who
//! asked for it.

mod mint;
mod stored_key;
mod keys;
mod file_store;

pub use file_store::{FileStore, StoreError};
pub use keys::{InvalidKeys, Keys, KeysError};
pub use mint::{MintError, Minted, mint, system_random};
pub use stored_key::{NewKey, State, StoredKey, StoredLimits, StoredOwner};
