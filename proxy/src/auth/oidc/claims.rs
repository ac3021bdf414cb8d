//! What a token says, in two steps: what may be read before the signature is checked
//! (is this token for us, and now?) and what may not (who is it?).
//!
//! Checking times first means that a stale token never costs a look-up of keys.

use super::{IssuerConfig, Refused};
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

/// A principal a token proved. Only the verification makes one.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    issuer: Arc<str>,
    subject: Box<str>,
    username: Box<str>,
    groups: Box<[Box<str>]>,
    expires_at: u64,
}

/// The claims that are read before the signature is checked. Nothing in it identifies anybody.
#[derive(Debug, Deserialize)]
pub(super) struct Envelope<'a> {
    #[serde(borrow)]
    iss: Cow<'a, str>,
    aud: Option<OneOrMany>,
    exp: Option<NumericDate>,
    nbf: Option<NumericDate>,
    iat: Option<NumericDate>,
}

/// Proof that a token was for us and in time, and when that ends, in seconds since 1970.
#[derive(Debug)]
pub(super) struct Current {
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

#[derive(Debug, thiserror::Error)]
#[error("not a date after 1970")]
struct InvalidDate;

impl Verified {
    /// The issuer, as it is configured.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who it is: unique and stable within the issuer, and within it only.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// What to call them; the subject if the token has no better name.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The groups, without leading slash, sorted, each once.
    pub fn groups(&self) -> &[Box<str>] {
        &self.groups
    }

    /// The first second, since 1970, in which the token no longer counts.
    pub fn expires_at(&self) -> u64 {
        self.expires_at
    }

    /// Reads who it is, out of claims whose signature was checked.
    ///
    /// # Errors
    /// [`Refused::Malformed`], [`Refused::Subject`], [`Refused::Username`], [`Refused::Groups`].
    pub(super) fn read(
        claims: &[u8],
        current: &Current,
        config: &IssuerConfig,
    ) -> Result<Self, Refused> {
        let claims: Map<String, Value> =
            serde_json::from_slice(claims).or(Err(Refused::Malformed))?;
        let subject = claims.get("sub").and_then(Value::as_str).ok_or(Refused::Subject)?;
        let username = find(&claims, &config.username_claim)
            .and_then(Value::as_str)
            .filter(|name| !name.is_empty())
            .unwrap_or(subject);
        Ok(Self {
            issuer: Arc::from(config.issuer.as_str()),
            subject: name(subject, SUBJECT_BYTES_MAX).ok_or(Refused::Subject)?,
            username: name(username, USERNAME_BYTES_MAX).ok_or(Refused::Username)?,
            groups: groups(find(&claims, &config.groups_claim))?,
            expires_at: current.expires_at,
        })
    }
}

impl<'a> Envelope<'a> {
    /// Reads the claims that say whose token it is and when.
    ///
    /// # Errors
    /// [`Refused::Malformed`]: not an object, no `iss`, a claim of another type, or one twice.
    pub(super) fn parse(claims: &'a [u8]) -> Result<Self, Refused> {
        serde_json::from_slice(claims).or(Err(Refused::Malformed))
    }

    /// The issuer the token names. It picks the configured one, and nothing else does.
    pub(super) fn issuer(&self) -> &str {
        &self.iss
    }

    /// Checks that the token is for us, and valid at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// [`Refused::Audience`], [`Refused::NoExpiry`], [`Refused::Expired`], [`Refused::NotYetValid`].
    pub(super) fn check(&self, audiences: &[String], now: u64) -> Result<Current, Refused> {
        let named = match &self.aud {
            Some(OneOrMany::One(audience)) => std::slice::from_ref(audience),
            Some(OneOrMany::Many(audiences)) => audiences,
            None => &[],
        };
        if !named.iter().any(|audience| audiences.contains(audience)) {
            return Err(Refused::Audience);
        }
        let NumericDate(expires_at) = self.exp.ok_or(Refused::NoExpiry)?;
        if expires_at <= now {
            return Err(Refused::Expired);
        }
        let latest = now.saturating_add(LEEWAY_SECONDS);
        if [self.nbf, self.iat].into_iter().flatten().any(|NumericDate(start)| latest < start) {
            return Err(Refused::NotYetValid);
        }
        Ok(Current { expires_at })
    }
}

impl TryFrom<Number> for NumericDate {
    type Error = InvalidDate;

    fn try_from(number: Number) -> Result<Self, InvalidDate> {
        if let Some(seconds) = number.as_u64() {
            return Ok(Self(seconds));
        }
        let seconds = number.as_f64().ok_or(InvalidDate)?;
        Duration::try_from_secs_f64(seconds).map(|date| Self(date.as_secs())).or(Err(InvalidDate))
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

/// Reads the groups claim: an array, or one string. What is neither names no group.
///
/// # Errors
/// [`Refused::Groups`]: more or longer groups than the limits. Leaving some out would make access
/// depend on their order.
fn groups(claim: Option<&Value>) -> Result<Box<[Box<str>]>, Refused> {
    let values = match claim {
        Some(Value::Array(values)) => values.as_slice(),
        Some(value) => std::slice::from_ref(value),
        None => &[],
    };
    if GROUPS_MAX < values.len() {
        return Err(Refused::Groups);
    }
    let groups: BTreeSet<&str> = values
        .iter()
        .filter_map(Value::as_str)
        .map(|group| group.strip_prefix('/').unwrap_or(group))
        .filter(|group| !group.is_empty())
        .collect();
    groups.into_iter().map(|group| name(group, GROUP_BYTES_MAX).ok_or(Refused::Groups)).collect()
}
