//! Conditions that resources of several kinds have in common.

use crate::app::settings::OperatorSettings;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use llm_crd::{ConditionType, EndpointUrls, Finding, Reason, retain_conditions, set_condition};

/// The endpoints that a resource enables.
#[derive(Clone, Copy, Debug)]
pub(super) struct EnabledEndpoints {
    pub(super) external: bool,
    pub(super) internal: bool,
}

impl EnabledEndpoints {
    pub(super) fn urls(self, settings: &OperatorSettings) -> EndpointUrls {
        EndpointUrls {
            external: settings.urls.external.clone().filter(|_| self.external),
            internal: settings.urls.internal.clone().filter(|_| self.internal),
        }
    }

    /// What the edge and the proxies reported on the resource's endpoints and routes.
    pub(super) fn findings(self, reported: &[Finding]) -> Vec<Finding> {
        let find = |about| reported.iter().find(|it| it.about == about).cloned();
        let endpoint = |about, is_enabled| {
            let message = "the resource disables this endpoint";
            let disabled = || Finding::new(about, Reason::EndpointDisabled, message);
            if is_enabled { find(about) } else { Some(disabled()) }
        };
        let findings = [
            endpoint(ConditionType::ExternalEndpointReady, self.external),
            endpoint(ConditionType::InternalEndpointReady, self.internal),
            find(ConditionType::RouteProgrammed),
        ];
        findings.into_iter().flatten().collect()
    }
}

/// Sets the findings among the conditions of a kind, and removes other types of conditions.
pub(super) fn with_findings(
    mut conditions: Vec<Condition>,
    kind: &[ConditionType],
    findings: Vec<Finding>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    retain_conditions(&mut conditions, kind);
    for finding in findings {
        set_condition(&mut conditions, finding, generation, now);
    }
    conditions
}
