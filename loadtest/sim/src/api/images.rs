//! `POST /v1/images/generations`, as a provider serves it: one pixel, honestly counted.

use serde::Serialize;

use super::call::{Answer, Call};
use super::error::ApiError;
use super::request::Fields;
use crate::clock;
use crate::token;

/// A PNG of one transparent pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// Tokens that an image costs.
const IMAGE_TOKENS: usize = 272;
/// Images of one request.
const IMAGES_MAX: usize = 10;

#[derive(Serialize)]
struct Images {
    created: u64,
    data: Vec<Image>,
    usage: Usage,
}

#[derive(Clone, Serialize)]
struct Image {
    b64_json: &'static str,
}

#[derive(Serialize)]
struct Usage {
    total_tokens: usize,
    input_tokens: usize,
    output_tokens: usize,
    input_tokens_details: Details,
}

#[derive(Serialize)]
struct Details {
    text_tokens: usize,
    image_tokens: usize,
}

pub(super) fn answer(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    fields.model(call)?;
    fields.require("prompt")?;
    let mut prompt = Vec::new();
    token::encode(fields.text("prompt")?.unwrap_or_default(), &mut prompt);
    let n = fields.count("n")?.unwrap_or(1);
    if !(1..=IMAGES_MAX).contains(&n) {
        return Err(ApiError::OutOfRange { field: "n", given: n, max: IMAGES_MAX });
    }
    let (input_tokens, output_tokens) = (prompt.len(), n * IMAGE_TOKENS);
    let usage = Usage {
        total_tokens: input_tokens + output_tokens,
        input_tokens,
        output_tokens,
        input_tokens_details: Details { text_tokens: input_tokens, image_tokens: 0 },
    };
    let data = vec![Image { b64_json: PIXEL }; n];
    Ok(call.json(&Images { created: clock::unix_seconds(), data, usage }))
}
