use super::*;
use crate::in_force::Refused;
use std::time::Duration;

const ROUTE: &str = "m/a";

fn proxies(limits: Limits) -> Arc<Proxies> {
    Arc::new(Proxies::new(limits))
}

fn join(proxies: &Arc<Proxies>, name: &str) -> Place {
    join_as(proxies, &Who::Account("llm:llm-proxy".into()), name).unwrap()
}

fn join_as(proxies: &Arc<Proxies>, who: &Who, name: &str) -> Result<Place, TooManyProxies> {
    let hello = wire::Hello { proxy: name.to_owned(), ..wire::Hello::default() };
    proxies.join(who, &hello)
}

fn hash(value: u64) -> Option<DocumentHash> {
    DocumentHash::parse(value)
}

fn has(value: u64) -> Report {
    let routes = vec![(ROUTE.into(), hash(value))];
    Report { sequence: 0, digest: None, routes, refusals: Vec::new() }
}

fn refuses(value: u64, reason: &str) -> Report {
    let refused = Refused { hash: hash(value), reason: reason.into() };
    let refusals = vec![(Name::new(Kind::Routes, ROUTE), refused)];
    Report { sequence: 0, digest: None, routes: Vec::new(), refusals }
}

fn report(place: &Place, report: Report) {
    place.reported(report, |_| None).unwrap();
}

fn programmed(proxies: &Proxies, value: u64) -> Programmed {
    proxies.programmed(&ResourceName::parse(ROUTE).unwrap(), hash(value))
}

#[test]
fn a_route_is_programmed_when_every_proxy_has_this_version() {
    let proxies = proxies(Limits::default());
    assert_eq!(programmed(&proxies, 1), Programmed::NoProxies);
    let (one, two) = (join(&proxies, "p1"), join(&proxies, "p2"));
    report(&one, has(1));
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["p2".into()]));
    report(&two, has(2));
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["p2".into()]));
    report(&two, has(1));
    assert_eq!(programmed(&proxies, 1), Programmed::Everywhere { proxies: 2 });
}

#[test]
fn a_route_is_gone_when_every_proxy_said_so() {
    let proxies = proxies(Limits::default());
    let place = join(&proxies, "p1");
    assert_eq!(programmed(&proxies, 0), Programmed::Lagging(vec!["p1".into()]));
    report(&place, has(1));
    assert_eq!(programmed(&proxies, 0), Programmed::Lagging(vec!["p1".into()]));
    report(&place, has(0));
    assert_eq!(programmed(&proxies, 0), Programmed::Everywhere { proxies: 1 });
}

#[test]
fn a_refusal_counts_for_the_version_that_was_refused() {
    let proxies = proxies(Limits::default());
    let place = join(&proxies, "p1");
    report(&place, has(1));
    report(&place, refuses(2, "taken by m/z"));
    let refused = RefusedBy { proxy: "p1".into(), reason: "taken by m/z".into() };
    assert_eq!(programmed(&proxies, 2), Programmed::Refused(vec![refused]));
    assert_eq!(programmed(&proxies, 1), Programmed::Everywhere { proxies: 1 });
    assert_eq!(programmed(&proxies, 3), Programmed::Lagging(vec!["p1".into()]));
    report(&place, has(2));
    assert_eq!(programmed(&proxies, 2), Programmed::Everywhere { proxies: 1 });
}

#[test]
fn the_first_report_of_a_stream_replaces_what_an_earlier_one_said() {
    let proxies = proxies(Limits::default());
    let first = join(&proxies, "p1");
    report(&first, has(1));
    let second = join(&proxies, "p1");
    assert!(first.replaced.is_cancelled());
    assert_eq!(programmed(&proxies, 1), Programmed::Everywhere { proxies: 1 });
    report(&first, has(9));
    drop(first);
    assert!(proxies.list(clock::now())[0].connected);
    report(&second, Report { routes: Vec::new(), ..has(1) });
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["p1".into()]));
}

#[test]
fn a_proxy_that_its_token_names_goes_by_that_and_takes_no_other_s_place() {
    let proxies = proxies(Limits::default());
    let proven = |name: &str| Who::Proxy(name.into());
    let first = join_as(&proxies, &proven("pod-1"), "pod-1").unwrap();
    report(&first, has(1));
    let _second = join_as(&proxies, &proven("pod-2"), "pod-1").unwrap();
    let _called = join(&proxies, "pod-1");
    assert!(!first.replaced.is_cancelled());
    let names: Vec<_> = proxies.list(clock::now()).into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["pod-1".into(), "pod-1".into(), "pod-2".into()]);
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["pod-1".into(), "pod-2".into()]));
    let _again = join_as(&proxies, &proven("pod-1"), "whatever").unwrap();
    assert!(first.replaced.is_cancelled());
}

#[test]
fn a_proxy_that_has_gone_counts_for_a_while() {
    let proxies = proxies(Limits::default());
    let (stays, goes) = (join(&proxies, "p1"), join(&proxies, "p2"));
    report(&stays, has(1));
    let before = clock::now();
    drop(goes);
    let after = clock::now();
    assert_eq!(programmed(&proxies, 1), Programmed::Lagging(vec!["p2".into()]));
    proxies.forget_gone(before + Duration::from_secs(29));
    assert_eq!(proxies.list(after).len(), 2);
    proxies.forget_gone(after + Duration::from_secs(31));
    assert_eq!(programmed(&proxies, 1), Programmed::Everywhere { proxies: 1 });
}

#[test]
fn as_many_proxies_join_as_may_and_those_that_have_gone_make_room() {
    let proxies = proxies(Limits { proxies: 2, ..Limits::default() });
    let (_one, two) = (join(&proxies, "p1"), join(&proxies, "p2"));
    let full = join_as(&proxies, &Who::Proxy("p3".into()), "p3").map(|_| ()).unwrap_err();
    assert_eq!(full.to_string(), "2 proxies are connected, and no more may be");
    drop(two);
    let _three = join(&proxies, "p3");
    let names: Vec<_> = proxies.list(clock::now()).into_iter().map(|it| it.name).collect();
    assert_eq!(names, ["p1".into(), "p3".into()]);
}

#[tokio::test]
async fn whoever_watches_is_told_the_names_that_changed() {
    let proxies = proxies(Limits::default());
    let place = join(&proxies, "p1");
    assert_eq!(proxies.changed().await, Changed::Everything);
    report(&place, has(1));
    report(&place, has(1));
    let names = BTreeSet::from([Name::new(Kind::Routes, ROUTE)]);
    assert_eq!(proxies.changed().await, Changed::Names(names.clone()));
    report(&place, has(1));
    report(&place, refuses(2, "no"));
    assert_eq!(proxies.changed().await, Changed::Names(names));
    drop(place);
    assert_eq!(proxies.changed().await, Changed::Everything);
}

#[test]
fn an_answer_that_takes_long_makes_a_proxy_lag() {
    let proxies = proxies(Limits::default());
    let place = join(&proxies, "p1");
    let sent = clock::now();
    place.awaits(Some(sent));
    let lags = |seconds| proxies.list(sent + Duration::from_secs(seconds))[0].lagging;
    assert_eq!((lags(5), lags(6)), (false, true));
    place.awaits(None);
    assert!(!lags(6));
}

#[test]
fn refusals_of_what_is_no_longer_sent_make_room() {
    let proxies = proxies(Limits::default());
    let place = join(&proxies, "p1");
    let refusal = |id: usize| {
        let refused = Refused { hash: hash(1), reason: "no".into() };
        (Name::new(Kind::Key, id.to_string()), refused)
    };
    let many = |ids: std::ops::Range<usize>| {
        let refusals = ids.map(refusal).collect();
        Report { sequence: 0, digest: None, routes: Vec::new(), refusals }
    };
    report(&place, many(0..1500));
    assert_eq!(proxies.list(clock::now())[0].refused, 1000);
    let sent = |name: &Name| (&*name.name == "7").then(|| hash(1)).flatten();
    place.reported(many(2000..2001), sent).unwrap();
    assert_eq!(proxies.list(clock::now())[0].refused, 2);
}
