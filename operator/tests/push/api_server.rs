//! Clients do not notice that the API server is down.

use crate::support::{STEADY, TestBed, assert_no_errors};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service};
use kube::{Api, ResourceExt as _, api::ListParams};
use llm_cluster::{ControlPlane, resources, wait_for};
use llm_crd::LLMModel;
use std::{sync::Arc, time::Duration};

const DEADLINE: Duration = Duration::from_secs(60);
/// How long there is no API server: longer than a leader leads without one.
const OUTAGE: Duration = Duration::from_secs(12);

/// The objects, with their UIDs.
async fn inventory(testbed: &TestBed) -> Vec<(String, Option<String>)> {
    let list = ListParams::default();
    let deployments: Api<Deployment> = testbed.installation.api();
    let services: Api<Service> = testbed.installation.api();
    let mut found: Vec<_> = deployments
        .list(&list)
        .await
        .unwrap()
        .iter()
        .map(|it| (format!("deployment {}", it.name_any()), it.uid()))
        .collect();
    let services = services.list(&list).await.unwrap();
    found.extend(services.iter().map(|it| (format!("service {}", it.name_any()), it.uid())));
    found.sort();
    found
}

#[tokio::test]
async fn clients_do_not_notice_that_the_api_server_is_down_and_later_changes_arrive() {
    let plane = Arc::new(ControlPlane::start().await.unwrap());
    let testbed = TestBed::on(Arc::clone(&plane), 2, 3).await;
    for name in ["one", "two"] {
        testbed.installation.apply::<LLMModel>(&resources::model(name).unwrap()).await.unwrap();
    }
    let made = async || inventory(&testbed).await.len() == 4;
    wait_for("the models' objects are made", DEADLINE, made).await.unwrap();
    let before = inventory(&testbed).await;
    let load = testbed.load();

    plane.stop_api_server().await.unwrap();
    let mut outage = tokio::time::interval(OUTAGE / 12);
    for _ in 0..12 {
        outage.tick().await;
        testbed.wait_for_status(STEADY, 200).await;
    }
    plane.etcd_compact().await.unwrap();
    plane.start_api_server().await.unwrap();

    testbed.add_model("after").await;
    testbed.installation.delete::<LLMModel>("two").await.unwrap();
    let gone = async || inventory(&testbed).await.len() == 2;
    wait_for("a deleted model's objects are gone", DEADLINE, gone).await.unwrap();
    let left = inventory(&testbed).await;
    assert!(left.iter().all(|object| before.contains(object)), "{left:?} of {before:?}");
    testbed.leader().await;
    assert_no_errors(&load.stop().await);
}
