//! Certificates, grants, listeners and routes, on a real API server. Nothing there runs a Gateway
//! or issues a certificate, so the tests write the statuses that controllers would.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod support;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use llm_cluster::{ControlPlane, wait_for};
use llm_crd::Reason;
use llm_operator::edge::settings::{CertificateSource, Entry, Exposure, Gateways, ListenerOwner};
use serde_json::json;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};
use support::{Cluster, DEADLINE, listeners, names};

const CERTIFICATE: &str = "nebari-llm-shared-tls";
/// Long enough for many looks, if something polled.
const QUIET: Duration = Duration::from_secs(6);

fn is_there(value: &serde_json::Value) -> bool {
    !value.is_null()
}

/// Waits until the API server is asked nothing for a while, as it never would be by something that
/// polls.
async fn until_silent(cluster: &Cluster) {
    let mut asked = cluster.requests();
    assert!(!asked.is_empty(), "requests are counted");
    let mut last = Vec::new();
    let silent = async || {
        let silence = std::future::pending::<()>();
        tokio::time::timeout(QUIET, silence).await.unwrap_err();
        let now = cluster.requests();
        last = now[asked.len()..].to_vec();
        asked = now;
        last.is_empty()
    };
    let waited = wait_for("nothing is asked", DEADLINE, silent).await;
    assert!(waited.is_ok(), "still asked for {last:?}");
}

#[tokio::test]
async fn everything_is_made_and_said_and_then_nothing_is_asked_any_more() {
    let cluster = Cluster::with_foreign_kinds().await;
    let before = cluster.make_gateway("shared").await;
    let running = cluster.run(cluster.issued(cluster.through("shared")));

    let certificate = cluster.until("Certificate", CERTIFICATE, "appears", is_there).await;
    assert_eq!(
        certificate["spec"]["dnsNames"],
        json!(["llm.example.org", "llm-internal.example.org"])
    );
    let grant = format!("{CERTIFICATE}-from-{}", cluster.gateways);
    cluster.until("ReferenceGrant", &grant, "appears", is_there).await;
    let message = running.says(Entry::External, Reason::CertificateNotReady).await;
    assert!(message.contains(" does not exist; cert-manager"), "{message}");

    cluster.put_good_certificate(CERTIFICATE).await;
    running
        .says_this(Entry::Internal, "no controller has reported yet whether it is programmed")
        .await;
    cluster.program("shared").await;
    running.says_this(Entry::Internal, "no controller has processed it yet").await;
    cluster.accept("False", "NotAllowedByListeners").await;
    running.says_this(Entry::External, "not Accepted (NotAllowedByListeners)").await;
    cluster.accept("True", "Accepted").await;
    for entry in Entry::ALL {
        running.says(entry, Reason::Applied).await;
    }

    let after = cluster.get("Gateway", "shared").await;
    assert_eq!(names(&after), ["http", "app-one", "raw", "llm-https", "llm-internal-https"]);
    let others = serde_json::to_string(&listeners(&after)[..3]).unwrap();
    assert_eq!(others, serde_json::to_string(&listeners(&before)).unwrap(), "byte for byte");
    for (entry, port) in [("llm-https", 8080), ("llm-internal-https", 8081)] {
        let route = cluster.get("HTTPRoute", entry).await;
        let rule = &route["spec"]["rules"][0];
        assert_eq!(rule["backendRefs"][0]["port"], port);
        assert_eq!(rule["timeouts"], json!({ "request": "0s", "backendRequest": "0s" }));
        assert_eq!(rule["matches"], json!([{ "path": { "type": "PathPrefix", "value": "/" } }]));
    }

    until_silent(&cluster).await;
}

#[tokio::test]
async fn what_drifts_is_put_right_and_what_others_added_stays() {
    let cluster = Cluster::with_foreign_kinds().await;
    cluster.make_gateway("shared").await;
    let running = cluster.run(cluster.issued(cluster.through("shared")));
    running.says(Entry::External, Reason::CertificateNotReady).await;
    cluster.until("Gateway", "shared", "has ours", |it| names(it).len() == 5).await;

    let patch = json!({
        "metadata": { "labels": { "team": "one" } },
        "spec": { "dnsNames": ["llm.example.org"], "duration": "2160h" },
    });
    cluster.patch("Certificate", CERTIFICATE, patch).await;
    let restored = cluster
        .until("Certificate", CERTIFICATE, "has both names", |it| {
            it["spec"]["dnsNames"].as_array().is_some_and(|names| names.len() == 2)
        })
        .await;
    assert_eq!(restored["spec"]["duration"], "2160h");
    assert_eq!(restored["metadata"]["labels"]["team"], "one");

    let route = json!({ "spec": { "hostnames": ["other.example.org"] } });
    cluster.patch("HTTPRoute", "llm-https", route).await;
    cluster
        .until("HTTPRoute", "llm-https", "has its host", |it| {
            it["spec"]["hostnames"] == json!(["llm.example.org"])
        })
        .await;

    // Somebody who writes the whole list, and forgets ours.
    let theirs: Vec<_> = listeners(&cluster.get("Gateway", "shared").await).drain(..3).collect();
    cluster.patch("Gateway", "shared", json!({ "spec": { "listeners": theirs } })).await;
    cluster.until("Gateway", "shared", "has ours again", |it| names(it).len() == 5).await;

    let api = cluster.api("Certificate", &cluster.own);
    api.delete(CERTIFICATE, &DeleteParams::default()).await.unwrap();
    cluster.until("Certificate", CERTIFICATE, "appears again", is_there).await;
}

#[tokio::test]
async fn with_a_secret_of_their_own_people_need_no_cert_manager() {
    let cluster = Cluster::with_foreign_kinds().await;
    cluster.make_gateway("shared").await;
    let first = cluster.run(cluster.issued(cluster.through("shared")));
    cluster.until("Gateway", "shared", "has ours", |it| names(it).len() == 5).await;
    drop(first);

    let running = cluster.run(cluster.provided(cluster.through("shared")));
    let message = running.says(Entry::External, Reason::CertificateNotReady).await;
    assert_eq!(message, format!("Secret {}/mine does not exist", cluster.own));
    cluster.until("Certificate", CERTIFICATE, "goes", |it| !is_there(it)).await;
    let grant = format!("{CERTIFICATE}-from-{}", cluster.gateways);
    cluster
        .until("ReferenceGrant", &grant, "names their Secret", |it| {
            it["spec"]["to"][0]["name"] == "mine"
        })
        .await;
    cluster
        .until("Gateway", "shared", "names their Secret", |it| {
            listeners(it).iter().skip(3).all(|it| it["tls"]["certificateRefs"][0]["name"] == "mine")
        })
        .await;

    cluster.put_certificate("mine", &["llm.example.org"], 2020..2500).await;
    running.says_this(Entry::External, "does not cover llm-internal.example.org").await;
    cluster.put_certificate("mine", &["*.example.org"], 2020..2021).await;
    running.says_this(Entry::External, "expired at 2021-01-01T00:00:00Z").await;
    cluster.put_good_certificate("mine").await;
    running.says_this(Entry::External, "no controller has reported yet").await;
}

#[tokio::test]
async fn a_gateway_that_comes_later_is_used_when_it_comes() {
    let cluster = Cluster::with_foreign_kinds().await;
    let running = cluster.run(cluster.issued(cluster.through("shared")));
    let message = running.says(Entry::External, Reason::GatewayMissing).await;
    assert!(
        message.contains("create it or specify another one in platform.gateway.external"),
        "{message}"
    );
    cluster.until("Certificate", CERTIFICATE, "appears", is_there).await;
    cluster.make_gateway("shared").await;
    cluster.until("Gateway", "shared", "has ours", |it| names(it).len() == 5).await;

    let api = cluster.api("Gateway", &cluster.gateways);
    api.delete("shared", &DeleteParams::default()).await.unwrap();
    running.says(Entry::External, Reason::GatewayMissing).await;
}

#[tokio::test]
async fn administrators_may_keep_the_listeners() {
    let cluster = Cluster::with_foreign_kinds().await;
    let before = cluster.make_gateway("shared").await;
    let gateways =
        Gateways { listeners: ListenerOwner::Administrator, ..cluster.through("shared") };
    let running = cluster.run(cluster.issued(gateways));
    cluster.until("Certificate", CERTIFICATE, "appears", is_there).await;
    cluster.until("HTTPRoute", "llm-https", "appears", is_there).await;
    let message = running.says(Entry::External, Reason::ListenerMissing).await;
    assert!(message.contains("has no listener llm-https: add it"), "{message}");
    assert_eq!(listeners(&cluster.get("Gateway", "shared").await), listeners(&before));
}

#[tokio::test]
async fn listeners_of_the_older_pack_are_taken_over_and_move_with_the_gateway() {
    let cluster = Cluster::with_foreign_kinds().await;
    let before = cluster.make_gateway("former").await;
    cluster.make_gateway("latter").await;
    // As the older pack wrote them: the whole object, after it had read it.
    let api = cluster.api("Gateway", &cluster.gateways);
    let mut gateway = api.get("former").await.unwrap();
    for (name, host) in [("llm-https", "llm"), ("llm-internal-https", "llm-internal")] {
        gateway.data["spec"]["listeners"].as_array_mut().unwrap().push(json!({
            "name": name,
            "protocol": "HTTPS",
            "port": 443,
            "hostname": format!("{host}.example.org"),
            "tls": {
                "mode": "Terminate",
                "certificateRefs": [{ "kind": "Secret", "name": CERTIFICATE, "namespace": cluster.own }],
            },
            "allowedRoutes": { "namespaces": { "from": "All" } },
        }));
    }
    let older = PostParams { field_manager: Some("manager".into()), ..PostParams::default() };
    let written = api.replace("former", &older, &gateway).await.unwrap();
    let spec = written.data["spec"].clone();

    let running = cluster.run(cluster.issued(cluster.through("former")));
    cluster.until("HTTPRoute", "llm-internal-https", "appears", is_there).await;
    let taken = cluster.get("Gateway", "former").await;
    assert_eq!(taken["spec"], spec, "taking over changes nothing");
    assert_eq!(taken["metadata"]["generation"], written.metadata.generation.unwrap());
    drop(running);

    let _running = cluster.run(cluster.issued(cluster.through("latter")));
    cluster.until("Gateway", "latter", "has ours", |it| names(it).len() == 5).await;
    let left = cluster.until("Gateway", "former", "is left", |it| names(it).len() == 3).await;
    let text = |gateway| serde_json::to_string(&listeners(gateway)).unwrap();
    assert_eq!(text(&left), text(&before), "byte for byte");
}

#[tokio::test]
async fn a_grant_for_a_namespace_that_has_no_gateway_of_ours_any_more_goes() {
    let cluster = Cluster::with_foreign_kinds().await;
    cluster.make_gateway("shared").await;
    let first = cluster.run(cluster.issued(cluster.through("shared")));
    let grant = format!("{CERTIFICATE}-from-{}", cluster.gateways);
    cluster.until("ReferenceGrant", &grant, "appears", is_there).await;
    cluster.until("HTTPRoute", "llm-internal-https", "appears", is_there).await;
    drop(first);

    let certificate = CertificateSource::Issued { cluster_issuer: "letsencrypt".into() };
    let running = cluster.run(cluster.settings(certificate, Exposure::Direct));
    cluster.until("ReferenceGrant", &grant, "goes", |it| !is_there(it)).await;
    cluster.until("HTTPRoute", "llm-https", "goes", |it| !is_there(it)).await;
    cluster.until("HTTPRoute", "llm-internal-https", "goes", |it| !is_there(it)).await;
    cluster.until("Gateway", "shared", "is left", |it| names(it).len() == 3).await;
    cluster.put_good_certificate(CERTIFICATE).await;
    let message = running.says(Entry::External, Reason::Applied).await;
    assert_eq!(message, "https://llm.example.org is served directly by the proxies");
    assert!(is_there(&cluster.get("Certificate", CERTIFICATE).await));
}

#[tokio::test]
async fn kinds_that_are_installed_later_are_noticed() {
    let plane = ControlPlane::options().without_workload_controllers().start().await.unwrap();
    let cluster = Cluster::on(Arc::new(plane)).await;
    let running = cluster.run(cluster.issued(cluster.through("shared")));
    let message = running.says(Entry::External, Reason::GatewayApiMissing).await;
    assert!(message.contains("install it or choose another exposure.mode"), "{message}");
    until_silent(&cluster).await;

    cluster.plane.install_foreign_crds().await.unwrap();
    running.says(Entry::External, Reason::GatewayMissing).await;
    cluster.until("Certificate", CERTIFICATE, "appears", is_there).await;
    cluster.until("HTTPRoute", "llm-https", "appears", is_there).await;
    cluster.make_gateway("shared").await;
    cluster.until("Gateway", "shared", "has ours", |it| names(it).len() == 5).await;

    let gone = ["delete", "crd", "httproutes.gateway.networking.k8s.io"];
    cluster.plane.kubectl(&gone).await.unwrap();
    running.says(Entry::External, Reason::GatewayApiMissing).await;
}

#[tokio::test]
async fn without_cert_manager_the_way_to_go_on_is_said() {
    let plane = ControlPlane::options().without_workload_controllers().start().await.unwrap();
    let cluster = Cluster::on(Arc::new(plane)).await;
    let certificate = CertificateSource::Issued { cluster_issuer: "letsencrypt".into() };
    let running = cluster.run(cluster.settings(certificate, Exposure::Direct));
    let message = running.says(Entry::External, Reason::CertificateNotReady).await;
    assert!(
        message.ends_with(
            "cert-manager is not installed: install it or specify a Secret with a certificate in \
             platform.tls.secretName"
        ),
        "{message}"
    );
    cluster.put_good_certificate(CERTIFICATE).await;
    running.says(Entry::Internal, Reason::Applied).await;
}

#[tokio::test]
async fn a_certificate_that_ends_is_said_although_nothing_happens() {
    const LIFE: Duration = Duration::from_secs(25);
    let cluster = Cluster::with_foreign_kinds().await;
    let certificate = CertificateSource::Provided { secret: "mine".into() };
    let running = cluster.run(cluster.settings(certificate, Exposure::Direct));
    running.says(Entry::External, Reason::CertificateNotReady).await;
    let now = SystemTime::from(llm_operator::clock::wall());
    cluster.put_certificate_until("mine", &["*.example.org"], now - LIFE..now + LIFE).await;
    let message = running.says(Entry::External, Reason::Applied).await;
    assert!(message.contains("; renew the certificate, which expires at "), "{message}");
    running.says_this(Entry::External, "has a certificate that expired at ").await;
}

#[tokio::test]
async fn two_installations_on_one_gateway_do_not_take_each_others_listeners() {
    let cluster = Cluster::with_foreign_kinds().await;
    cluster.make_gateway("shared").await;
    let _first = cluster.run(cluster.issued(cluster.through("shared")));
    cluster.until("Gateway", "shared", "has ours", |it| names(it).len() == 5).await;
    cluster.put_good_certificate(CERTIFICATE).await;
    until_silent(&cluster).await;
    let before = cluster.get("Gateway", "shared").await;

    let mut other = Cluster::on(Arc::clone(&cluster.plane)).await;
    other.gateways.clone_from(&cluster.gateways);
    let certificate = CertificateSource::Issued { cluster_issuer: "letsencrypt".into() };
    let exposure = Exposure::Gateways(cluster.through("shared"));
    let settings = llm_operator::edge::settings::EdgeSettings::check(
        other.own.clone(),
        "other.org".into(),
        certificate,
        exposure,
    );
    let second = other.run(settings.unwrap());
    let message = second.says(Entry::External, Reason::ListenerMissing).await;
    assert!(message.contains("belongs to another installation"), "{message}");
    other.until("HTTPRoute", "llm-https", "appears", is_there).await;
    let after = cluster.get("Gateway", "shared").await;
    assert_eq!(after["metadata"]["resourceVersion"], before["metadata"]["resourceVersion"]);
}

#[tokio::test]
async fn writers_of_other_listeners_and_ours_lose_nothing() {
    const OTHERS: usize = 12;
    let cluster = Cluster::with_foreign_kinds().await;
    cluster.make_gateway("shared").await;
    let _running = cluster.run(cluster.issued(cluster.through("shared")));
    let api = cluster.api("Gateway", &cluster.gateways);
    for number in 0..OTHERS {
        // Read, change, write: the way that loses what was written in between, were it not for the
        // version.
        let write = async || {
            let mut gateway = api.get("shared").await.unwrap();
            let listeners = gateway.data["spec"]["listeners"].as_array_mut().unwrap();
            listeners.retain(|it| number % 3 != 0 || it["name"] != "llm-https");
            listeners.push(json!({
                "name": format!("other-{number}"), "protocol": "HTTP", "port": 10_000 + number,
            }));
            api.replace("shared", &PostParams::default(), &gateway).await.is_ok()
        };
        wait_for("a write without a conflict", DEADLINE, write).await.unwrap();
    }
    let all = |it: &serde_json::Value| names(it).len() == 5 + OTHERS;
    cluster.until("Gateway", "shared", "has everything", all).await;
}

#[tokio::test]
async fn what_the_api_server_refuses_is_said() {
    let cluster = Cluster::with_foreign_kinds().await;
    cluster.make_gateway("shared").await;
    // The host of ours, under another name.
    let taken = json!({
        "metadata": { "name": "shared", "namespace": cluster.gateways },
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "spec": { "listeners": [{
            "name": "mine", "protocol": "HTTPS", "port": 443, "hostname": "llm.example.org",
        }] },
    });
    let api = cluster.api("Gateway", &cluster.gateways);
    let theirs = PatchParams::apply("somebody");
    api.patch("shared", &theirs, &Patch::Apply(&taken)).await.unwrap();
    let running = cluster.run(cluster.issued(cluster.through("shared")));
    let message = running.says(Entry::External, Reason::ApplyFailed).await;
    assert!(message.contains("must be unique for each listener"), "{message}");
    cluster.until("HTTPRoute", "llm-https", "appears", is_there).await;
}

#[tokio::test]
async fn an_api_server_that_was_away_finds_everything_as_it_was_and_what_it_missed_is_put_right() {
    let plane = ControlPlane::options().without_workload_controllers().start().await.unwrap();
    plane.install_foreign_crds().await.unwrap();
    let cluster = Cluster::on(Arc::new(plane)).await;
    cluster.make_gateway("shared").await;
    cluster.put_good_certificate(CERTIFICATE).await;
    let running = cluster.run(cluster.issued(cluster.through("shared")));
    cluster.until("HTTPRoute", "llm-internal-https", "appears", is_there).await;
    cluster.program("shared").await;
    cluster.accept("True", "Accepted").await;
    running.says(Entry::Internal, Reason::Applied).await;
    until_silent(&cluster).await;
    let before = cluster.get("Gateway", "shared").await;

    cluster.plane.stop_api_server().await.unwrap();
    cluster.plane.etcd_compact().await.unwrap();
    cluster.plane.start_api_server().await.unwrap();
    running.says(Entry::Internal, Reason::Applied).await;
    let api = cluster.api("Certificate", &cluster.own);
    api.delete(CERTIFICATE, &DeleteParams::default()).await.unwrap();
    cluster.until("Certificate", CERTIFICATE, "appears again", is_there).await;
    assert_eq!(cluster.get("Gateway", "shared").await, before);
}

#[tokio::test]
async fn without_gateways_no_right_to_them_is_needed() {
    let cluster = Cluster::with_foreign_kinds().await;
    cluster.make_gateway("shared").await;
    let first = cluster.run(cluster.issued(cluster.through("shared")));
    cluster.until("HTTPRoute", "llm-internal-https", "appears", is_there).await;
    drop(first);

    let restricted = cluster.with_few_rights().await;
    let certificate = CertificateSource::Issued { cluster_issuer: "letsencrypt".into() };
    let running = restricted.run(restricted.settings(certificate, Exposure::Direct));
    running.says(Entry::External, Reason::CertificateNotReady).await;
    cluster.put_good_certificate(CERTIFICATE).await;
    running.says(Entry::External, Reason::Applied).await;
    assert!(is_there(&cluster.get("HTTPRoute", "llm-https").await), "it may not remove it");
}
