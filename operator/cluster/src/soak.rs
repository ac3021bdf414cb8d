//! How often a test repeats what has to happen many times before it goes wrong once.

/// `few` normally, `many` if the environment has `SOAK`, which `make soak` sets.
pub fn rounds<T>(few: T, many: T) -> T {
    if std::env::var_os("SOAK").is_some() { many } else { few }
}
