//! Whether an entry works, and if not, what it lacks. No client, no clock.

use super::{
    Observed, Served,
    certificate::check::{Unusable, Usable},
    http_routes::objection,
    listeners,
    object::{condition, name, text},
    settings::{CertificateSource, Entry, GatewayName, Gateways, Hop, Settings},
};
use jiff::Timestamp;
use llm_crd::{ConditionType, Finding, Reason};

/// What is known of both entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeState {
    /// Of the external one.
    pub external: Readiness,
    /// Of the internal one.
    pub internal: Readiness,
    /// When the certificate ends, if there is a good one.
    pub certificate_ends: Option<Timestamp>,
}

/// Whether an entry works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// What was found; it implies the answer.
    pub reason: Reason,
    /// The same for people: what is the case, and what to do next.
    pub message: String,
}

/// What could not be done for an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// The entries that it concerns.
    pub(super) entries: Vec<Entry>,
    /// What the API server said.
    pub(super) message: String,
}

impl EdgeState {
    /// Of one of the two.
    pub fn of(&self, entry: Entry) -> &Readiness {
        match entry {
            Entry::External => &self.external,
            Entry::Internal => &self.internal,
        }
    }

    /// The same as conditions of every resource that declares models.
    pub fn findings(&self) -> Vec<Finding> {
        let finding = |about, it: &Readiness| Finding::new(about, it.reason, it.message.clone());
        vec![
            finding(ConditionType::ExternalEndpointReady, &self.external),
            finding(ConditionType::InternalEndpointReady, &self.internal),
        ]
    }
}

impl Readiness {
    /// Whether callers get through.
    pub fn is_ready(&self) -> bool {
        self.reason == Reason::Applied
    }
}

/// All that an answer is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    /// What is wanted.
    pub(super) settings: &'a Settings,
    /// Which kinds there are.
    pub(super) served: &'a Served,
    /// What there is.
    pub(super) observed: &'a Observed,
    /// What the certificate is worth.
    pub(super) certificate: &'a Result<Usable, Unusable>,
    /// What could not be done.
    pub(super) failures: &'a [Failure],
}

impl Evidence<'_> {
    /// What is known of both entries.
    pub(super) fn judge(&self) -> EdgeState {
        EdgeState {
            external: self.of(Entry::External),
            internal: self.of(Entry::Internal),
            certificate_ends: self.certificate.as_ref().ok().map(|it| it.not_after),
        }
    }

    fn of(&self, entry: Entry) -> Readiness {
        let lack = match self.settings.gateways() {
            Some(gateways) => self.lack_at(gateways, entry),
            None => self.lack_of_certificate(),
        };
        if let Some(failure) = self.failures.iter().find(|it| it.entries.contains(&entry))
            && lack.is_some()
        {
            return Readiness { reason: Reason::ApplyFailed, message: failure.message.clone() };
        }
        let (reason, message) = lack.unwrap_or_else(|| (Reason::Applied, self.good_news(entry)));
        Readiness { reason, message }
    }

    /// The first thing that is missing between a Gateway and the proxies.
    fn lack_at(&self, gateways: &Gateways, entry: Entry) -> Option<(Reason, String)> {
        let hop = gateways.hop(entry);
        let Hop { gateway, .. } = hop;
        if self.served.gateway.is_none() || self.served.http_route.is_none() {
            let message = "the Gateway API is not installed: install it, or choose another \
                           exposure.mode";
            return Some((Reason::GatewayApiMissing, message.into()));
        }
        let Some(live) = self.observed.gateways.get(gateway) else {
            let message = format!(
                "Gateway {gateway} does not exist: create it, or name another in \
                 platform.gateway.{entry}"
            );
            return Some((Reason::GatewayMissing, message));
        };
        let Some(listener) = listeners::find(live, entry) else {
            return Some((Reason::ListenerMissing, no_listener(gateway, entry)));
        };
        if listeners::is_foreign(self.settings, entry, listener) {
            return Some((Reason::ListenerMissing, taken(gateway, entry)));
        }
        let own_certificate = listeners::shows_our_certificate(self.settings, listener);
        own_certificate
            .then(|| self.lack_of_certificate())
            .flatten()
            .or_else(|| unaccepted_listener(live, gateway, entry))
            .or_else(|| self.unaccepted_route(gateway, entry))
    }

    fn unaccepted_route(&self, gateway: &GatewayName, entry: Entry) -> Option<(Reason, String)> {
        let route = self.observed.routes.iter().find(|it| name(it) == entry.listener());
        let objection = route.map_or_else(
            || Some("it does not exist yet".to_owned()),
            |route| objection(route, gateway, entry),
        )?;
        let message = format!(
            "HTTPRoute {}/{} on Gateway {gateway}: {objection}",
            self.settings.namespace,
            entry.listener()
        );
        Some((Reason::ApplyFailed, message))
    }

    fn lack_of_certificate(&self) -> Option<(Reason, String)> {
        let unusable = self.certificate.as_ref().err()?;
        let mut message = format!(
            "Secret {}/{}: {unusable}",
            self.settings.namespace,
            self.settings.certificate_secret()
        );
        if let CertificateSource::Issued { cluster_issuer } = &self.settings.certificate {
            message = format!("{message}; {}", self.why_not_issued(cluster_issuer));
        }
        Some((Reason::CertificateNotReady, message))
    }

    fn why_not_issued(&self, cluster_issuer: &str) -> String {
        if self.served.certificate.is_none() {
            return "cert-manager is not installed: install it, or name a Secret of your own in \
                    platform.tls.secretName"
                .into();
        }
        let said = self.observed.certificate.as_ref().and_then(|certificate| {
            let ready = condition(certificate.get("status")?, "Ready")?;
            text(ready, "message")
        });
        let said = said.unwrap_or("nothing yet");
        format!("cert-manager, asked through ClusterIssuer {cluster_issuer}, says: {said}")
    }

    fn good_news(&self, entry: Entry) -> String {
        let through = match self.settings.gateways() {
            Some(gateways) => format!("Gateway {}", gateways.hop(entry).gateway),
            None => "the proxies themselves".into(),
        };
        let mut news = format!("https://{} is served by {through}", self.settings.host(entry));
        if let Ok(Usable { not_after, ends_soon: true }) = self.certificate {
            news = format!("{news}; renew the certificate, it ends at {not_after}");
        }
        news
    }
}

fn unaccepted_listener(
    live: &serde_json::Value,
    gateway: &GatewayName,
    entry: Entry,
) -> Option<(Reason, String)> {
    let status = listeners::status(live, entry).and_then(|it| condition(it, "Programmed"));
    let objection = match status {
        None => "no controller has said yet whether it is programmed".into(),
        Some(found) if text(found, "status") == Some("True") => return None,
        Some(found) => {
            let [reason, message] =
                ["reason", "message"].map(|field| text(found, field).unwrap_or_default());
            format!("it is not programmed ({reason}): {message}")
        }
    };
    let message = format!("listener {} of Gateway {gateway}: {objection}", entry.listener());
    Some((Reason::ListenerMissing, message))
}

fn no_listener(gateway: &GatewayName, entry: Entry) -> String {
    format!(
        "Gateway {gateway} has no listener {}: add it, or set \
         platform.gateway.manageSharedListeners",
        entry.listener()
    )
}

fn taken(gateway: &GatewayName, entry: Entry) -> String {
    format!(
        "listener {} of Gateway {gateway} belongs to another installation, which serves another \
         domain: use a Gateway of your own, or remove it there",
        entry.listener()
    )
}
