//! Random identifiers.

/// A prefix and 128 random bits as 32 hexadecimal digits.
///
/// Written without the formatter, which would cost more than all the rest.
pub fn random_id(prefix: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut id = String::with_capacity(prefix.len() + 32);
    id.push_str(prefix);
    for byte in rand::random::<[u8; 16]>() {
        for nibble in [byte >> 4, byte & 15] {
            id.push(char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')));
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_its_prefix_and_32_digits_and_never_the_same() {
        let (one, other) = (random_id("req-"), random_id("req-"));
        assert_ne!(one, other);
        let digits = one.strip_prefix("req-").unwrap();
        assert_eq!(digits.len(), 32);
        assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}
