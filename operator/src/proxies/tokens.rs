//! A proxy proves itself with a token of its service account, made for the operator alone.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};
use llm_contract::Secret;
use llm_push::{Authenticate, AuthenticateError, Peer, PeerIdentity};
use serde::Deserialize;

/// Where Kubernetes says which pod a token was made for.
const POD: &str = "authentication.kubernetes.io/pod-name";

/// Has the API server say whose a token is.
pub struct Tokens {
    reviews: Api<TokenReview>,
    audience: String,
    /// What Kubernetes calls the service account of the proxies.
    proxies: String,
}

/// The part of a token that its review does not repeat.
#[derive(Deserialize)]
struct Claims {
    exp: i64,
}

impl Tokens {
    /// Accepts tokens for this audience, of this service account and no other.
    pub fn new(client: Client, audience: &str, (namespace, name): (&str, &str)) -> Self {
        Self {
            reviews: Api::all(client),
            audience: audience.into(),
            proxies: format!("system:serviceaccount:{namespace}:{name}"),
        }
    }

    fn judge(&self, token: &Secret, status: TokenReviewStatus) -> Result<Peer, AuthenticateError> {
        let refused = |reason: &str| AuthenticateError::Unauthenticated { reason: reason.into() };
        if status.authenticated != Some(true) {
            let reason = "this cluster does not know it, it has expired, or it is for an audience \
                          other than the operator's";
            return Err(refused(reason));
        }
        // An API server that knows nothing of audiences would accept a token made for anyone.
        if !status.audiences.iter().flatten().any(|audience| *audience == self.audience) {
            return Err(refused("it is for another audience"));
        }
        let user = status.user.unwrap_or_default();
        let name = user.username.unwrap_or_default();
        if name != self.proxies {
            let reason = format!("{name} may not follow; only {} may", self.proxies);
            return Err(AuthenticateError::Forbidden { reason });
        }
        let expires_at = expiry(token.reveal())
            .ok_or_else(|| refused("it never expires; use a projected token"))?;
        let pod = user.extra.as_ref().and_then(|extra| extra.get(POD)?.first());
        let identity = pod.map_or_else(
            || PeerIdentity::Account(name.into()),
            |pod| PeerIdentity::Proxy(pod.as_str().into()),
        );
        Ok(Peer { identity, expires_at })
    }
}

#[tonic::async_trait]
impl Authenticate for Tokens {
    async fn authenticate(&self, token: &Secret) -> Result<Peer, AuthenticateError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.reveal().to_owned(),
                audiences: Some(vec![self.audience.clone()]),
            },
            ..TokenReview::default()
        };
        match self.reviews.create(&PostParams::default(), &review).await {
            Ok(review) => self.judge(token, review.status.unwrap_or_default()),
            Err(error) => {
                tracing::warn!(%error, "a token could not be reviewed");
                let reason = "the API server does not answer the question whose it is";
                Err(AuthenticateError::Unavailable { reason: reason.into() })
            }
        }
    }
}

/// When a token expires, as it says itself: the API server has found its signature to be good.
fn expiry(token: &str) -> Option<Timestamp> {
    let payload = token.split('.').nth(1)?;
    let Claims { exp } = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Timestamp::from_second(exp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;
    use kube::Config;

    fn tokens() -> Tokens {
        let config = Config::new(http::Uri::from_static("http://127.0.0.1:1"));
        let client = Client::try_from(config).unwrap();
        Tokens::new(client, "llm-operator", ("llm", "llm-proxy"))
    }

    fn token(claims: &str) -> Secret {
        Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))
    }

    fn review(audience: &str, user: &str) -> TokenReviewStatus {
        TokenReviewStatus {
            authenticated: Some(true),
            audiences: Some(vec![audience.into()]),
            user: Some(UserInfo { username: Some(user.into()), ..UserInfo::default() }),
            ..TokenReviewStatus::default()
        }
    }

    const PROXY: &str = "system:serviceaccount:llm:llm-proxy";

    #[tokio::test]
    async fn a_proxy_s_token_counts_until_it_expires() {
        let peer = tokens().judge(&token(r#"{"exp": 1893456000}"#), review("llm-operator", PROXY));
        assert_eq!(peer.unwrap().expires_at, "2030-01-01T00:00:00Z".parse().unwrap());
    }

    #[tokio::test]
    async fn a_token_that_was_made_for_a_pod_is_that_proxy_s_alone() {
        let mut of_pod = review("llm-operator", PROXY);
        let extra = [(POD.to_owned(), vec!["llm-proxy-1".to_owned()])].into();
        of_pod.user.as_mut().unwrap().extra = Some(extra);
        for (review, who) in [
            (of_pod, PeerIdentity::Proxy("llm-proxy-1".into())),
            (review("llm-operator", PROXY), PeerIdentity::Account(PROXY.into())),
        ] {
            let peer = tokens().judge(&token(r#"{"exp": 1893456000}"#), review).unwrap();
            assert_eq!(peer.identity, who);
        }
    }

    #[tokio::test]
    async fn everybody_else_is_refused_with_a_reason() {
        let good = r#"{"exp": 1893456000}"#;
        let nobody =
            TokenReviewStatus { authenticated: Some(false), ..review("llm-operator", PROXY) };
        for (claims, review, reason) in [
            (good, nobody, "this cluster does not know it"),
            (good, review("api", PROXY), "it is for another audience"),
            (
                good,
                review("llm-operator", "system:serviceaccount:llm:other"),
                "other may not follow",
            ),
            (good, review("llm-operator", "admin"), "admin may not follow"),
            ("{}", review("llm-operator", PROXY), "it never expires"),
        ] {
            let denied = tokens().judge(&token(claims), review).unwrap_err().to_string();
            assert!(denied.contains(reason), "{denied}");
        }
    }
}
