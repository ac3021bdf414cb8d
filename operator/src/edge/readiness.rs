//! Evaluates whether the entries are ready, and if not, why. Pure.

use super::{
    apply::WriteError,
    certificate::check::{CertificateError, ValidCertificate},
    http_routes::route_problem,
    listeners,
    manifest::{condition, name, text},
    observed::{InstalledKinds, ObservedEdge},
    settings::{CertificateSource, EdgeSettings, Entry, GatewayName, Gateways, Hop},
};
use llm_crd::{ConditionType, Finding, Reason};

/// The state of both entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeState {
    pub external: Readiness,
    pub internal: Readiness,
}

/// Whether an entry is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    pub reason: Reason,
    /// The state, and how to fix it.
    pub message: String,
}

impl EdgeState {
    pub fn of(&self, entry: Entry) -> &Readiness {
        match entry {
            Entry::External => &self.external,
            Entry::Internal => &self.internal,
        }
    }

    /// The endpoint conditions of every model and provider.
    pub fn findings(&self) -> Vec<Finding> {
        let finding = |about, it: &Readiness| Finding::new(about, it.reason, it.message.clone());
        vec![
            finding(ConditionType::ExternalEndpointReady, &self.external),
            finding(ConditionType::InternalEndpointReady, &self.internal),
        ]
    }
}

impl Readiness {
    /// Whether requests reach the proxies.
    pub fn is_ready(&self) -> bool {
        self.reason == Reason::Applied
    }
}

/// Everything known about the edge.
#[derive(Clone, Copy, Debug)]
pub(super) struct EdgeView<'a> {
    pub(super) settings: &'a EdgeSettings,
    pub(super) kinds: &'a InstalledKinds,
    pub(super) observed: &'a ObservedEdge,
    pub(super) certificate: &'a Result<ValidCertificate, CertificateError>,
    pub(super) errors: &'a [WriteError],
}

impl EdgeView<'_> {
    pub(super) fn evaluate(&self) -> EdgeState {
        EdgeState {
            external: self.readiness(Entry::External),
            internal: self.readiness(Entry::Internal),
        }
    }

    fn readiness(&self, entry: Entry) -> Readiness {
        let problem = match self.settings.gateways() {
            Some(gateways) => self.gateway_problem(gateways, entry),
            None => self.certificate_problem(),
        };
        if let Some(error) = self.errors.iter().find(|it| it.entries.contains(&entry))
            && problem.is_some()
        {
            return Readiness { reason: Reason::ApplyFailed, message: error.message.clone() };
        }
        let ready = || (Reason::Applied, self.ready_message(entry));
        let (reason, message) = problem.unwrap_or_else(ready);
        Readiness { reason, message }
    }

    /// The first problem between a Gateway and the proxies.
    fn gateway_problem(&self, gateways: &Gateways, entry: Entry) -> Option<(Reason, String)> {
        let hop = gateways.hop(entry);
        let Hop { gateway, .. } = hop;
        if self.kinds.gateway.is_none() || self.kinds.http_route.is_none() {
            let message = "the Gateway API is not installed: install it or choose another \
                           exposure.mode";
            return Some((Reason::GatewayApiMissing, message.into()));
        }
        let Some(live) = self.observed.gateways.get(gateway) else {
            let message = format!(
                "Gateway {gateway} does not exist: create it or specify another one in \
                 platform.gateway.{entry}"
            );
            return Some((Reason::GatewayMissing, message));
        };
        let Some(listener) = listeners::find(live, entry) else {
            return Some((Reason::ListenerMissing, no_listener(gateway, entry)));
        };
        if listeners::is_other_installation(self.settings, entry, listener) {
            return Some((Reason::ListenerMissing, owned_elsewhere(gateway, entry)));
        }
        let own_certificate = listeners::uses_our_certificate(self.settings, listener);
        own_certificate
            .then(|| self.certificate_problem())
            .flatten()
            .or_else(|| listener_problem(live, gateway, entry))
            .or_else(|| self.attachment_problem(gateway, entry))
    }

    fn attachment_problem(&self, gateway: &GatewayName, entry: Entry) -> Option<(Reason, String)> {
        let route = self.observed.routes.iter().find(|it| name(it) == entry.listener());
        let missing = || Some("it does not exist yet".to_owned());
        let problem = route.map_or_else(missing, |route| route_problem(route, gateway, entry))?;
        let message = format!(
            "HTTPRoute {}/{} on Gateway {gateway}: {problem}",
            self.settings.namespace,
            entry.listener()
        );
        Some((Reason::ApplyFailed, message))
    }

    fn certificate_problem(&self) -> Option<(Reason, String)> {
        let error = self.certificate.as_ref().err()?;
        let mut message = format!(
            "Secret {}/{} {error}",
            self.settings.namespace,
            self.settings.certificate_secret()
        );
        if let CertificateSource::Issued { cluster_issuer } = &self.settings.certificate {
            message = format!("{message}; {}", self.issuer_message(cluster_issuer));
        }
        Some((Reason::CertificateNotReady, message))
    }

    fn issuer_message(&self, cluster_issuer: &str) -> String {
        if self.kinds.certificate.is_none() {
            return "cert-manager is not installed: install it or specify a Secret with a \
                    certificate in platform.tls.secretName"
                .into();
        }
        let message = self.observed.certificate.as_ref().and_then(|certificate| {
            let ready = condition(certificate.get("status")?, "Ready")?;
            text(ready, "message")
        });
        let message = message.unwrap_or("no status reported yet");
        format!("cert-manager with ClusterIssuer {cluster_issuer}: {message}")
    }

    fn ready_message(&self, entry: Entry) -> String {
        let through = match self.settings.gateways() {
            Some(gateways) => format!("by Gateway {}", gateways.hop(entry).gateway),
            None => "directly by the proxies".into(),
        };
        let mut message = format!("https://{} is served {through}", self.settings.host(entry));
        if let Ok(ValidCertificate { not_after, expires_soon: true }) = self.certificate {
            message = format!("{message}; renew the certificate, which expires at {not_after}");
        }
        message
    }
}

fn listener_problem(
    live: &serde_json::Value,
    gateway: &GatewayName,
    entry: Entry,
) -> Option<(Reason, String)> {
    let status = listeners::status(live, entry).and_then(|it| condition(it, "Programmed"));
    let problem = match status {
        None => "no controller has reported yet whether it is programmed".into(),
        Some(found) if text(found, "status") == Some("True") => return None,
        Some(found) => {
            let [reason, message] =
                ["reason", "message"].map(|field| text(found, field).unwrap_or_default());
            format!("not programmed ({reason}): {message}")
        }
    };
    let message = format!("listener {} of Gateway {gateway}: {problem}", entry.listener());
    Some((Reason::ListenerMissing, message))
}

fn no_listener(gateway: &GatewayName, entry: Entry) -> String {
    format!(
        "Gateway {gateway} has no listener {}: add it or set \
         platform.gateway.manageSharedListeners",
        entry.listener()
    )
}

fn owned_elsewhere(gateway: &GatewayName, entry: Entry) -> String {
    format!(
        "listener {} of Gateway {gateway} belongs to another installation, which serves another \
         domain: use a different Gateway or remove the listener there",
        entry.listener()
    )
}
