//! The price of a model's tokens.

use serde::{Deserialize, Serialize};

/// The price of a model's tokens, for usage reports. The gateway does not bill anyone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pricing {
    /// Three-letter ISO 4217 currency code, for example `EUR`.
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    pub currency: String,
    /// Price per million prompt tokens, for example 0.2. Must not be negative.
    #[schemars(range(min = 0.0))]
    pub input_per_million: f64,
    /// Price per million completion tokens, for example 0.6. Must not be negative.
    #[schemars(range(min = 0.0))]
    pub output_per_million: f64,
}
