//! Settings of every route.

use crate::document;
use http::HeaderValue;

/// Settings of every route, changeable at runtime.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Settings {
    /// Allowed CORS origins.
    pub cors: CorsOrigins,
}

/// Origins whose web pages may call the gateway.
///
/// Any by default: a browser never adds a key by itself.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum CorsOrigins {
    /// Any origin.
    #[default]
    Any,
    /// These, such as `https://chat.example.org`; none if empty.
    Listed(Vec<HeaderValue>),
}

/// Why settings are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    /// Not `scheme://host[:port]`.
    #[error("`corsOrigins`: {0:?} is not an origin such as https://chat.example.org")]
    Origin(String),
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
        let listed = origins.into_iter().map(parse_origin).collect::<Result<_, _>>()?;
        Ok(Self { cors: CorsOrigins::Listed(listed) })
    }
}

fn parse_origin(origin: String) -> Result<HeaderValue, InvalidSettings> {
    let is_origin = url::Url::parse(&origin)
        .is_ok_and(|url| url.origin().ascii_serialization() == origin && url.has_host());
    match HeaderValue::from_str(&origin) {
        Ok(value) if is_origin => Ok(value),
        Ok(_) | Err(_) => Err(InvalidSettings::Origin(origin)),
    }
}
