//! Why a token was rejected.

use super::{
    claims::{GROUP_BYTES_MAX, GROUPS_MAX, LEEWAY_SECONDS},
    token::TOKEN_BYTES_MAX,
};

/// Why a token was rejected: for logs; the client only learns that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("not a signed JWT in compact form")]
    Malformed,
    /// The header has `crit`.
    #[error("the token requires an extension that is not supported")]
    CriticalExtension,
    #[error("not an access or ID token")]
    Type,
    /// Unsigned, signed with a shared secret, or in an unknown way.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    #[error("the token's issuer is not configured")]
    UnknownIssuer,
    #[error("the token is for another audience")]
    Audience,
    /// Without `exp`, it would be valid forever.
    #[error("the token has no expiry")]
    MissingExpiry,
    #[error("the token has expired")]
    Expired,
    /// `nbf` or `iat` is in the future by more than the leeway.
    #[error("the token is not valid yet, with a leeway of {LEEWAY_SECONDS} s")]
    NotYetValid,
    /// The issuer did not answer, ever or when this token needed a newer key.
    #[error("the issuer's keys are unavailable")]
    KeysUnavailable,
    /// Unknown keys caused too many refreshes lately.
    #[error("the token's key is unknown, and the limit on refreshes is reached")]
    RefreshLimited,
    #[error("the token's key is not one of its issuer's")]
    UnknownKey,
    #[error("the token's key does not fit the token's algorithm")]
    KeyAlgorithm,
    #[error("the token's signature is invalid")]
    Signature,
    #[error("the token's subject is missing, too long or has control characters")]
    Subject,
    #[error("the token's user name is too long or has control characters")]
    Username,
    #[error(
        "the token has more than {GROUPS_MAX} groups or one longer than {GROUP_BYTES_MAX} bytes"
    )]
    Groups,
}

impl TokenError {
    /// Whether the same token may be accepted in a few seconds. That is a 503, not a 401: a 401
    /// during a key rotation would make a client throw a good token away.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::KeysUnavailable | Self::RefreshLimited)
    }
}
