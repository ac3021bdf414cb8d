//! Is there room?

use super::{authenticate::Principal, authorize::Permit};
use crate::{limit::concurrency::Running, response::rejection::Rejection};

/// The room a request holds until it ends, however it ends.
#[derive(Debug)]
pub struct Lease {
    _key: Option<Running>,
    _model: Running,
}

/// Takes room for a request: of its key and of its model.
///
/// # Errors
/// [`Rejection::TooManyAtOnce`] naming which of the two is full.
pub fn lease(permit: &Permit) -> Result<Lease, Rejection> {
    let full = |subject| move |limit| Rejection::TooManyAtOnce { subject, limit };
    let key = match permit.principal() {
        Principal::Key(entry) => {
            let limit = entry.record.limits.concurrency;
            Some(entry.running.enter(limit).map_err(full("this key"))?)
        }
        Principal::Token(_) => None,
    };
    let route = permit.route();
    let limit = route.route.limits.concurrency;
    let model = route.running.enter(limit).map_err(full("this model"))?;
    Ok(Lease { _key: key, _model: model })
}
