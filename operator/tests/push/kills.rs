//! An operator that is killed while it writes.

use crate::support::DEADLINE;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{PersistentVolumeClaim, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use llm_cluster::{ControlPlane, Installation, resources, soak, wait_for};
use llm_crd::LLMModel;
use serde_json::json;
use std::collections::BTreeSet;

/// Kills, normally and in the long form.
const KILLS: (usize, usize) = (20, 100);
/// How many rounds a model lives.
const LIFE: usize = 6;

/// What a model becomes, in the order in which it is written, with what its name ends in.
fn parts() -> [(ApiResource, &'static str); 5] {
    [
        (ApiResource::erase::<PersistentVolumeClaim>(&()), "-model-storage"),
        (ApiResource::erase::<ServiceAccount>(&()), "-sa"),
        (ApiResource::erase::<Service>(&()), ""),
        (ApiResource::erase::<NetworkPolicy>(&()), "-deny-direct"),
        (ApiResource::erase::<Deployment>(&()), ""),
    ]
}

fn name(round: usize) -> String {
    format!("m{round}")
}

fn model(round: usize, replicas: i32) -> LLMModel {
    let mut model = resources::model(&name(round)).unwrap();
    let storage = json!({"type": "pvc", "size": "1Gi"});
    model.spec.model.storage = serde_json::from_value(storage).unwrap();
    model.spec.serving = serde_json::from_value(json!({"replicas": replicas})).unwrap();
    model
}

fn objects(installation: &Installation, kind: &ApiResource) -> Api<DynamicObject> {
    Api::namespaced_with(installation.client.clone(), &installation.namespace, kind)
}

/// Everything of models that there is, as `kind name`.
async fn made(installation: &Installation) -> BTreeSet<String> {
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=nebari-llm-operator");
    let mut made = BTreeSet::new();
    for (kind, _) in parts() {
        let list = objects(installation, &kind).list(&ours).await.unwrap();
        made.extend(list.iter().map(|object| format!("{} {}", kind.kind, object.name_any())));
    }
    made
}

fn wanted(round: usize) -> BTreeSet<String> {
    let parts = parts();
    let names = parts.iter().map(|(kind, end)| format!("{} {}{end}", kind.kind, name(round)));
    names.collect()
}

/// Waits until this much has been written of a model: nothing, its first objects, or its status.
async fn written(installation: &Installation, round: usize, much: usize) {
    let parts = parts();
    let there = async || match much.checked_sub(1).map(|last| parts.get(last)) {
        None => true,
        Some(Some((kind, end))) => {
            let name = format!("{}{end}", name(round));
            objects(installation, kind).get_opt(&name).await.unwrap().is_some()
        }
        Some(None) => {
            let model = installation.api::<LLMModel>().get(&name(round)).await.unwrap();
            model.status.is_some_and(|status| !status.conditions.is_empty())
        }
    };
    wait_for(&format!("{much} of model {round}"), DEADLINE, there).await.unwrap();
}

#[tokio::test]
async fn an_operator_that_is_killed_at_any_step_leaves_nothing_half_done() {
    let installation = Installation::create(ControlPlane::shared().await.unwrap()).await.unwrap();
    let mut operator = installation.operator().await.unwrap();
    let mut half_done = 0;
    let kills = soak::rounds(KILLS.0, KILLS.1);
    for round in 0..kills {
        installation.apply(&model(round, 0)).await.unwrap();
        if let Some(before) = round.checked_sub(1) {
            installation.apply(&model(before, 1)).await.unwrap();
        }
        if let Some(old) = round.checked_sub(LIFE) {
            installation.delete::<LLMModel>(&name(old)).await.unwrap();
        }
        written(&installation, round, round % (parts().len() + 2)).await;
        operator.process.kill();
        let there = made(&installation).await.intersection(&wanted(round)).count();
        half_done += usize::from((1..parts().len()).contains(&there));
        operator.restart().unwrap();
    }
    println!("killed {kills} times, {half_done} of them between the objects of a model");
    assert!(0 < half_done);

    let lives = kills - LIFE..kills;
    let all: BTreeSet<_> = lives.clone().flat_map(wanted).collect();
    let mut found = BTreeSet::new();
    let converged = async || {
        found = made(&installation).await;
        found == all
    };
    if wait_for("everything of what lives, and nothing else", DEADLINE, converged).await.is_err() {
        panic!("{:#?}", found.symmetric_difference(&all));
    }
    for round in lives {
        let models = installation.api::<LLMModel>();
        let reported = async || {
            let model = models.get(&name(round)).await.unwrap();
            model.status.is_some_and(|it| it.observed_generation == model.metadata.generation)
        };
        wait_for("it is reported as it is", DEADLINE, reported).await.unwrap();
        let deployment = installation.api::<Deployment>().get(&name(round)).await.unwrap();
        let replicas = i32::from(round + 1 < kills);
        assert_eq!(deployment.spec.replicas, Some(replicas), "of model {round}");
    }
}
