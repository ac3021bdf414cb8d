//! An authenticated request.

use super::exchange::Exchange;
use crate::{
    stage::{accept::Operation, authenticate::Principal},
    tables::Snapshot,
};
use pingora_core::protocols::http::ServerSession;

pub struct Call<'a> {
    pub session: &'a mut ServerSession,
    pub exchange: &'a mut Exchange,
    /// The tables the principal was authenticated by.
    pub snapshot: &'a Snapshot,
    pub principal: &'a Principal,
    pub operation: &'static Operation,
}
