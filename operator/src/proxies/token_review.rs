//! Authenticates proxies by a service account token for the operator's audience.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::{Api, Client, api::PostParams};
use llm_contract::Secret;
use llm_push::{Authenticate, AuthenticateError, Peer, PeerIdentity};
use serde::Deserialize;

/// The claim with the pod that a token is bound to.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

pub struct TokenReviewer {
    reviews: Api<TokenReview>,
    audience: String,
    proxies_user: String,
}

/// The claim that a review does not return.
#[derive(Deserialize)]
struct TokenClaims {
    exp: i64,
}

impl TokenReviewer {
    pub fn new(client: Client, audience: &str, (namespace, name): (&str, &str)) -> Self {
        Self {
            reviews: Api::all(client),
            audience: audience.into(),
            proxies_user: format!("system:serviceaccount:{namespace}:{name}"),
        }
    }

    fn evaluate(
        &self,
        token: &Secret,
        status: TokenReviewStatus,
    ) -> Result<Peer, AuthenticateError> {
        let refused = |reason: &str| AuthenticateError::Unauthenticated { reason: reason.into() };
        if status.authenticated != Some(true) {
            let reason = "it is not of this cluster, has expired, or is for another audience";
            return Err(refused(reason));
        }
        // An API server without audience support would accept a token for any audience.
        if !status.audiences.iter().flatten().any(|audience| *audience == self.audience) {
            return Err(refused("it is for another audience"));
        }
        let user = status.user.unwrap_or_default();
        let name = user.username.unwrap_or_default();
        if name != self.proxies_user {
            let reason = format!("{name} may not subscribe, only {} may", self.proxies_user);
            return Err(AuthenticateError::Forbidden { reason });
        }
        let expires_at = expiry(token.reveal())
            .ok_or_else(|| refused("it does not expire: use a projected token"))?;
        let pod = user.extra.as_ref().and_then(|extra| extra.get(POD_NAME)?.first());
        let identity = pod.map_or_else(
            || PeerIdentity::Account(name.into()),
            |pod| PeerIdentity::Proxy(pod.as_str().into()),
        );
        Ok(Peer { identity, expires_at })
    }
}

#[tonic::async_trait]
impl Authenticate for TokenReviewer {
    async fn authenticate(&self, token: &Secret) -> Result<Peer, AuthenticateError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: token.reveal().to_owned(),
                audiences: Some(vec![self.audience.clone()]),
            },
            ..TokenReview::default()
        };
        match self.reviews.create(&PostParams::default(), &review).await {
            Ok(review) => self.evaluate(token, review.status.unwrap_or_default()),
            Err(error) => {
                tracing::warn!(%error, "token review failed");
                let reason = "the API server did not review it";
                Err(AuthenticateError::Unavailable { reason: reason.into() })
            }
        }
    }
}

/// Read from the token itself, whose signature the API server has verified.
fn expiry(token: &str) -> Option<Timestamp> {
    let payload = token.split('.').nth(1)?;
    let TokenClaims { exp } =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    Timestamp::from_second(exp).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::authentication::v1::UserInfo;
    use kube::Config;

    fn reviewer() -> TokenReviewer {
        let config = Config::new(http::Uri::from_static("http://127.0.0.1:1"));
        let client = Client::try_from(config).unwrap();
        TokenReviewer::new(client, "llm-operator", ("llm", "llm-proxy"))
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
    async fn the_token_of_a_proxy_is_valid_until_it_expires() {
        let peer =
            reviewer().evaluate(&token(r#"{"exp": 1893456000}"#), review("llm-operator", PROXY));
        assert_eq!(peer.unwrap().expires_at, "2030-01-01T00:00:00Z".parse().unwrap());
    }

    #[tokio::test]
    async fn a_token_bound_to_a_pod_identifies_that_proxy() {
        let mut of_pod = review("llm-operator", PROXY);
        let extra = [(POD_NAME.to_owned(), vec!["llm-proxy-1".to_owned()])].into();
        of_pod.user.as_mut().unwrap().extra = Some(extra);
        for (review, who) in [
            (of_pod, PeerIdentity::Proxy("llm-proxy-1".into())),
            (review("llm-operator", PROXY), PeerIdentity::Account(PROXY.into())),
        ] {
            let peer = reviewer().evaluate(&token(r#"{"exp": 1893456000}"#), review).unwrap();
            assert_eq!(peer.identity, who);
        }
    }

    #[tokio::test]
    async fn every_other_token_is_rejected_with_a_reason() {
        let good = r#"{"exp": 1893456000}"#;
        let unknown =
            TokenReviewStatus { authenticated: Some(false), ..review("llm-operator", PROXY) };
        for (claims, review, reason) in [
            (good, unknown, "it is not of this cluster"),
            (good, review("api", PROXY), "it is for another audience"),
            (
                good,
                review("llm-operator", "system:serviceaccount:llm:other"),
                "other may not subscribe",
            ),
            (good, review("llm-operator", "admin"), "admin may not subscribe"),
            ("{}", review("llm-operator", PROXY), "it does not expire"),
        ] {
            let denied = reviewer().evaluate(&token(claims), review).unwrap_err().to_string();
            assert!(denied.contains(reason), "{denied}");
        }
    }
}
