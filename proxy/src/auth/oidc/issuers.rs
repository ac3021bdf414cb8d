//! The configured issuers, and how a token of one of them is verified.

use super::{
    InvalidIssuer, IssuerConfig, TokenError, VerifiedClaims,
    claims::UnverifiedClaims,
    discovery::DiscoveryClient,
    jwks_cache::{JwksCache, RefreshRequest},
    token::{TOKEN_BYTES_MAX, UnverifiedToken},
    token_cache::{TokenCache, TokenDigest},
};
use arc_swap::ArcSwap;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use tokio::{runtime::Handle, task::AbortHandle, time::timeout};

/// How many verified tokens are cached by default.
pub const VERIFIED_TOKENS_DEFAULT: usize = 10_000;
/// How long a request waits for a refresh of its issuer's keys.
pub(super) const REFRESH_WAIT_MAX: Duration = Duration::from_secs(2);

/// The configured issuers, their keys, and the tokens verified with them.
#[derive(Debug)]
pub struct Issuers {
    pub(super) in_force: ArcSwap<HashMap<String, Arc<Issuer>>>,
    /// Held while the set changes, so that no change is lost to another.
    update: Mutex<()>,
    verified: TokenCache,
}

#[derive(Debug)]
pub(super) struct Issuer {
    config: IssuerConfig,
    pub(super) jwks: Arc<JwksCache>,
    refresh_task: AbortHandle,
}

impl Issuers {
    pub fn new(verified_tokens_max: usize) -> Self {
        Self {
            in_force: ArcSwap::default(),
            update: Mutex::default(),
            verified: TokenCache::new(verified_tokens_max),
        }
    }

    /// Replaces the configured issuers; on an error nothing changes.
    ///
    /// Unchanged ones stay as they are. One whose claims or audiences changed keeps its keys, but
    /// tokens verified under the old settings no longer count. New ones start to fetch their keys
    /// on `runtime`.
    pub fn update(
        &self,
        configs: Vec<IssuerConfig>,
        runtime: &Handle,
    ) -> Result<(), InvalidIssuer> {
        let _update = self.update.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.in_force.load_full();
        let mut new = HashMap::with_capacity(configs.len());
        for config in configs {
            let name = config.issuer.clone();
            let issuer = Issuer::succeed(old.get(&name), config, runtime)?;
            if new.insert(name, issuer).is_some() {
                return Err(InvalidIssuer::Duplicate);
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

    /// Verifies a token at `now`; waits up to two seconds for a refresh if its key is unknown.
    ///
    /// Not to be retried in a loop: unknown keys share a small budget of refreshes.
    pub async fn authenticate(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Arc<VerifiedClaims>, TokenError> {
        match self.verify(token, now) {
            Err(TokenError::UnknownKey) => {
                timeout(REFRESH_WAIT_MAX, self.refresh_and_verify(token, now))
                    .await
                    .unwrap_or(Err(TokenError::KeysUnavailable))
            }
            result => result,
        }
    }

    /// Verifies a token once newer keys are here. A request that joins a refresh which may have
    /// begun before the key was published waits for a second one; one that caused a refresh knows
    /// that its keys are up to date.
    async fn refresh_and_verify(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Arc<VerifiedClaims>, TokenError> {
        let mut joined_before = false;
        loop {
            let issuer = self.issuer_of(token)?;
            let (number, is_last) = match issuer.jwks.request_refresh(since_epoch(now)) {
                RefreshRequest::Started(number) => (number, true),
                RefreshRequest::Joined(number) => (number, joined_before),
                RefreshRequest::Limited => return Err(TokenError::RefreshLimited),
            };
            issuer.jwks.wait_for_refresh(number).await?;
            match self.verify(token, now) {
                Err(TokenError::UnknownKey) if !is_last => joined_before = true,
                result => return result,
            }
        }
    }

    fn issuer_of(&self, token: &str) -> Result<Arc<Issuer>, TokenError> {
        let token = UnverifiedToken::parse(token)?;
        let claims = UnverifiedClaims::parse(&token.claims)?;
        self.in_force.load().get(claims.issuer()).cloned().ok_or(TokenError::UnknownIssuer)
    }

    /// Verifies a token with the keys at hand, cheapest checks first.
    pub(super) fn verify(
        &self,
        token: &str,
        now: SystemTime,
    ) -> Result<Arc<VerifiedClaims>, TokenError> {
        if TOKEN_BYTES_MAX < token.len() {
            return Err(TokenError::TooLong);
        }
        let seconds = since_epoch(now).as_secs();
        let digest = TokenDigest::of(token);
        if let Some(verified) = self.verified.get(&digest, seconds) {
            return Ok(verified);
        }
        let token = UnverifiedToken::parse(token)?;
        let claims = UnverifiedClaims::parse(&token.claims)?;
        let issuers = self.in_force.load();
        let issuer = issuers.get(claims.issuer()).ok_or(TokenError::UnknownIssuer)?;
        let validity = claims.validate(&issuer.config.audiences, seconds)?;
        let jwks = issuer.jwks.load().ok_or(TokenError::KeysUnavailable)?;
        let key = jwks.verify(&token)?;
        let verified = Arc::new(VerifiedClaims::parse(&token.claims, &validity, &issuer.config)?);
        self.verified.insert(digest, Arc::clone(&verified), key);
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
        let client = DiscoveryClient::new(&config)?;
        let keys = known
            .filter(|known| known.config.ca == config.ca)
            .and_then(|known| Some(known.jwks.load()?.renewed()));
        let jwks = Arc::new(JwksCache::new(keys));
        let refresh_task = runtime.spawn(Arc::clone(&jwks).refresh_forever(client)).abort_handle();
        Ok(Arc::new(Self { config, jwks, refresh_task }))
    }

    /// Ends trust in this issuer's keys, also for verifications under way.
    fn retire(&self) {
        self.refresh_task.abort();
        self.jwks.clear();
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.refresh_task.abort();
    }
}

/// The time since 1970; a clock before that reads as 1970.
fn since_epoch(now: SystemTime) -> Duration {
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
