//! What models answer that do not generate: embeddings, scores, ranks, classes.
//!
//! Not observed, written after vLLM's own protocol types. Numbers follow from the texts.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;

use super::call::{Answer, Call};
use super::error::ApiError;
use super::generate::whole;
use super::request::{Fields, content_text};
use crate::clock;
use crate::engine::Job;
use crate::text::{SplitMix, fold, mix};
use crate::token;

/// Numbers in an embedding whose request names no count, and at most.
const DIMENSIONS_DEFAULT: usize = 8;
const DIMENSIONS_MAX: usize = 4096;

#[derive(Serialize)]
struct List<T> {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    data: Vec<T>,
    usage: Usage,
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
    completion_tokens: usize,
    prompt_tokens_details: (),
}

#[derive(Serialize)]
struct Embedding {
    index: usize,
    object: &'static str,
    embedding: Vector,
}

#[derive(Serialize)]
struct Pooled {
    index: usize,
    object: &'static str,
    data: Vector,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Score {
    index: usize,
    object: &'static str,
    score: f64,
}

#[derive(Serialize)]
struct Class {
    index: usize,
    label: &'static str,
    probs: [f64; 2],
    num_classes: usize,
}

#[derive(Serialize)]
struct Ranking {
    id: String,
    model: String,
    usage: RankUsage,
    results: Vec<Rank>,
}

#[derive(Serialize)]
struct RankUsage {
    prompt_tokens: usize,
    total_tokens: usize,
}

#[derive(Serialize)]
struct Rank {
    index: usize,
    document: Document,
    relevance_score: f64,
}

#[derive(Serialize)]
struct Document {
    text: String,
    multi_modal: (),
}

pub(super) async fn embeddings(call: &Call, body: &[u8]) -> Answer {
    let (model, inputs, fields) = inputs(call, body)?;
    let vectors = vectors(call, &fields, &inputs)?;
    let data = vectors.into_iter().enumerate().map(|(index, embedding)| Embedding {
        index,
        object: "embedding",
        embedding,
    });
    let data = data.collect();
    list(call, "embd-", model, inputs, data).await
}

pub(super) async fn pooling(call: &Call, body: &[u8]) -> Answer {
    let (model, inputs, fields) = inputs(call, body)?;
    let vectors = vectors(call, &fields, &inputs)?;
    let data = vectors.into_iter().enumerate();
    let data = data.map(|(index, data)| Pooled { index, object: "pooling", data }).collect();
    list(call, "pool-", model, inputs, data).await
}

pub(super) async fn classify(call: &Call, body: &[u8]) -> Answer {
    let (model, inputs, _) = inputs(call, body)?;
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let first = SplitMix(key(call, input)).unit();
        let label = if first >= 0.5 { "LABEL_0" } else { "LABEL_1" };
        Class { index, label, probs: [first, 1.0 - first], num_classes: 2 }
    });
    let data = data.collect();
    list(call, "classify-", model, inputs, data).await
}

pub(super) async fn score(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    let model = fields.model(call)?;
    let left = texts(fields.require("text_1")?);
    let right = texts(fields.require("text_2")?);
    if left.len() != 1 && left.len() != right.len() {
        return Err(ApiError::WrongType { field: "text_1", wanted: "list" });
    }
    let pairs: Vec<Vec<u64>> = left
        .iter()
        .cycle()
        .zip(&right)
        .map(|(left, right)| [left.as_slice(), right].concat())
        .collect();
    let data = pairs.iter().enumerate().map(|(index, pair)| Score {
        index,
        object: "score",
        score: SplitMix(key(call, pair)).unit(),
    });
    let data = data.collect();
    list(call, "score-", model, pairs, data).await
}

pub(super) async fn rerank(call: &Call, body: &[u8]) -> Answer {
    let fields = Fields::parse(call, body)?;
    let model = fields.model(call)?;
    let query = tokens(fields.require("query")?);
    fields.require("documents")?;
    let documents = fields.list("documents")?.map(Vec::as_slice).unwrap_or_default();
    let prompts: Vec<Vec<u64>> =
        documents.iter().map(|document| [query.as_slice(), &tokens(document)].concat()).collect();
    let mut results: Vec<Rank> = documents
        .iter()
        .zip(&prompts)
        .enumerate()
        .map(|(index, (document, prompt))| Rank {
            index,
            document: Document { text: document_text(document), multi_modal: () },
            relevance_score: SplitMix(key(call, prompt)).unit(),
        })
        .collect();
    results.sort_by(|one, other| other.relevance_score.total_cmp(&one.relevance_score));
    if let Some(top) = fields.count("top_n")?.filter(|top| *top > 0) {
        results.truncate(top);
    }
    let job = Arc::new(Job { prompts, scripts: Vec::new() });
    let prompt_tokens = whole(call, &job).await?.all;
    let usage = RankUsage { prompt_tokens, total_tokens: prompt_tokens };
    Ok(call.json(&Ranking { id: call.id("rerank-"), model, usage, results }))
}

async fn list<T: Serialize>(
    call: &Call,
    prefix: &str,
    model: String,
    prompts: Vec<Vec<u64>>,
    data: Vec<T>,
) -> Answer {
    let model_len = call.shared.config.max_model_len;
    if prompts.iter().any(|prompt| prompt.len() > model_len) {
        return Err(ApiError::PromptTooLong { model_len });
    }
    let job = Arc::new(Job { prompts, scripts: Vec::new() });
    let prompt_tokens = whole(call, &job).await?.all;
    Ok(call.json(&List {
        id: call.id(prefix),
        object: "list",
        created: clock::unix_seconds(),
        model,
        data,
        usage: Usage {
            prompt_tokens,
            total_tokens: prompt_tokens,
            completion_tokens: 0,
            prompt_tokens_details: (),
        },
    }))
}

fn inputs(call: &Call, body: &[u8]) -> Result<(String, Vec<Vec<u64>>, Fields), ApiError> {
    let fields = Fields::parse(call, body)?;
    let model = fields.model(call)?;
    let inputs = texts(fields.require("input")?);
    Ok((model, inputs, fields))
}

/// One text, several, tokens, or several rows of tokens.
fn texts(input: &Value) -> Vec<Vec<u64>> {
    match input.as_array() {
        Some(items) if !items.iter().all(Value::is_u64) => items.iter().map(tokens).collect(),
        _ => vec![tokens(input)],
    }
}

fn tokens(input: &Value) -> Vec<u64> {
    if let Value::Array(numbers) = input {
        return numbers.iter().filter_map(Value::as_u64).collect();
    }
    let mut tokens = Vec::new();
    token::encode(&document_text(input), &mut tokens);
    tokens
}

fn document_text(document: &Value) -> String {
    document.get("text").or(Some(document)).map(content_text).unwrap_or_default()
}

fn vectors(call: &Call, fields: &Fields, inputs: &[Vec<u64>]) -> Result<Vec<Vector>, ApiError> {
    let dimensions = fields.count("dimensions")?.unwrap_or(DIMENSIONS_DEFAULT);
    if !(1..=DIMENSIONS_MAX).contains(&dimensions) {
        let (given, max) = (dimensions, DIMENSIONS_MAX);
        return Err(ApiError::OutOfRange { field: "dimensions", given, max });
    }
    let base64 = fields.text("encoding_format")? == Some("base64");
    let vector = |input: &Vec<u64>| {
        let floats = unit_vector(key(call, input), dimensions);
        if !base64 {
            return Vector::Floats(floats);
        }
        let bytes: Vec<u8> = floats.iter().flat_map(|float| float.to_le_bytes()).collect();
        Vector::Base64(BASE64_STANDARD.encode(bytes))
    };
    Ok(inputs.iter().map(vector).collect())
}

/// A vector of length one, as embedding models normalise theirs.
fn unit_vector(key: u64, dimensions: usize) -> Vec<f32> {
    let mut dice = SplitMix(key);
    let raw: Vec<f64> = (0..dimensions).map(|_| dice.unit() - 0.5).collect();
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    #[expect(clippy::cast_possible_truncation, reason = "embeddings are single precision")]
    let single = |x: f64| (x / length) as f32;
    raw.into_iter().map(single).collect()
}

fn key(call: &Call, tokens: &[u64]) -> u64 {
    mix(fold(call.shared.config.seed, tokens), 1)
}
