//! Asking a model: from a request's body to the last byte of the reply.

use crate::{
    clock,
    gateway::Shared,
    request::{
        exchange::{End, Exchange},
        stored_responses::Home,
        upstream_attempts::{Answered, Outgoing},
    },
    response::{rejection::Rejection, request_error::Halt, writer},
    stage::{
        accept::Operation,
        authenticate::Principal,
        authorize::{self, Permit},
        pick::Choice,
        read::{Prompt, scan::PromptFields},
        relay::{First, Relay, Stop, hiding},
        reserve, resolve,
    },
    tables::{RouteEntry, Snapshot},
    usage::{UsageFilter, UsageFormat},
};
use pingora_core::protocols::http::ServerSession;
use std::{pin::pin, sync::Arc};
use tokio::time::sleep_until;

impl Shared {
    /// Asks the model that the body names.
    ///
    /// # Errors
    /// If it is refused, no endpoint answers, or the client goes away.
    pub(crate) async fn ask_model(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        tables: &Snapshot,
        principal: &Principal,
        operation: &'static Operation,
    ) -> Result<End, Halt> {
        exchange.operation = Some(operation);
        let mut prompt = Prompt::read(session, operation, &self.limits.read, &self.held).await?;
        let scan = prompt.scan.as_ref().ok_or(Rejection::Defect)?;
        exchange.stream = scan.stream;
        let model = scan.model.clone();
        // A body may be long under way; what was revoked in the meantime is revoked.
        let tables = &*self.still(principal, tables)?;
        let route = resolve::route(tables, &model, operation, principal)?;
        exchange.route = Some(Arc::clone(&route));
        let permit = authorize::permit(principal, &route, &model)?;
        let _lease = reserve::lease(&permit)?;
        let choice = self.choice(operation, &route, scan, principal)?;
        let (usage, hide) = hiding(operation, &route, scan.usage);
        // Only one of the two is held while the upstream works.
        prompt.body = prompt.for_upstream(route.upstream_model(&model), usage);
        let body = prompt.body.clone();
        let outgoing = Outgoing { permit: &permit, operation, path: operation.path, body };
        let answered = self.attempt(session, exchange, choice, &outgoing).await?;
        if operation.usage_format == UsageFormat::Responses {
            let home = || home(&permit, &model, &answered);
            self.responses.remember(answered.first.held(), home);
        }
        self.relay(session, exchange, answered, hide).await
    }

    /// The table in force now, if it still knows the caller.
    fn still(&self, principal: &Principal, before: &Snapshot) -> Result<Arc<Snapshot>, Rejection> {
        let now = self.tables.snapshot();
        let known = match principal {
            Principal::Key(entry) if !std::ptr::eq(&*now, before) => {
                now.keys.get(&entry.record.id).is_some_and(|it| Arc::ptr_eq(it, entry))
            }
            Principal::Key(_) | Principal::Token(_) => true,
        };
        if known { Ok(now) } else { Err(Rejection::Unauthenticated) }
    }

    /// The endpoints that may answer: all of the route, or the one that keeps the response which
    /// this one continues. Only whoever made that one may continue it.
    fn choice(
        &self,
        operation: &Operation,
        route: &Arc<RouteEntry>,
        scan: &PromptFields,
        principal: &Principal,
    ) -> Result<Choice, Rejection> {
        if operation.usage_format != UsageFormat::Responses {
            return Ok(Choice::new(Arc::clone(route)));
        }
        if scan.background {
            let message = "`background` is not supported: what it uses could not be counted";
            return Err(Rejection::BadPrompt {
                message: message.to_owned(),
                param: Some("background"),
            });
        }
        let Some(id) = &scan.previous else {
            return Ok(Choice::new(Arc::clone(route)));
        };
        let home = self.home(id, principal)?;
        at_home(id, &home, route)
    }

    /// Where a response is, if this caller made it.
    fn home(&self, id: &str, principal: &Principal) -> Result<Home, Rejection> {
        self.responses.home(id, &principal.identity()).ok_or_else(|| unknown(id))
    }

    /// Asks for a stored response, where it was made.
    ///
    /// # Errors
    /// If it is refused, its endpoint does not answer, or the client goes away.
    pub(crate) async fn ask_home(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        tables: &Snapshot,
        principal: &Principal,
        operation: &'static Operation,
        id: &str,
    ) -> Result<End, Halt> {
        exchange.operation = Some(operation);
        let prompt = Prompt::read(session, operation, &self.limits.read, &self.held).await?;
        let home = self.home(id, principal)?;
        let route = resolve::route(tables, &home.model, operation, principal)?;
        exchange.route = Some(Arc::clone(&route));
        let permit = authorize::permit(principal, &route, &home.model)?;
        let _lease = reserve::lease(&permit)?;
        let path = operation.path.replace("{id}", id);
        let outgoing =
            Outgoing { permit: &permit, operation, path: &path, body: prompt.body.clone() };
        let choice = at_home(id, &home, &route)?;
        let answered = self.attempt(session, exchange, choice, &outgoing).await?;
        self.relay(session, exchange, answered, UsageFilter::Off).await
    }

    async fn relay(
        &self,
        session: &mut ServerSession,
        exchange: &mut Exchange,
        answered: Answered,
        hide: UsageFilter,
    ) -> Result<End, Halt> {
        let Answered { picked, connection, first } = answered;
        let deadline = exchange.received_at + picked.endpoint.timeouts.request;
        let late = pin!(sleep_until(deadline.into()));
        let stop = Stop { late, cut: &self.cut };
        exchange.reply.begin(&first, clock::now().duration_since(exchange.received_at));
        match first {
            First::Refusal(refusal) => {
                self.connector.release(connection).await;
                let (header, body) = refusal.answer(&picked.endpoint, &exchange.stamp)?;
                exchange.reply.status = Some(header.status);
                Box::pin(writer::send(session, header, body)).await?;
                Ok(End::Complete)
            }
            First::Stream(held) => {
                let relay = Relay { session, connection, exchange, stop };
                Ok(relay.stream(held, hide, &self.connector).await)
            }
            First::Whole(held) => {
                let relay = Relay { session, connection, exchange, stop };
                Ok(relay.whole(held, &self.connector).await)
            }
        }
    }
}

fn unknown(id: &str) -> Rejection {
    Rejection::UnknownResponse { id: id.to_owned() }
}

/// The one endpoint that keeps a response. It may have gone, and its address may be somebody
/// else's by now.
fn at_home(id: &str, home: &Home, route: &Arc<RouteEntry>) -> Result<Choice, Rejection> {
    let endpoint = route.endpoints.iter().find(|it| it.name == home.endpoint);
    Ok(Choice::only(Arc::clone(route), endpoint.ok_or_else(|| unknown(id))?))
}

fn home(permit: &Permit, model: &str, answered: &Answered) -> Home {
    Home {
        model: model.into(),
        endpoint: Arc::clone(&answered.picked.endpoint.name),
        identity: permit.principal().identity(),
    }
}
