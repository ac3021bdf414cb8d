//! The status of a model: what is known put together. Pure.

use crate::{
    app::settings::OperatorSettings,
    resources::{
        ignored,
        model::{
            phase::{Seen, human},
            progress::Progress,
        },
    },
};
use jiff::Timestamp;
use llm_crd::{
    ConditionType, Download, EndpointUrls, Finding, LLMModel, LLMModelStatus, Reason,
    retain_conditions, set_condition,
};

/// The status of a model.
pub fn status(
    model: &LLMModel,
    seen: &Seen<'_>,
    elsewhere: &[Finding],
    settings: &OperatorSettings,
    now: Timestamp,
) -> LLMModelStatus {
    let before = model.status.clone().unwrap_or_default();
    let weights = seen.weights();
    let download = download(before.download, seen.progress, weights.reason);
    let generation = model.metadata.generation;
    let mut conditions = before.conditions;
    retain_conditions(&mut conditions, ConditionType::LLM_MODEL);
    for finding in findings(model, seen, weights, elsewhere) {
        set_condition(&mut conditions, finding, generation, now);
    }
    LLMModelStatus {
        phase: Some(seen.phase()),
        conditions,
        observed_generation: generation,
        model_size: size(download).or(before.model_size),
        replicas: Some(seen.replicas()),
        endpoints: Some(EndpointUrls {
            external: settings.urls.external.clone().filter(|_| model.spec.external_enabled()),
            internal: settings.urls.internal.clone().filter(|_| model.spec.internal_enabled()),
        }),
        download,
    }
}

fn findings(
    model: &LLMModel,
    seen: &Seen<'_>,
    weights: Finding,
    elsewhere: &[Finding],
) -> Vec<Finding> {
    let ignored = ignored::finding(&ignored::of_model(&model.spec));
    let mut findings = vec![accepted(seen), weights, seen.serving(), ignored];
    for (about, enabled) in [
        (ConditionType::ExternalEndpointReady, model.spec.external_enabled()),
        (ConditionType::InternalEndpointReady, model.spec.internal_enabled()),
    ] {
        findings.extend(endpoint(about, enabled, elsewhere));
    }
    findings
        .extend(elsewhere.iter().find(|it| it.about == ConditionType::RouteProgrammed).cloned());
    findings
}

fn accepted(seen: &Seen<'_>) -> Finding {
    match seen.checked {
        Err(refusal) => refusal.clone().finding(),
        Ok(checked) => match checked.flaws.as_slice() {
            [] => Finding::new(ConditionType::Accepted, Reason::Accepted, "the model is accepted"),
            [flaw, more @ ..] => more.iter().fold(flaw.clone(), |mut all, flaw| {
                all.message = format!("{}; {}", all.message, flaw.message);
                all
            }),
        },
    }
}

/// What the resource disables is said by the resource; the rest by those who look at the way in.
pub(crate) fn endpoint(
    about: ConditionType,
    is_enabled: bool,
    elsewhere: &[Finding],
) -> Option<Finding> {
    if !is_enabled {
        return Some(Finding::new(about, Reason::EndpointDisabled, "the resource disables it"));
    }
    elsewhere.iter().find(|finding| finding.about == about).cloned()
}

/// How far the download is. A status is not written for less than a hundredth.
fn download(
    before: Option<Download>,
    progress: Option<Progress>,
    weights: Reason,
) -> Option<Download> {
    if weights == Reason::Downloaded {
        return before.map(|it| Download { bytes: it.total, percent: 100, ..it });
    }
    let Some(now) = progress.map(Progress::download) else { return before };
    match before {
        Some(before) if before.percent == now.percent && before.total == now.total => Some(before),
        Some(_) | None => Some(now),
    }
}

fn size(download: Option<Download>) -> Option<String> {
    let total = u64::try_from(download?.total).ok().filter(|total| *total > 0)?;
    Some(human(total))
}
