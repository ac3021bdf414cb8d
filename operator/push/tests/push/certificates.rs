//! Certificates that are rotated while in use.

use crate::support::{NAME, Operator, Proxy, channel, hello};
use jiff::{SignedDuration, Timestamp};
use llm_push::{Authority, RotationStep};

/// A stream over a connection of its own, that was sent the table.
async fn follows(operator: &Operator, bundle: &str, name: &str) -> Proxy {
    let channel = channel(operator.address, bundle).await.unwrap();
    let mut proxy = Proxy::begin(channel, "good", hello(name, None)).await.unwrap();
    proxy.follow().await;
    proxy
}

fn serve_from(operator: &Operator, authority: &Authority) {
    let issued = authority.issue(&[NAME.to_owned()], Timestamp::now()).unwrap();
    operator.certificate.replace(issued);
}

#[tokio::test]
async fn an_open_stream_outlives_the_certificate_it_began_with() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    let mut before = follows(&operator, &operator.authority.bundle(), "p1").await;
    let other = crate::support::authority();
    serve_from(&operator, &other);
    follows(&operator, &other.bundle(), "p2").await;
    operator.publish(&[("m/b", "1")], &[]);
    assert_eq!(before.follow().await.change.upserts.len(), 1);
}

#[tokio::test]
async fn a_proxy_that_trusts_another_root_does_not_connect() {
    let operator = Operator::start().await;
    let other = crate::support::authority();
    let refused = channel(operator.address, &other.bundle()).await.unwrap_err();
    let error = format!("{refused:?}");
    assert!(error.contains("InvalidCertificate"), "{error}");
}

#[tokio::test]
async fn a_certificate_is_valid_for_its_names_only() {
    let operator = Operator::start().await;
    let issued = operator.authority.issue(&["other.svc".to_owned()], Timestamp::now()).unwrap();
    operator.certificate.replace(issued);
    let refused = channel(operator.address, &operator.authority.bundle()).await.unwrap_err();
    assert!(format!("{refused:?}").contains("NotValidForName"), "{refused:?}");
}

#[tokio::test]
async fn a_proxy_connects_through_every_step_of_a_rotation_with_the_bundle_it_read_last() {
    let operator = Operator::start().await;
    operator.publish(&[("m/a", "1")], &[]);
    // Made a while ago, and still valid.
    let made = Timestamp::now() - SignedDuration::from_hours(400 * 24);
    let mut authority = Authority::advance(None, RotationStep::Create, made).unwrap();
    serve_from(&operator, &authority);
    let mut bundle = authority.bundle();
    for step in [RotationStep::Prepare, RotationStep::Promote, RotationStep::Retire] {
        authority = Authority::advance(Some(authority), step, Timestamp::now()).unwrap();
        serve_from(&operator, &authority);
        follows(&operator, &bundle, "p1").await;
        bundle = authority.bundle();
        follows(&operator, &bundle, "p1").await;
    }
}

#[test]
fn a_certificate_without_a_name_is_not_made() {
    let refused = crate::support::authority().issue(&[], Timestamp::now()).unwrap_err();
    assert_eq!(refused.to_string(), "a serving certificate needs a DNS name");
}

#[test]
fn a_serving_certificate_is_renewed_at_two_thirds_of_a_day() {
    let now = Timestamp::now();
    let issued = crate::support::authority().issue(&[NAME.to_owned()], now).unwrap();
    assert_eq!(issued.renew_at, now + SignedDuration::from_hours(16));
}
