//! Who signed this token, and who is its bearer? JWTs of OIDC issuers found by discovery.
//!
//! A request calls [`Issuers::authenticate`], which does what is cheap first: a hash finds what was
//! verified before; else the token is taken apart, its `iss` picks one configured issuer, its
//! audience and times are checked, and only then a key of that issuer checks the signature. Names and
//! groups are read from verified claims only.
//!
//! Keys come by a background task per issuer. A request never fetches, with one exception: a key
//! it does not know (a rotation) makes the task look again, once for all who wait and seldom enough
//! that strangers cannot make us flood the issuer. The last good keys survive any outage.

mod token;
mod claims;
mod jwk;
mod fetch;
mod keyset;
mod cache;
#[cfg(test)]
mod tests;

pub use claims::Verified;

use arc_swap::ArcSwap;
use cache::{Cache, TokenDigest};
use claims::Envelope;
use fetch::Source;
use jwk::Mismatch;
use keyset::{Asked, Keyset};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use token::{TOKEN_BYTES_MAX, Token};
use tokio::{runtime::Handle, task::AbortHandle, time::timeout};

/// How many verified tokens are remembered if nothing else is said.
pub const VERIFIED_ENTRIES_DEFAULT: usize = 10_000;
/// How long a request waits for keys to be looked up.
const LOOKUP_WAIT_MAX: Duration = Duration::from_secs(2);

/// An OIDC issuer whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The `iss` claim, compared byte for byte, and the base of discovery. https, or http on a
    /// loopback host.
    pub issuer: String,
    /// A token must name one of these in `aud`.
    pub audiences: Vec<String>,
    /// The claim with the groups: its name, or a dotted path to a nested one.
    pub groups_claim: String,
    /// The claim with the user's name, likewise; `sub` if it is absent.
    pub username_claim: String,
    /// Certificates (PEM) to trust instead of the platform's.
    pub ca: Option<Vec<u8>>,
}

impl From<&llm_contract::Issuer> for IssuerConfig {
    fn from(issuer: &llm_contract::Issuer) -> Self {
        Self {
            issuer: issuer.issuer.clone(),
            audiences: issuer.audiences.clone(),
            groups_claim: issuer.groups_claim.clone(),
            username_claim: issuer.username_claim.clone(),
            ca: issuer.ca_pem.as_ref().map(|pem| pem.clone().into_bytes()),
        }
    }
}

/// Why an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InvalidIssuer {
    /// Not an absolute URL.
    #[error("the issuer is not a URL")]
    Url(#[source] url::ParseError),
    /// Discovery appends a path, so nothing may follow the path.
    #[error("the issuer has a query or a fragment")]
    QueryOrFragment,
    /// Keys fetched in clear could be anyone's.
    #[error("the issuer is neither https nor on this machine")]
    Scheme,
    /// The same issuer is configured twice; its token could not pick one.
    #[error("the issuer is configured twice")]
    Twice,
    /// The CA is not PEM.
    #[error("parsing the issuer's CA")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// The CA's certificate does not parse.
    #[error("trusting the issuer's CA")]
    Ca(#[source] rustls::Error),
    /// The CA's PEM holds no certificate.
    #[error("the issuer's CA holds no certificate")]
    EmptyCa,
    /// TLS cannot be set up.
    #[error("setting up TLS")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be set up.
    #[error("setting up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// Why a token proves nothing. For logs and `explain`; a client only learns that it was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refused {
    /// Longer than any token we look at.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// Not a signed JWT in compact form.
    #[error("not a JWT")]
    Malformed,
    /// Its header demands an extension (`crit`).
    #[error("the token demands an extension that is not supported")]
    Critical,
    /// Its `typ` is that of something else, such as a logout token.
    #[error("not the type of an access or ID token")]
    Type,
    /// Unsigned, signed with a shared secret, or in an unknown way.
    #[error("the token's algorithm is not accepted")]
    Algorithm,
    /// No configured issuer has this name.
    #[error("the token's issuer is not configured")]
    UnknownIssuer,
    /// Made for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Without `exp`, it would be valid forever.
    #[error("the token has no expiry")]
    NoExpiry,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its `nbf` or `iat` is in the future by more than the leeway.
    #[error("the token is not valid yet, with a leeway of {} s", claims::LEEWAY_SECONDS)]
    NotYetValid,
    /// The issuer's keys were not to be had: it never answered, or not when this token needed it.
    #[error("the issuer's keys are unavailable")]
    KeysUnavailable,
    /// Its key is unknown, and was looked for too often lately to look again.
    #[error("the token's key is unknown, and was not looked for because of the limit on look-ups")]
    LookupLimited,
    /// Its key is not among the issuer's.
    #[error("the token's key is not one of its issuer's")]
    UnknownKey,
    /// Its key is the issuer's, and not for this algorithm.
    #[error("the token's key is not for the token's algorithm")]
    KeyAlgorithm,
    /// The signature is not by that key.
    #[error("the token's signature is wrong")]
    Signature,
    /// `sub` is absent, empty, overlong or holds control characters.
    #[error("the token names no usable subject")]
    Subject,
    /// The user name is overlong or holds control characters.
    #[error("the token names no usable user name")]
    Username,
    /// More groups, or longer ones, than the limits.
    #[error(
        "the token names more than {} groups or one longer than {} bytes",
        claims::GROUPS_MAX,
        claims::GROUP_BYTES_MAX
    )]
    Groups,
}

/// The configured issuers, their keys, and the tokens verified with them.
#[derive(Debug)]
pub struct Issuers {
    in_force: ArcSwap<HashMap<String, Arc<Issuer>>>,
    /// Held while the set changes, so that no change is lost to another.
    changing: Mutex<()>,
    verified: Cache,
}

#[derive(Debug)]
struct Issuer {
    config: IssuerConfig,
    keyset: Arc<Keyset>,
    /// Stops the task that keeps the keys fresh.
    refresh: AbortHandle,
}

/// Why a token is not verified at once.
enum Unverified {
    Refused(Refused),
    /// Only the key is missing; looking for it may help.
    UnknownKey(Arc<Issuer>),
}

impl Refused {
    /// Whether the same token may be accepted in a few seconds. Such a refusal is a 503, not a 401:
    /// a 401 during a key rotation would make a client throw a good token away.
    pub fn is_temporary(self) -> bool {
        matches!(self, Self::KeysUnavailable | Self::LookupLimited)
    }
}

impl Issuers {
    /// No issuers yet, and room for about `verified_entries_max` verified tokens.
    pub fn new(verified_entries_max: usize) -> Self {
        Self {
            in_force: ArcSwap::default(),
            changing: Mutex::default(),
            verified: Cache::new(verified_entries_max),
        }
    }

    /// Puts these issuers in force. Unchanged ones stay as they are; one whose claims or audiences changed
    /// keeps its keys, but what was verified under its old settings no longer counts. New ones
    /// start to fetch their keys on `runtime`.
    ///
    /// # Errors
    /// [`InvalidIssuer`]: then nothing changes.
    pub fn update(
        &self,
        configs: Vec<IssuerConfig>,
        runtime: &Handle,
    ) -> Result<(), InvalidIssuer> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.in_force.load_full();
        let mut new = HashMap::with_capacity(configs.len());
        for config in configs {
            let name = config.issuer.clone();
            let issuer = Issuer::succeed(old.get(&name), config, runtime)?;
            if new.insert(name, issuer).is_some() {
                return Err(InvalidIssuer::Twice);
            }
        }
        let new = Arc::new(new);
        self.in_force.store(Arc::clone(&new));
        for (name, issuer) in old.iter() {
            if !new.get(name).is_some_and(|kept| Arc::ptr_eq(kept, issuer)) {
                issuer.retire();
            }
        }
        Ok(())
    }

    /// Verifies a token at `now`, waiting for its key to be looked up if it is unknown.
    ///
    /// Not to be retried in a loop: unknown keys share a small budget of look-ups.
    ///
    /// # Errors
    /// [`Refused`]; after two seconds at most.
    pub async fn authenticate(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Arc<Verified>, Refused> {
        match self.attempt(token, now) {
            Ok(verified) => Ok(verified),
            Err(Unverified::Refused(refused)) => Err(refused),
            Err(Unverified::UnknownKey(issuer)) => {
                let looked_up = self.look_up_and_verify(issuer, token, now);
                timeout(LOOKUP_WAIT_MAX, looked_up).await.unwrap_or(Err(Refused::KeysUnavailable))
            }
        }
    }

    /// Verifies a token at `now` with the keys that are here.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::UnknownKey`] without a look-up.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Arc<Verified>, Refused> {
        self.attempt(token, now).map_err(|unverified| match unverified {
            Unverified::Refused(refused) => refused,
            Unverified::UnknownKey(_) => Refused::UnknownKey,
        })
    }

    /// Looks for a key and tries again. Who joins a look-up that may have begun before the key was
    /// published gets a second one; who caused one knows that it is up to date.
    async fn look_up_and_verify(
        &self,
        mut issuer: Arc<Issuer>,
        token: &str,
        now: SystemTime,
    ) -> Result<Arc<Verified>, Refused> {
        let mut joined_before = false;
        loop {
            let (number, last) = match issuer.keyset.ask(since_epoch(now)) {
                Asked::Started(number) => (number, true),
                Asked::Joined(number) => (number, joined_before),
                Asked::Limited => return Err(Refused::LookupLimited),
            };
            issuer.keyset.finished(number).await?;
            issuer = match self.attempt(token, now) {
                Ok(verified) => return Ok(verified),
                Err(Unverified::Refused(refused)) => return Err(refused),
                Err(Unverified::UnknownKey(_)) if last => return Err(Refused::UnknownKey),
                Err(Unverified::UnknownKey(issuer)) => issuer,
            };
            joined_before = true;
        }
    }

    /// Verifies a token with the keys that are here, cheapest checks first.
    fn attempt(&self, token: &str, now: SystemTime) -> Result<Arc<Verified>, Unverified> {
        if TOKEN_BYTES_MAX < token.len() {
            return Err(Refused::TooLong.into());
        }
        let seconds = since_epoch(now).as_secs();
        let digest = TokenDigest::of(token);
        if let Some(verified) = self.verified.get(&digest, seconds) {
            return Ok(verified);
        }
        let token = Token::parse(token)?;
        let envelope = Envelope::parse(&token.claims)?;
        let issuers = self.in_force.load();
        let issuer = issuers.get(envelope.issuer()).ok_or(Refused::UnknownIssuer)?;
        let current = envelope.check(&issuer.config.audiences, seconds)?;
        let keys = issuer.keyset.keys().ok_or(Refused::KeysUnavailable)?;
        let key = keys.verify(&token).map_err(|mismatch| match mismatch {
            Mismatch::UnknownKey => Unverified::UnknownKey(Arc::clone(issuer)),
            Mismatch::Algorithm => Refused::KeyAlgorithm.into(),
            Mismatch::Signature => Refused::Signature.into(),
        })?;
        let verified = Arc::new(Verified::read(&token.claims, &current, &issuer.config)?);
        self.verified.put(digest, Arc::clone(&verified), key, seconds);
        Ok(verified)
    }
}

impl Issuer {
    /// The issuer of this configuration: the same one if nothing changed; with the same keys if
    /// they came over the same trust anchor; else one that starts without keys.
    fn succeed(
        known: Option<&Arc<Self>>,
        config: IssuerConfig,
        runtime: &Handle,
    ) -> Result<Arc<Self>, InvalidIssuer> {
        if let Some(known) = known.filter(|known| known.config == config) {
            return Ok(Arc::clone(known));
        }
        let source = Source::new(&config)?;
        let keys = known
            .filter(|known| known.config.ca == config.ca)
            .and_then(|known| Some(known.keyset.keys()?.renewed()));
        let keyset = Arc::new(Keyset::new(keys));
        let refresh = runtime.spawn(Arc::clone(&keyset).keep_fresh(source)).abort_handle();
        Ok(Arc::new(Self { config, keyset, refresh }))
    }

    /// Ends trust in this issuer's keys, also for what is still in flight.
    fn retire(&self) {
        self.refresh.abort();
        self.keyset.clear();
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.refresh.abort();
    }
}

impl From<Refused> for Unverified {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// The time since 1970; a clock before that reads as 1970.
fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
