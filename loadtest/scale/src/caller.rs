//! Somebody with a key, who asks proxies.

use crate::clock;
use anyhow::{Context as _, bail, ensure};
use llm_contract::SecretKey;
use reqwest::{Client, Response, redirect::Policy};
use serde_json::json;
use std::{net::SocketAddr, time::Duration};

/// How long an answer may take.
const WAIT: Duration = Duration::from_secs(20);
/// How many tokens are asked for, if nothing else is said.
const TOKENS: u32 = 8;

/// A client for plain HTTP.
pub(crate) fn client() -> anyhow::Result<Client> {
    // Fails if it was done before.
    drop(rustls::crypto::ring::default_provider().install_default());
    let builder = Client::builder().no_proxy().redirect(Policy::none()).tls_certs_only([]);
    builder.timeout(WAIT).build().context("making a client")
}

/// Somebody with a key.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    bearer: String,
    tokens: Option<u32>,
}

/// A stream that came whole.
#[derive(Clone, Copy, Debug)]
pub struct Streamed {
    /// Parts that came one after the other.
    pub parts: usize,
    /// From the first to the last.
    pub took: Duration,
}

impl Caller {
    /// Somebody with this key.
    ///
    /// # Errors
    /// If there cannot be a client.
    pub fn new(key: &SecretKey) -> anyhow::Result<Self> {
        Ok(Self { client: client()?, bearer: bearer(key), tokens: None })
    }

    /// Somebody else, with this key.
    #[must_use]
    pub fn with(&self, key: &SecretKey) -> Self {
        Self { bearer: bearer(key), ..self.clone() }
    }

    /// The same, who asks for answers of so many tokens, no less; only vLLM gives them.
    #[must_use]
    pub fn for_tokens(&self, tokens: u32) -> Self {
        Self { tokens: Some(tokens), ..self.clone() }
    }

    async fn ask(&self, proxy: SocketAddr, model: &str, stream: bool) -> reqwest::Result<Response> {
        let mut body = json!({
            "model": model,
            "messages": [{"role": "user", "content": "Say something."}],
            "max_tokens": self.tokens.unwrap_or(TOKENS),
            "stream": stream,
        });
        if let (Some(_), Some(body)) = (self.tokens, body.as_object_mut()) {
            body.insert("ignore_eos".to_owned(), true.into());
        }
        let url = format!("http://{proxy}/v1/chat/completions");
        self.client.post(url).header("authorization", &self.bearer).json(&body).send().await
    }

    /// Asks a model, and gives the status of the answer.
    ///
    /// # Errors
    /// If there is none, or not all of it.
    pub async fn status(&self, proxy: SocketAddr, model: &str) -> anyhow::Result<u16> {
        let asking = || format!("asking {proxy} for {model}");
        let answer = self.ask(proxy, model, false).await.with_context(asking)?;
        let status = answer.status().as_u16();
        answer.bytes().await.with_context(asking)?;
        Ok(status)
    }

    /// Asks for a stream, and says in how many parts it came.
    ///
    /// # Errors
    /// If it is not one, or ends too soon.
    pub async fn stream(&self, proxy: SocketAddr, model: &str) -> anyhow::Result<Streamed> {
        let asking = || format!("asking {proxy} for {model}");
        let mut answer = self.ask(proxy, model, true).await.with_context(asking)?;
        ensure!(answer.status().is_success(), "{proxy} answers {}", answer.status());
        let (mut began, mut parts, mut last) = (None, 0, Vec::new());
        while let Some(part) = answer.chunk().await.with_context(asking)? {
            began.get_or_insert_with(clock::now);
            (parts, last) = (parts + 1, part.to_vec());
        }
        ensure!(last.ends_with(b"data: [DONE]\n\n"), "{proxy} ended a stream too soon");
        let took = began.map(|began| clock::now() - began).unwrap_or_default();
        Ok(Streamed { parts, took })
    }

    /// Asks for an answer and looks at all of it, be it whole or a stream.
    ///
    /// # Errors
    /// If it is not one, or ends too soon.
    pub async fn chat(&self, proxy: SocketAddr, model: &str, stream: bool) -> anyhow::Result<()> {
        let asking = || format!("asking {proxy} for {model}");
        let answer = self.ask(proxy, model, stream).await.with_context(asking)?;
        let status = answer.status();
        let text = answer.text().await.with_context(asking)?;
        ensure!(status.is_success(), "{proxy} answers {status}: {text}");
        if stream && !text.ends_with("data: [DONE]\n\n") {
            bail!("{proxy} ended a stream too soon: {text}");
        }
        ensure!(text.contains("\"choices\":[{"), "{proxy} answers without an answer: {text}");
        Ok(())
    }
}

fn bearer(key: &SecretKey) -> String {
    format!("Bearer {}", key.reveal())
}
