//! What applies to every route.

use crate::document;
use http::HeaderValue;

/// What applies to every route, and may change while the gateway runs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// Which web pages may call the gateway from a browser.
    pub cors: CorsOrigins,
}

/// Which web pages may call the gateway from a browser.
///
/// A browser never adds a key by itself, so any page may ask by default; it still needs a key.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum CorsOrigins {
    /// Any page.
    #[default]
    Any,
    /// Pages of these origins, such as `https://chat.example.org`; none if empty.
    Listed(Vec<HeaderValue>),
}

/// Why settings are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// Not a scheme, a host and maybe a port.
    #[error("`corsOrigins`: {origin:?} is not an origin such as https://chat.example.org")]
    Origin {
        /// What was written.
        origin: String,
    },
}

impl TryFrom<document::Settings> for Settings {
    type Error = InvalidSettings;

    fn try_from(document: document::Settings) -> Result<Self, InvalidSettings> {
        let document::Settings { cors_origins } = document;
        let Some(origins) = cors_origins else {
            return Ok(Self::default());
        };
        if origins.iter().any(|origin| origin == "*") {
            return Ok(Self { cors: CorsOrigins::Any });
        }
        let listed = origins.into_iter().map(check_origin).collect::<Result<_, _>>()?;
        Ok(Self { cors: CorsOrigins::Listed(listed) })
    }
}

fn check_origin(origin: String) -> Result<HeaderValue, InvalidSettings> {
    let is_origin = url::Url::parse(&origin)
        .is_ok_and(|url| url.origin().ascii_serialization() == origin && url.has_host());
    match HeaderValue::from_str(&origin) {
        Ok(value) if is_origin => Ok(value),
        Ok(_) | Err(_) => Err(InvalidSettings::Origin { origin }),
    }
}
