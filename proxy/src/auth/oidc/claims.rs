//! A token's claims, in two steps: those that may be read before the signature is verified
//! (is this token for us, and valid now?) and those that may not (who is the bearer?).
//!
//! Checking times first means that a stale token never costs a refresh of keys.

use super::{IssuerConfig, TokenError};
use serde::Deserialize;
use serde_json::{Map, Number, Value};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc, time::Duration};

/// How far an issuer's clock may be ahead of ours. `exp` gets none: a token never outlives it.
pub(super) const LEEWAY_SECONDS: u64 = 30;
/// The longest `sub`, in bytes (OpenID Connect Core 1.0 section 2).
const SUBJECT_BYTES_MAX: usize = 255;
/// The longest user name, in bytes.
const USERNAME_BYTES_MAX: usize = 255;
/// The most groups a token may name.
pub(super) const GROUPS_MAX: usize = 1000;
/// The longest group name, in bytes.
pub(super) const GROUP_BYTES_MAX: usize = 256;

/// Who a token proved its bearer to be. Only a verified token makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct VerifiedClaims {
    issuer: Arc<str>,
    subject: Box<str>,
    username: Box<str>,
    groups: Box<[Box<str>]>,
    expires_at: u64,
}

/// The claims that are read before the signature is verified. None identifies the bearer.
#[derive(Debug, Deserialize)]
pub(super) struct UnverifiedClaims<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    aud: Option<OneOrMany>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
}

/// Proof that a token is for us and valid now.
#[derive(Debug)]
pub(super) struct Validity {
    /// In seconds since 1970.
    expires_at: u64,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Seconds since 1970; fractions are allowed (RFC 7519 section 2) and cut off.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "Number")]
struct NumericDate(u64);

impl VerifiedClaims {
    /// The issuer, as configured.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The user: unique and stable within the issuer, and within it only.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The user's name; the subject if the token has no better one.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The groups, without leading slash, sorted and without duplicates.
    pub fn groups(&self) -> &[Box<str>] {
        &self.groups
    }

    /// The first second, since 1970, in which the token no longer counts.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// Parses claims whose signature was verified.
    pub(super) fn parse(
        claims: &[u8],
        validity: &Validity,
        config: &IssuerConfig,
    ) -> Result<Self, TokenError> {
        let claims: Map<String, Value> =
            serde_json::from_slice(claims).or(Err(TokenError::Malformed))?;
        let subject = claims.get("sub").and_then(Value::as_str).ok_or(TokenError::Subject)?;
        let username = find(&claims, &config.username_claim)
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .unwrap_or(subject);
        Ok(Self {
            issuer: Arc::from(config.issuer.as_str()),
            subject: name(subject, SUBJECT_BYTES_MAX).ok_or(TokenError::Subject)?,
            username: name(username, USERNAME_BYTES_MAX).ok_or(TokenError::Username)?,
            groups: groups(find(&claims, &config.groups_claim))?,
            expires_at: validity.expires_at,
        })
    }
}

impl<'a> UnverifiedClaims<'a> {
    pub(super) fn parse(claims: &'a [u8]) -> Result<Self, TokenError> {
        serde_json::from_slice(claims).or(Err(TokenError::Malformed))
    }

    /// The issuer the token names: the only thing that picks a configured one.
    pub(super) fn issuer(&self) -> &str {
        &self.iss
    }

    /// Checks that the token is for us, and valid at `now`, in seconds since 1970.
    pub(super) fn validate(&self, audiences: &[String], now: u64) -> Result<Validity, TokenError> {
        let named = match &self.aud {
            Some(OneOrMany::One(audience)) => std::slice::from_ref(audience),
            Some(OneOrMany::Many(audiences)) => audiences,
            None => &[],
        };
        if !named.iter().any(|audience| audiences.contains(audience)) {
            return Err(TokenError::Audience);
        }
        let NumericDate(expires_at) = self.exp.ok_or(TokenError::MissingExpiry)?;
        if expires_at <= now {
            return Err(TokenError::Expired);
        }
        let latest = now.saturating_add(LEEWAY_SECONDS);
        if [self.nbf, self.iat].into_iter().flatten().any(|NumericDate(start)| latest < start) {
            return Err(TokenError::NotYetValid);
        }
        Ok(Validity { expires_at })
    }
}

impl TryFrom<Number> for NumericDate {
    type Error = &'static str;

    fn try_from(number: Number) -> Result<Self, Self::Error> {
        let seconds = number
            .as_u64()
            .or_else(|| Some(Duration::try_from_secs_f64(number.as_f64()?).ok()?.as_secs()));
        seconds.map(Self).ok_or("not a date after 1970")
    }
}

/// Finds a claim by its literal name, or else by a dotted path. The rest of a path is taken
/// literally first at every level, so both `https://example.org/groups` and `realm_access.roles` work.
fn find<'a>(claims: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut object = claims;
    let mut rest = path;
    loop {
        if let Some(value) = object.get(rest) {
            return Some(value);
        }
        let (head, tail) = rest.split_once('.')?;
        object = object.get(head)?.as_object()?;
        rest = tail;
    }
}

/// A name that can go into a log line or a header value: not empty, bounded, no control characters.
fn name(text: &str, bytes_max: usize) -> Option<Box<str>> {
    let fits = !text.is_empty() && text.len() <= bytes_max;
    (fits && !text.chars().any(char::is_control)).then(|| text.into())
}

/// Parses the groups claim: an array, or one string. Anything else names no group. More groups
/// than the limit are an error: leaving some out would make access depend on their order.
fn groups(claim: Option<&Value>) -> Result<Box<[Box<str>]>, TokenError> {
    let values = match claim {
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    if GROUPS_MAX < values.len() {
        return Err(TokenError::Groups);
    }
    let groups: BTreeSet<&str> = values
        .iter()
        .filter_map(Value::as_str)
        .map(|group| group.strip_prefix('/').unwrap_or(group))
        .filter(|group| !group.is_empty())
        .collect();
    groups.into_iter().map(|group| name(group, GROUP_BYTES_MAX).ok_or(TokenError::Groups)).collect()
}
