//! Assembles the status of a model. Pure.

use super::{
    assessment::{Assessment, ModelView},
    progress::{DownloadProgress, human_size},
};
use crate::{
    app::settings::OperatorSettings,
    resources::{
        conditions::{EnabledEndpoints, with_findings},
        ignored,
    },
};
use jiff::Timestamp;
use llm_crd::{ConditionType, Download, Finding, LLMModel, LLMModelStatus, Reason};

/// `reported` are the findings of the edge and the proxies.
pub fn status(
    model: &LLMModel,
    view: &ModelView<'_>,
    reported: &[Finding],
    settings: &OperatorSettings,
    now: Timestamp,
) -> LLMModelStatus {
    let LLMModel { spec, status, .. } = model;
    let before = status.clone().unwrap_or_default();
    let Assessment { phase, replicas, weights, serving } = view.assess();
    let endpoints =
        EnabledEndpoints { external: spec.external_enabled(), internal: spec.internal_enabled() };
    let download = download(before.download, view.progress, weights.reason);
    let ignored = ignored::finding(&ignored::of_model(spec));
    let mut findings = vec![accepted(view), weights, serving, ignored];
    findings.extend(endpoints.findings(reported));
    let generation = model.metadata.generation;
    let kind = ConditionType::LLM_MODEL;
    LLMModelStatus {
        phase: Some(phase),
        conditions: with_findings(before.conditions, kind, findings, generation, now),
        observed_generation: generation,
        model_size: size(download).or(before.model_size),
        replicas: Some(replicas),
        endpoints: Some(endpoints.urls(settings)),
        download,
    }
}

fn accepted(view: &ModelView<'_>) -> Finding {
    let finding = |reason, message: &str| Finding::new(ConditionType::Accepted, reason, message);
    match view.checked {
        Err(invalid) => finding(invalid.reason, &invalid.message),
        Ok(checked) => match checked.skipped_ids.as_slice() {
            [] => finding(Reason::Accepted, "the model is accepted"),
            [first, ..] => {
                let messages = checked.skipped_ids.iter().map(|it| it.message.as_str());
                finding(first.reason, &messages.collect::<Vec<_>>().join("; "))
            }
        },
    }
}

/// Status updates are limited to one per percent.
fn download(
    before: Option<Download>,
    progress: Option<DownloadProgress>,
    weights: Reason,
) -> Option<Download> {
    if weights == Reason::Downloaded {
        return before.map(|it| Download { bytes: it.total, percent: 100, ..it });
    }
    let Some(now) = progress.map(Download::from) else { return before };
    match before {
        Some(before) if before.percent == now.percent && before.total == now.total => Some(before),
        Some(_) | None => Some(now),
    }
}

fn size(download: Option<Download>) -> Option<String> {
    let total = u64::try_from(download?.total).ok().filter(|total| *total > 0)?;
    Some(human_size(total))
}
