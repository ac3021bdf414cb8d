//! Memory with thousands of idle streams held, and after.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::client::Connection;
use crate::error::{BenchError, ExchangeError};
use crate::load::{self, ClosedLoop};
use crate::process;
use crate::prompt::Prompt;
use crate::row::Memory;
use crate::target::{RunningTarget, Target};

/// Requests before the first look, so that lazily made tables count as the start.
const WARM_REQUESTS: u64 = 200;
const BODY_BYTES: usize = 1_024;
/// Streams opened at the same moment: below every listen backlog.
const OPENING_MAX: usize = 64;
/// What a process frees late is not counted to its streams, nor the other way.
const REST: Duration = Duration::from_secs(1);

/// Looks at the memory of each target before, with and after `streams` idle streams.
pub(crate) async fn measure(
    fleet: &[RunningTarget],
    streams: usize,
    settle_s: u64,
) -> Result<Vec<Memory>, BenchError> {
    let mut memories = Vec::new();
    if streams == 0 {
        return Ok(memories);
    }
    for (up, pid) in proxies(fleet) {
        let failed = |source| BenchError::Target { target: up.target.name, source };
        warm(&up.target).await.map_err(failed)?;
        tokio::time::sleep(REST).await;
        let before_kib = process::pss_kib(pid);
        let held = hold(&up.target, streams).await.map_err(failed)?;
        tokio::time::sleep(REST).await;
        let with_streams_kib = process::pss_kib(pid);
        drop(held);
        let target = up.target.name;
        let memory =
            Memory { target, streams, before_kib, with_streams_kib, after_kib: 0, settle_s };
        memories.push(memory);
    }
    tokio::time::sleep(Duration::from_secs(settle_s)).await;
    for (memory, (_, pid)) in memories.iter_mut().zip(proxies(fleet)) {
        memory.after_kib = process::pss_kib(pid);
    }
    Ok(memories)
}

fn proxies(fleet: &[RunningTarget]) -> impl Iterator<Item = (&RunningTarget, u32)> {
    fleet.iter().filter_map(|up| Some((up, up.running.as_ref()?.pid())))
}

async fn warm(target: &Target) -> Result<(), ExchangeError> {
    let request = target.request(Prompt::Chat, BODY_BYTES).into();
    let (until_ns, requests_max) = (u64::MAX, WARM_REQUESTS);
    let each = ClosedLoop { address: target.address, request, until_ns, requests_max };
    load::run(1, &each).await.last_error.map_or(Ok(()), Err)
}

/// Opens the streams and waits for the first event of each.
async fn hold(target: &Target, streams: usize) -> Result<Vec<Connection>, ExchangeError> {
    let request: Arc<[u8]> = target.request(Prompt::Hold, BODY_BYTES).into();
    let mut opening = JoinSet::new();
    let mut held = Vec::with_capacity(streams);
    for _ in 0..streams {
        let (address, request) = (target.address, Arc::clone(&request));
        opening.spawn(async move {
            let mut connection = Connection::open(address).await?;
            connection.first_event(&request).await?;
            Ok(connection)
        });
        if opening.len() >= OPENING_MAX
            && let Some(Ok(opened)) = opening.join_next().await
        {
            held.push(opened?);
        }
    }
    while let Some(opened) = opening.join_next().await {
        if let Ok(opened) = opened {
            held.push(opened?);
        }
    }
    Ok(held)
}
