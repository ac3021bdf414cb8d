use super::*;
use crate::proxy_state::RejectedVersion;
use std::{collections::BTreeSet, time::Duration};

const ROUTE: &str = "m/a";

fn proxies(limits: PushLimits) -> Arc<ProxyRegistry> {
    Arc::new(ProxyRegistry::new(limits))
}

fn register(proxies: &Arc<ProxyRegistry>, name: &str) -> Registration {
    register_as(proxies, &PeerIdentity::Account("llm:llm-proxy".into()), name).unwrap()
}

fn register_as(
    proxies: &Arc<ProxyRegistry>,
    who: &PeerIdentity,
    name: &str,
) -> Result<Registration, TooManyProxies> {
    let hello = wire::Hello { proxy: name.to_owned(), ..wire::Hello::default() };
    proxies.register(who, &hello)
}

fn hash(value: u64) -> Option<DocumentHash> {
    DocumentHash::parse(value)
}

fn has(value: u64) -> ProxyReport {
    let routes = vec![(ROUTE.into(), hash(value))];
    ProxyReport { sequence: 0, digest: None, routes, rejected: Vec::new() }
}

fn rejects(value: u64, reason: &str) -> ProxyReport {
    let rejected = RejectedVersion { hash: hash(value), reason: reason.into() };
    let rejected = vec![(Name::new(Kind::Routes, ROUTE), rejected)];
    ProxyReport { sequence: 0, digest: None, routes: Vec::new(), rejected }
}

fn report(registration: &Registration, report: ProxyReport) {
    registration.apply_report(report, |_| None).unwrap();
}

fn programmed(proxies: &ProxyRegistry, value: u64) -> Programmed {
    proxies.programmed(&ResourceName::parse(ROUTE).unwrap(), hash(value))
}

#[test]
fn a_route_is_programmed_when_every_proxy_has_this_version() {
    let proxies = proxies(PushLimits::default());
    assert_eq!(programmed(&proxies, 1), Programmed::NoProxies);
    let (one, two) = (register(&proxies, "p1"), register(&proxies, "p2"));
    report(&one, has(1));
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["p2".into()]));
    report(&two, has(2));
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["p2".into()]));
    report(&two, has(1));
    assert_eq!(programmed(&proxies, 1), Programmed::Everywhere { proxies: 2 });
}

#[test]
fn routes_are_removed_when_every_proxy_reports_none() {
    let proxies = proxies(PushLimits::default());
    let registration = register(&proxies, "p1");
    assert_eq!(programmed(&proxies, 0), Programmed::Lagging(vec!["p1".into()]));
    report(&registration, has(1));
    assert_eq!(programmed(&proxies, 0), Programmed::Lagging(vec!["p1".into()]));
    report(&registration, has(0));
    assert_eq!(programmed(&proxies, 0), Programmed::Everywhere { proxies: 1 });
}

#[test]
fn a_rejection_applies_to_the_rejected_version() {
    let proxies = proxies(PushLimits::default());
    let registration = register(&proxies, "p1");
    report(&registration, has(1));
    report(&registration, rejects(2, "taken by m/z"));
    let rejected = RejectedBy { proxy: "p1".into(), reason: "taken by m/z".into() };
    assert_eq!(programmed(&proxies, 2), Programmed::Rejected(vec![rejected]));
    assert_eq!(programmed(&proxies, 1), Programmed::Everywhere { proxies: 1 });
    assert_eq!(programmed(&proxies, 3), Programmed::Lagging(vec!["p1".into()]));
    report(&registration, has(2));
    assert_eq!(programmed(&proxies, 2), Programmed::Everywhere { proxies: 1 });
}

#[test]
fn the_first_report_of_a_stream_replaces_the_earlier_state() {
    let proxies = proxies(PushLimits::default());
    let first = register(&proxies, "p1");
    report(&first, has(1));
    let second = register(&proxies, "p1");
    assert!(first.superseded.is_cancelled());
    assert_eq!(programmed(&proxies, 1), Programmed::Everywhere { proxies: 1 });
    report(&first, has(9));
    drop(first);
    assert!(proxies.list(clock::now())[0].connected);
    report(&second, ProxyReport { routes: Vec::new(), ..has(1) });
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["p1".into()]));
}

#[test]
fn a_proxy_is_registered_under_the_name_in_its_token() {
    let proxies = proxies(PushLimits::default());
    let proven = |name: &str| PeerIdentity::Proxy(name.into());
    let first = register_as(&proxies, &proven("pod-1"), "pod-1").unwrap();
    report(&first, has(1));
    let _second = register_as(&proxies, &proven("pod-2"), "pod-1").unwrap();
    let _called = register(&proxies, "pod-1");
    assert!(!first.superseded.is_cancelled());
    let names: Vec<_> = proxies.list(clock::now()).into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["pod-1".into(), "pod-1".into(), "pod-2".into()]);
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["pod-1".into(), "pod-2".into()]));
    let _again = register_as(&proxies, &proven("pod-1"), "whatever").unwrap();
    assert!(first.superseded.is_cancelled());
}

#[test]
fn a_disconnected_proxy_stays_registered_for_a_while() {
    let proxies = proxies(PushLimits::default());
    let (stays, goes) = (register(&proxies, "p1"), register(&proxies, "p2"));
    report(&stays, has(1));
    let before = clock::now();
    drop(goes);
    let after = clock::now();
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["p2".into()]));
    proxies.remove_expired(before + Duration::from_secs(29));
    assert_eq!(proxies.list(after).len(), 2);
    proxies.remove_expired(after + Duration::from_secs(31));
    assert_eq!(programmed(&proxies, 1), Programmed::Everywhere { proxies: 1 });
}

#[test]
fn disconnected_proxies_make_room_for_new_ones() {
    let proxies = proxies(PushLimits { proxies: 2, ..PushLimits::default() });
    let (_one, two) = (register(&proxies, "p1"), register(&proxies, "p2"));
    let full =
        register_as(&proxies, &PeerIdentity::Proxy("p3".into()), "p3").map(|_| ()).unwrap_err();
    assert_eq!(full.to_string(), "2 proxies are connected, which is the limit");
    drop(two);
    let _three = register(&proxies, "p3");
    let names: Vec<_> = proxies.list(clock::now()).into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["p1".into(), "p3".into()]);
}

#[tokio::test]
async fn a_consumer_receives_the_names_that_changed() {
    let proxies = proxies(PushLimits::default());
    let registration = register(&proxies, "p1");
    assert_eq!(proxies.changed().await, ChangedDocuments::All);
    report(&registration, has(1));
    report(&registration, has(1));
    let names = BTreeSet::from([Name::new(Kind::Routes, ROUTE)]);
    assert_eq!(proxies.changed().await, ChangedDocuments::Names(names.clone()));
    report(&registration, has(1));
    report(&registration, rejects(2, "no"));
    assert_eq!(proxies.changed().await, ChangedDocuments::Names(names));
    drop(registration);
    assert_eq!(proxies.changed().await, ChangedDocuments::All);
}

#[test]
fn an_overdue_acknowledgement_makes_a_proxy_lag() {
    let proxies = proxies(PushLimits::default());
    let registration = register(&proxies, "p1");
    let sent = clock::now();
    registration.set_in_flight_since(Some(sent));
    let lags = |seconds| proxies.list(sent + Duration::from_secs(seconds))[0].lagging;
    assert_eq!((lags(5), lags(6)), (false, true));
    registration.set_in_flight_since(None);
    assert!(!lags(6));
}

#[test]
fn rejections_of_removed_documents_make_room() {
    let proxies = proxies(PushLimits::default());
    let registration = register(&proxies, "p1");
    let rejection = |id: usize| {
        let rejected = RejectedVersion { hash: hash(1), reason: "no".into() };
        (Name::new(Kind::Key, id.to_string()), rejected)
    };
    let many = |ids: std::ops::Range<usize>| {
        let rejected = ids.map(rejection).collect();
        ProxyReport { sequence: 0, digest: None, routes: Vec::new(), rejected }
    };
    report(&registration, many(0..1500));
    assert_eq!(proxies.list(clock::now())[0].rejected, 1000);
    let sent = |name: &Name| (&*name.name == "7").then(|| hash(1)).flatten();
    registration.apply_report(many(2000..2001), sent).unwrap();
    assert_eq!(proxies.list(clock::now())[0].rejected, 2);
}
