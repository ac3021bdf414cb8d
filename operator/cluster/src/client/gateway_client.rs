//! A client with a key, which sends requests through proxies.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail, ensure};
use llm_contract::SecretKey;
use reqwest::{Client, Response};
use serde_json::json;

use super::http::http_client;
use crate::clock;

/// `max_tokens` of a request, unless said otherwise.
const MAX_TOKENS: u32 = 8;

/// A client with a key.
#[derive(Clone)]
pub struct GatewayClient {
    client: Client,
    authorization: String,
    /// The exact length of answers, which only vLLM obeys.
    tokens: Option<u32>,
}

/// A stream that ended as it should.
#[derive(Clone, Copy, Debug)]
pub struct StreamReport {
    pub chunks: usize,
    /// From the first chunk to the last.
    pub duration: Duration,
}

impl GatewayClient {
    pub fn new(key: &SecretKey) -> anyhow::Result<Self> {
        Ok(Self { client: http_client()?, authorization: bearer(key), tokens: None })
    }

    #[must_use]
    pub fn with_key(&self, key: &SecretKey) -> Self {
        Self { authorization: bearer(key), ..self.clone() }
    }

    /// The same, with answers of exactly so many tokens; only vLLM gives them.
    #[must_use]
    pub fn with_tokens(&self, tokens: u32) -> Self {
        Self { tokens: Some(tokens), ..self.clone() }
    }

    async fn send(&self, proxy: SocketAddr, model: &str, stream: bool) -> anyhow::Result<Response> {
        let mut body = json!({
            "model": model,
            "messages": [{"role": "user", "content": "Say something."}],
            "max_tokens": self.tokens.unwrap_or(MAX_TOKENS),
            "stream": stream,
        });
        if let (Some(_), Some(body)) = (self.tokens, body.as_object_mut()) {
            body.insert("ignore_eos".to_owned(), true.into());
        }
        let url = format!("http://{proxy}/v1/chat/completions");
        let request = self.client.post(url).header("authorization", &self.authorization);
        request.json(&body).send().await.with_context(|| format!("asking {proxy} for {model}"))
    }

    /// The status of a whole response.
    pub async fn status(&self, proxy: SocketAddr, model: &str) -> anyhow::Result<u16> {
        let response = self.send(proxy, model, false).await?;
        let status = response.status().as_u16();
        response.bytes().await.with_context(|| format!("reading from {proxy}"))?;
        Ok(status)
    }

    /// Reads a stream to its end.
    pub async fn stream(&self, proxy: SocketAddr, model: &str) -> anyhow::Result<StreamReport> {
        let mut response = self.send(proxy, model, true).await?;
        ensure!(response.status().is_success(), "{proxy} answers {}", response.status());
        let (mut start, mut chunks, mut last) = (None, 0, Vec::new());
        while let Some(chunk) =
            response.chunk().await.with_context(|| format!("reading from {proxy}"))?
        {
            start.get_or_insert_with(clock::now);
            (chunks, last) = (chunks + 1, chunk.to_vec());
        }
        ensure!(last.ends_with(b"data: [DONE]\n\n"), "{proxy} cut a stream short");
        let duration = start.map(|start| clock::now() - start).unwrap_or_default();
        Ok(StreamReport { chunks, duration })
    }

    /// Checks that a whole answer comes, in one piece or as a stream.
    pub async fn chat(&self, proxy: SocketAddr, model: &str, stream: bool) -> anyhow::Result<()> {
        let response = self.send(proxy, model, stream).await?;
        let status = response.status();
        let text = response.text().await.with_context(|| format!("reading from {proxy}"))?;
        ensure!(status.is_success(), "{proxy} answers {status}: {text}");
        if stream && !text.ends_with("data: [DONE]\n\n") {
            bail!("{proxy} cut a stream short: {text}");
        }
        ensure!(text.contains("\"choices\":[{"), "{proxy} answers without choices: {text}");
        Ok(())
    }
}

fn bearer(key: &SecretKey) -> String {
    format!("Bearer {}", key.reveal())
}
