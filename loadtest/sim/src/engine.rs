//! The engine: slots, a first-come queue, the KV cache, and when which token is due.
//!
//! A [`QueueSlot`] is the room one request takes, first in the queue and then in a slot; dropping
//! it gives the room back, so a client that goes away stops its generation by dropping
//! the reply. One timer per request, reset for each token.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::cache::Cache;
use crate::clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::state::StateWatch;
use crate::text::{FinishReason, Script};

/// The simulated engine of one server.
#[derive(Debug)]
pub(crate) struct Engine {
    ttft: Duration,
    itl: Duration,
    tokens_per_chunk: usize,
    places_max: usize,
    block_size: usize,
    slots: Arc<Semaphore>,
    cache: Mutex<Cache>,
    pub(crate) metrics: Metrics,
    pub(crate) state: Arc<StateWatch>,
}

/// Prompts to compute, and the answers they give.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) prompts: Vec<Vec<u64>>,
    pub(crate) scripts: Vec<Script>,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

/// Tokens of the prompts, and how many of them were cached.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PromptTokens {
    pub(crate) all: usize,
    pub(crate) cached: usize,
    pub(crate) created: usize,
}

impl Job {
    /// Tokens of all prompts together.
    pub(crate) fn prompt_tokens(&self) -> usize {
        self.prompts.iter().map(Vec::len).sum()
    }

    /// Tokens of all answers when `tokens` of each are generated.
    pub(crate) fn answer_tokens(&self, tokens: usize) -> usize {
        self.scripts.iter().map(|script| script.tokens().min(tokens)).sum()
    }

    /// Tokens of the longest answer.
    pub(crate) fn longest(&self) -> usize {
        self.scripts.iter().map(Script::tokens).max().unwrap_or(0)
    }
}

impl Engine {
    pub(crate) fn new(config: &Config, state: Arc<StateWatch>) -> Self {
        Self {
            ttft: config.ttft,
            itl: config.itl,
            tokens_per_chunk: config.tokens_per_chunk.max(1),
            places_max: config.max_num_queued_reqs.unwrap_or(usize::MAX),
            block_size: config.block_size.max(1),
            slots: Arc::new(Semaphore::new(config.max_num_seqs.clamp(1, Semaphore::MAX_PERMITS))),
            cache: Mutex::new(Cache::new(config.kv_blocks, config.block_size)),
            metrics: Metrics::new(config),
            state,
        }
    }

    /// Takes a place in the queue.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<QueueSlot, QueueFull> {
        let room = self.state.try_change(|state| {
            let room = state.running + state.waiting < self.places_max;
            state.waiting += usize::from(room);
            room
        });
        if !room {
            self.metrics.rejected();
            return Err(QueueFull);
        }
        Ok(QueueSlot { engine: self.clone(), entered: clock::now(), slot: None })
    }

    /// The metrics page of this moment.
    pub(crate) fn render_metrics(&self) -> String {
        let usage = self.cache().usage();
        self.metrics.render(self.state.now(), usage)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room of one request: waiting until it has a slot, running from then on.
#[derive(Debug)]
pub(crate) struct QueueSlot {
    engine: Arc<Engine>,
    entered: Instant,
    slot: Option<OwnedSemaphorePermit>,
}

impl QueueSlot {
    /// Waits for a slot, first come first served, and starts to compute.
    pub(crate) async fn run(mut self, job: Arc<Job>) -> RunningJob {
        // The semaphore is never closed; were it, the request would run without a slot.
        self.slot = self.engine.slots.clone().acquire_owned().await.ok();
        self.engine.state.change(|state| {
            state.waiting -= usize::from(self.slot.is_some());
            state.running += usize::from(self.slot.is_some());
        });
        RunningJob::start(self, job)
    }
}

impl Drop for QueueSlot {
    fn drop(&mut self) {
        let ran = self.slot.is_some();
        self.engine.state.change(|state| {
            state.running -= usize::from(ran);
            state.waiting -= usize::from(!ran);
        });
    }
}

/// A request that computes. Dropped early it is aborted, which no counter tells, as in vLLM.
#[derive(Debug)]
pub(crate) struct RunningJob {
    place: QueueSlot,
    job: Arc<Job>,
    /// What the prompts found in the cache.
    pub(crate) prompt: PromptTokens,
    held: Vec<u64>,
    private: usize,
    started: Instant,
    first_due: Instant,
    last: Instant,
    out: usize,
    timer: Pin<Box<Sleep>>,
}

/// The tokens `from..to` of every answer are generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DecodeStep {
    pub(crate) from: usize,
    pub(crate) to: usize,
}

impl RunningJob {
    fn start(place: QueueSlot, job: Arc<Job>) -> Self {
        let engine = &place.engine;
        let mut prompt = PromptTokens { all: job.prompt_tokens(), ..PromptTokens::default() };
        let mut held = Vec::new();
        {
            let mut cache = engine.cache();
            for tokens in &job.prompts {
                let found = cache.hold(tokens);
                prompt.cached += found.cached;
                prompt.created += found.created;
                held.extend(found.held);
            }
        }
        engine.metrics.prefilled(prompt.all, prompt.cached);
        let started = clock::now();
        let first_due = started + engine.ttft;
        let timer = Box::pin(sleep_until(first_due));
        let mut run = Self {
            place,
            job,
            prompt,
            held,
            private: 0,
            started,
            first_due,
            last: started,
            out: 0,
            timer,
        };
        run.grow();
        run
    }

    /// Waits for the next tokens; `None` when the last ones are out.
    pub(crate) async fn next(&mut self) -> Option<DecodeStep> {
        let total = self.job.longest().max(1);
        if self.out >= total {
            return None;
        }
        let from = self.out;
        let engine = &self.place.engine;
        let wanted = (from + engine.tokens_per_chunk).min(total);
        let now = self.wait_for(wanted).await;
        let engine = &self.place.engine;
        self.out = wanted.max(tokens_due(now - self.first_due, engine.itl)).min(total);
        let tokens = self.job.answer_tokens(self.out) - self.job.answer_tokens(from);
        if from == 0 {
            engine.metrics.first_token(now - self.place.entered, self.started - self.place.entered);
        } else {
            engine.metrics.later_tokens(now - self.last, self.out - from);
        }
        engine.metrics.generated(tokens);
        self.last = now;
        self.grow();
        Some(DecodeStep { from, to: self.out })
    }

    /// Computes to the end.
    pub(crate) async fn complete(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Counts the request as finished and lets the next turn find its tokens.
    pub(crate) fn finish(&self) {
        let stopped = self.job.scripts.iter().all(|script| script.finish != FinishReason::Length);
        let engine = &self.place.engine;
        let now = clock::now();
        engine.metrics.finished(stopped, now - self.place.entered, now - self.started);
        if let ([prompt], [script]) = (self.job.prompts.as_slice(), self.job.scripts.as_slice()) {
            let mut tokens = prompt.clone();
            script.encode(&mut tokens);
            engine.cache().keep(&tokens);
        }
    }

    async fn wait_for(&mut self, tokens: usize) -> Instant {
        let itl = self.place.engine.itl;
        let steps = u32::try_from(tokens.saturating_sub(1)).unwrap_or(u32::MAX);
        let due = self.first_due + itl.saturating_mul(steps);
        let now = clock::now();
        if due <= now {
            return now;
        }
        self.timer.as_mut().reset(due);
        self.timer.as_mut().await;
        clock::now()
    }

    /// Takes the blocks that the tokens so far need beyond the shared ones.
    fn grow(&mut self) {
        let engine = &self.place.engine;
        let tokens = self.prompt.all + self.job.answer_tokens(self.out);
        let private = tokens.div_ceil(engine.block_size).saturating_sub(self.held.len());
        if private != self.private {
            engine.cache().set_private(self.private, private);
            self.private = private;
        }
    }
}

impl Drop for RunningJob {
    fn drop(&mut self) {
        let mut cache = self.place.engine.cache();
        cache.set_private(self.private, 0);
        cache.release(&self.held);
    }
}

/// Tokens that are due `since` the first one was; with no time between them only the first.
fn tokens_due(since: Duration, itl: Duration) -> usize {
    let steps = since.as_nanos().checked_div(itl.as_nanos()).unwrap_or(0);
    usize::try_from(steps).unwrap_or(usize::MAX).saturating_add(1)
}

#[cfg(test)]
mod tests;
