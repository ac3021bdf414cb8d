use super::{everything, gateway, gateways, issued, observed, settings, settings_with};
use crate::edge::{
    apply::WriteError,
    certificate::check::{CertificateError, ValidCertificate},
    http_routes::route,
    listeners::listener,
    observed::{InstalledKinds, ObservedEdge},
    readiness::{EdgeState, EdgeView},
    settings::{EdgeSettings, Entry, Exposure},
};
use llm_crd::Reason;
use serde_json::{Value, json};

fn usable(expires_soon: bool) -> Result<ValidCertificate, CertificateError> {
    Ok(ValidCertificate { not_after: "2030-01-01T00:00:00Z".parse().unwrap(), expires_soon })
}

fn condition(kind: &str, status: &str) -> Value {
    json!({
        "type": kind,
        "status": status,
        "reason": "Because",
        "message": "of something",
        "observedGeneration": 2,
    })
}

/// A Gateway and routes that work, as far as their controller says.
fn working() -> ObservedEdge {
    let mut gateway = gateway();
    let mut routes = Vec::new();
    for entry in Entry::ALL {
        let listener = listener(&settings(), entry);
        gateway["spec"]["listeners"].as_array_mut().unwrap().push(listener);
        let mut route = route(&settings(), &gateways(), entry);
        route["metadata"]["generation"] = 2.into();
        let mut parent = route["spec"]["parentRefs"][0].clone();
        parent.as_object_mut().unwrap().remove("group");
        route["status"] = json!({ "parents": [{
            "parentRef": parent,
            "conditions": [condition("Accepted", "True"), condition("ResolvedRefs", "True")],
        }] });
        routes.push(route);
    }
    let status = |entry: Entry| json!({ "name": entry.listener(), "conditions": [condition("Programmed", "True")] });
    gateway["status"] = json!({ "listeners": Entry::ALL.map(status) });
    ObservedEdge { routes, ..observed(&[gateway]) }
}

fn evaluate(
    settings: &EdgeSettings,
    observed: &ObservedEdge,
    certificate: &Result<ValidCertificate, CertificateError>,
    errors: &[WriteError],
) -> EdgeState {
    EdgeView { settings, kinds: &everything(), observed, certificate, errors }.evaluate()
}

/// What is said of the external entry once something is broken.
fn broken(
    certificate: &Result<ValidCertificate, CertificateError>,
    breaks: impl FnOnce(&mut ObservedEdge),
) -> (Reason, String) {
    let mut observed = working();
    breaks(&mut observed);
    let state = evaluate(&settings(), &observed, certificate, &[]);
    (state.external.reason, state.external.message)
}

fn live(observed: &mut ObservedEdge) -> &mut Value {
    observed.gateways.values_mut().next().unwrap()
}

#[test]
fn an_entry_is_ready_once_the_listener_and_the_route_are_accepted() {
    let state = evaluate(&settings(), &working(), &usable(false), &[]);
    assert!(state.external.is_ready() && state.internal.is_ready(), "{state:?}");
    assert_eq!(
        state.internal.message,
        "https://llm-internal.example.org is served by Gateway gateways/shared"
    );
}

#[test]
fn the_first_problem_is_reported() {
    let good = usable(false);
    for ((reason, message), expected, part) in [
        (
            broken(&good, |it| it.gateways.clear()),
            Reason::GatewayMissing,
            "platform.gateway.external",
        ),
        (
            broken(&good, |it| {
                drop(live(it)["spec"]["listeners"].as_array_mut().unwrap().remove(1));
            }),
            Reason::ListenerMissing,
            "Gateway gateways/shared has no listener llm-https",
        ),
        (
            broken(&good, |it| {
                live(it)["spec"]["listeners"][1]["hostname"] = "llm.other.org".into();
                live(it)["spec"]["listeners"][1]["tls"]["certificateRefs"][0]["namespace"] =
                    "other".into();
            }),
            Reason::ListenerMissing,
            "belongs to another installation",
        ),
        (
            broken(&Err(CertificateError::MissingSecret), |_| {}),
            Reason::CertificateNotReady,
            "Secret llm/nebari-llm-shared-tls does not exist; cert-manager with ClusterIssuer \
             letsencrypt: no status reported yet",
        ),
        (
            broken(&good, |it| live(it)["status"] = json!({})),
            Reason::ListenerMissing,
            "no controller has reported yet whether it is programmed",
        ),
        (
            broken(&good, |it| {
                live(it)["status"]["listeners"][0]["conditions"] =
                    json!([condition("Programmed", "False")]);
            }),
            Reason::ListenerMissing,
            "not programmed (Because): of something",
        ),
        (broken(&good, |it| it.routes.clear()), Reason::ApplyFailed, "it does not exist yet"),
        (
            broken(&good, |it| it.routes[0]["status"] = json!({})),
            Reason::ApplyFailed,
            "no controller has processed it yet",
        ),
        (
            broken(&good, |it| {
                it.routes[0]["status"]["parents"][0]["conditions"][1] =
                    condition("ResolvedRefs", "False");
            }),
            Reason::ApplyFailed,
            "HTTPRoute llm/llm-https on Gateway gateways/shared: not ResolvedRefs (Because): \
             of something",
        ),
        (
            broken(&good, |it| it.routes[0]["metadata"]["generation"] = 3.into()),
            Reason::ApplyFailed,
            "no controller has reported yet whether it is Accepted",
        ),
    ] {
        assert_eq!(reason, expected, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_listener_of_administrators_may_show_a_certificate_of_theirs() {
    let (reason, _) = broken(&Err(CertificateError::MissingSecret), |it| {
        live(it)["spec"]["listeners"][1]["tls"]["certificateRefs"][0]["name"] = "theirs".into();
    });
    assert_eq!(reason, Reason::Applied);
}

#[test]
fn a_route_that_one_of_two_controllers_serves_is_served() {
    let (reason, _) = broken(&usable(false), |it| {
        let mut refused = it.routes[0]["status"]["parents"][0].clone();
        refused["conditions"][0] = condition("Accepted", "False");
        it.routes[0]["status"]["parents"].as_array_mut().unwrap().insert(0, refused);
    });
    assert_eq!(reason, Reason::Applied);
}

#[test]
fn a_certificate_that_expires_soon_is_reported_while_everything_works() {
    let state = evaluate(&settings(), &working(), &usable(true), &[]);
    assert_eq!(
        state.external.message,
        "https://llm.example.org is served by Gateway gateways/shared; renew the certificate, \
         which expires at 2030-01-01T00:00:00Z"
    );
}

#[test]
fn a_rejected_change_is_reported_for_the_entries_that_need_it() {
    let mut observed = working();
    observed.routes.clear();
    let errors = [WriteError { entries: vec![Entry::Internal], message: "forbidden".into() }];
    let state = evaluate(&settings(), &observed, &usable(false), &errors);
    assert_eq!(state.internal.message, "forbidden");
    assert_ne!(state.external.message, "forbidden");
    let state = evaluate(&settings(), &working(), &usable(false), &errors);
    assert!(state.internal.is_ready(), "what works is not reported as broken");
}

#[test]
fn a_cluster_without_the_gateway_api_is_told_what_to_install() {
    let kinds =
        InstalledKinds { certificate: everything().certificate, ..InstalledKinds::default() };
    let state = EdgeView {
        settings: &settings(),
        kinds: &kinds,
        observed: &ObservedEdge::default(),
        certificate: &usable(false),
        errors: &[],
    }
    .evaluate();
    assert_eq!(state.external.reason, Reason::GatewayApiMissing);
    assert!(state.external.message.contains("install it or choose another exposure.mode"));
}

#[test]
fn without_gateways_only_the_certificate_counts() {
    let settings = settings_with(issued(), Exposure::Direct);
    let state = evaluate(&settings, &ObservedEdge::default(), &usable(false), &[]);
    assert_eq!(state.external.message, "https://llm.example.org is served directly by the proxies");
    let kinds = InstalledKinds::default();
    let state = EdgeView {
        settings: &settings,
        kinds: &kinds,
        observed: &ObservedEdge::default(),
        certificate: &Err(CertificateError::MissingSecret),
        errors: &[],
    }
    .evaluate();
    assert_eq!(state.external.reason, Reason::CertificateNotReady);
    assert!(
        state.external.message.contains("cert-manager is not installed: install it or specify")
    );
}
