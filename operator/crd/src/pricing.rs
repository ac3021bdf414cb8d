//! What tokens cost.

use serde::{Deserialize, Serialize};

/// What tokens of a model cost, for the usage reports. Nobody is charged by the gateway.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pricing {
    /// The currency as its three letters of ISO 4217, for example `EUR`.
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    pub currency: String,
    /// The price of a million tokens of prompts, for example 0.2. Not negative.
    #[schemars(range(min = 0.0))]
    pub input_per_million: f64,
    /// The price of a million tokens of answers, for example 0.6. Not negative.
    #[schemars(range(min = 0.0))]
    pub output_per_million: f64,
}
