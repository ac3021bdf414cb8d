//! Which endpoint of a model takes a request, and which are left alone for a while.

pub mod connection;
pub mod health;
pub mod address_policy;
pub mod endpoint;
pub mod probe;

pub use address_policy::Reach;
pub use endpoint::Endpoint;

use rand::{Rng, RngExt};
use std::sync::Arc;

/// The endpoints that are ready and have not been tried.
pub fn available<'a>(
    endpoints: &'a [Arc<Endpoint>],
    tried: &[Arc<Endpoint>],
) -> impl Iterator<Item = &'a Arc<Endpoint>> {
    endpoints.iter().filter(move |endpoint| {
        endpoint.state.health.is_ready() && !tried.iter().any(|it| Arc::ptr_eq(it, endpoint))
    })
}

/// Chooses the ready endpoint with the fewest requests running; ties are broken at random, so
/// that several proxies do not all choose the first. Those already tried are passed over.
pub fn choose(
    endpoints: &[Arc<Endpoint>],
    tried: &[Arc<Endpoint>],
    random: &mut impl Rng,
) -> Option<Arc<Endpoint>> {
    let mut best: Option<(u32, &Arc<Endpoint>)> = None;
    let mut ties = 0_u32;
    for endpoint in available(endpoints, tried) {
        let running = endpoint.state.running.running();
        match best {
            Some((least, _)) if least < running => continue,
            Some((least, _)) if least == running => ties += 1,
            Some(_) | None => ties = 1,
        }
        // The n-th of equals replaces the choice with a chance of 1/n: each is as likely.
        if random.random_range(0..ties) == 0 {
            best = Some((running, endpoint));
        }
    }
    best.map(|(_, endpoint)| Arc::clone(endpoint))
}

#[cfg(test)]
mod tests;
