//! Load balancing: least requests, ties broken at random.

use super::Endpoint;
use rand::{Rng, RngExt};
use std::sync::Arc;

/// The ready endpoint with the fewest requests in flight, except for those already tried. Ties are
/// broken at random, so that several proxies do not all choose the first.
pub fn least_busy<'a>(
    endpoints: &'a [Arc<Endpoint>],
    tried: &[&Arc<Endpoint>],
    random: &mut impl Rng,
) -> Option<&'a Arc<Endpoint>> {
    let mut best: Option<(u32, &Arc<Endpoint>)> = None;
    let mut ties = 0_u32;
    for endpoint in endpoints {
        let is_tried = tried.iter().any(|it| Arc::ptr_eq(it, endpoint));
        if is_tried || !endpoint.state.health.is_ready() {
            continue;
        }
        let in_flight = endpoint.state.running.in_flight();
        match best {
            Some((least, _)) if least < in_flight => continue,
            Some((least, _)) if least == in_flight => ties += 1,
            Some(_) | None => ties = 1,
        }
        // The n-th of equals replaces the choice with a chance of 1/n: each is as likely.
        if random.random_range(0..ties) == 0 {
            best = Some((in_flight, endpoint));
        }
    }
    best.map(|(_, endpoint)| endpoint)
}

#[cfg(test)]
mod tests;
