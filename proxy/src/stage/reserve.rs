//! Is there capacity?

use super::{authenticate::Principal, authorize::Permit};
use crate::{limit::concurrency::ConcurrencyPermit, response::rejection::Rejection};

/// The capacity a request holds until it ends.
#[derive(Debug)]
pub struct Lease {
    _key: Option<ConcurrencyPermit>,
    _model: ConcurrencyPermit,
}

/// Reserves capacity of the key and of the model.
pub fn lease(permit: Permit<'_>) -> Result<Lease, Rejection> {
    let full = |subject| move |limit| Rejection::ConcurrencyLimited { subject, limit };
    let key = match permit.principal() {
        Principal::Key(entry) => {
            let limit = entry.record.limits.concurrency;
            Some(entry.running.try_acquire(limit).map_err(full("this key"))?)
        }
        Principal::Token(_) => None,
    };
    let route = permit.route();
    let limit = route.route.limits.concurrency;
    let model = route.running.try_acquire(limit).map_err(full("this model"))?;
    Ok(Lease { _key: key, _model: model })
}
