//! From a job to a reply: the one loop that all dialects of a stream share.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::unfold;
use serde::Serialize;

use super::call::Call;
use super::error::ApiError;
use crate::body::{Content, EventChunk};
use crate::engine::{DecodeStep, Job, PromptTokens, QueueSlot, RunningJob};
use crate::text::{AnswerLimits, Script, fold, mix};

/// How one API words a stream.
pub(super) trait Dialect: Send + 'static {
    /// Before the first token.
    fn open(&mut self, progress: &Progress<'_>, out: &mut Events);
    /// More tokens.
    fn tokens(&mut self, progress: &Progress<'_>, step: DecodeStep, out: &mut Events);
    /// After the last one.
    fn close(&mut self, progress: &Progress<'_>, out: &mut Events);
}

/// How far a job is.
#[derive(Clone, Copy)]
pub(super) struct Progress<'a> {
    pub(super) job: &'a Job,
    pub(super) prompt: PromptTokens,
    /// Tokens of each answer that are out.
    pub(super) out: usize,
}

impl Progress<'_> {
    /// Tokens of all answers that are out.
    pub(super) fn answer_tokens(&self) -> usize {
        self.job.answer_tokens(self.out)
    }
}

/// Server-sent events while they are written.
#[derive(Default)]
pub(super) struct Events(Vec<u8>);

impl Events {
    /// `data:` with an object.
    pub(super) fn data(&mut self, data: &impl Serialize) {
        self.0.extend_from_slice(b"data: ");
        // Our own types always serialize, and a vector takes every byte.
        let _infallible = serde_json::to_writer(&mut self.0, data);
        self.0.extend_from_slice(b"\n\n");
    }

    /// `event:` and `data:`.
    pub(super) fn event(&mut self, name: &str, data: &impl Serialize) {
        self.0.extend_from_slice(b"event: ");
        self.0.extend_from_slice(name.as_bytes());
        self.0.push(b'\n');
        self.data(data);
    }

    /// The end that OpenAI's older APIs have.
    pub(super) fn done(&mut self) {
        self.0.extend_from_slice(b"data: [DONE]\n\n");
    }
}

/// One answer to each prompt, or `n` of them.
pub(super) fn prose(
    call: &Call,
    prompts: &[Vec<u64>],
    n: usize,
    bounds: &AnswerLimits,
) -> Vec<Script> {
    let key = |prompt: &[u64]| fold(call.shared.config.seed, prompt);
    let keys = prompts.iter().flat_map(|prompt| std::iter::repeat_n(key(prompt), n));
    // Several answers to one prompt differ by their index.
    keys.zip((0..n).cycle())
        .map(|(key, index)| match u64::try_from(index) {
            Ok(index) if index > 0 => Script::prose(mix(key, index), bounds),
            Ok(_) | Err(_) => Script::prose(key, bounds),
        })
        .collect()
}

/// Computes a whole job.
pub(super) async fn whole(call: &Call, job: &Arc<Job>) -> Result<PromptTokens, ApiError> {
    let place = call.shared.engine.enter().map_err(|_busy| ApiError::Busy)?;
    let mut run = place.run(job.clone()).await;
    run.complete().await;
    run.finish();
    Ok(run.prompt)
}

/// Computes a job while its reply is sent. The status goes out at once; the stream
/// waits for its turn, as vLLM does it.
pub(super) fn stream(
    call: &Call,
    job: Arc<Job>,
    dialect: impl Dialect,
) -> Result<Content, ApiError> {
    let place = call.shared.engine.enter().map_err(|_busy| ApiError::Busy)?;
    let stage = Box::new(StreamState { phase: StreamPhase::Queued(place), job, dialect });
    Ok(Content::Events(Box::pin(unfold(stage, |mut stage| async move {
        let part = stage.next().await?;
        Some((part, stage))
    }))))
}

struct StreamState<D> {
    phase: StreamPhase,
    job: Arc<Job>,
    dialect: D,
}

enum StreamPhase {
    Queued(QueueSlot),
    Running(RunningJob),
    Over,
}

impl<D: Dialect> StreamState<D> {
    async fn next(&mut self) -> Option<EventChunk> {
        let mut events = Events::default();
        let mut run = match std::mem::replace(&mut self.phase, StreamPhase::Over) {
            StreamPhase::Queued(place) => place.run(self.job.clone()).await,
            StreamPhase::Running(run) => run,
            StreamPhase::Over => return None,
        };
        let step = run.next().await;
        let out = step.map_or(self.job.longest(), |step| step.to);
        let progress = Progress { job: &self.job, prompt: run.prompt, out };
        if let Some(step) = step {
            if step.from == 0 {
                self.dialect.open(&progress, &mut events);
            }
            self.dialect.tokens(&progress, step, &mut events);
            self.phase = StreamPhase::Running(run);
        } else {
            run.finish();
            self.dialect.close(&progress, &mut events);
        }
        Some(EventChunk { bytes: Bytes::from(events.0), tail: step.is_none() })
    }
}
