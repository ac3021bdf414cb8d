use super::{everything, gateway, gateways, issued, observed, settings, settings_with};
use crate::edge::{
    Observed, Served,
    certificate::check::{Unusable, Usable},
    http_routes::route,
    listeners::listener,
    readiness::{EdgeState, Evidence, Failure},
    settings::{Entry, Exposure, Settings},
};
use llm_crd::Reason;
use serde_json::{Value, json};

fn usable(ends_soon: bool) -> Result<Usable, Unusable> {
    Ok(Usable { not_after: "2030-01-01T00:00:00Z".parse().unwrap(), ends_soon })
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
fn working() -> Observed {
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
    Observed { routes, ..observed(&[gateway]) }
}

fn judge(
    settings: &Settings,
    observed: &Observed,
    certificate: &Result<Usable, Unusable>,
    failures: &[Failure],
) -> EdgeState {
    Evidence { settings, served: &everything(), observed, certificate, failures }.judge()
}

/// What is said of the external entry once something is broken.
fn broken(
    certificate: &Result<Usable, Unusable>,
    breaks: impl FnOnce(&mut Observed),
) -> (Reason, String) {
    let mut observed = working();
    breaks(&mut observed);
    let state = judge(&settings(), &observed, certificate, &[]);
    (state.external.reason, state.external.message)
}

fn live(observed: &mut Observed) -> &mut Value {
    observed.gateways.values_mut().next().unwrap()
}

#[test]
fn an_entry_is_ready_once_the_listener_and_the_route_are_accepted() {
    let state = judge(&settings(), &working(), &usable(false), &[]);
    assert!(state.external.is_ready() && state.internal.is_ready(), "{state:?}");
    assert_eq!(
        state.internal.message,
        "https://llm-internal.example.org is served by Gateway gateways/shared"
    );
    assert_eq!(state.certificate_ends, usable(false).ok().map(|it| it.not_after));
}

#[test]
fn the_first_thing_that_is_missing_is_said() {
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
            broken(&Err(Unusable::Missing), |_| {}),
            Reason::CertificateNotReady,
            "Secret llm/nebari-llm-shared-tls: it does not exist; cert-manager, asked through \
             ClusterIssuer letsencrypt, says: nothing yet",
        ),
        (
            broken(&good, |it| live(it)["status"] = json!({})),
            Reason::ListenerMissing,
            "no controller has said yet whether it is programmed",
        ),
        (
            broken(&good, |it| {
                live(it)["status"]["listeners"][0]["conditions"] =
                    json!([condition("Programmed", "False")]);
            }),
            Reason::ListenerMissing,
            "it is not programmed (Because): of something",
        ),
        (broken(&good, |it| it.routes.clear()), Reason::ApplyFailed, "it does not exist yet"),
        (
            broken(&good, |it| it.routes[0]["status"] = json!({})),
            Reason::ApplyFailed,
            "no controller has looked at it yet",
        ),
        (
            broken(&good, |it| {
                it.routes[0]["status"]["parents"][0]["conditions"][1] =
                    condition("ResolvedRefs", "False");
            }),
            Reason::ApplyFailed,
            "HTTPRoute llm/llm-https on Gateway gateways/shared: it is not ResolvedRefs (Because): \
             of something",
        ),
        (
            broken(&good, |it| it.routes[0]["metadata"]["generation"] = 3.into()),
            Reason::ApplyFailed,
            "no controller has said yet whether it is Accepted",
        ),
    ] {
        assert_eq!(reason, expected, "{message}");
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_listener_of_administrators_may_show_a_certificate_of_theirs() {
    let (reason, _) = broken(&Err(Unusable::Missing), |it| {
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
fn a_certificate_that_ends_soon_is_said_while_everything_works() {
    let state = judge(&settings(), &working(), &usable(true), &[]);
    assert_eq!(
        state.external.message,
        "https://llm.example.org is served by Gateway gateways/shared; renew the certificate, it \
         ends at 2030-01-01T00:00:00Z"
    );
}

#[test]
fn what_the_api_server_refused_is_said_of_the_entries_it_concerns() {
    let mut observed = working();
    observed.routes.clear();
    let failures = [Failure { entries: vec![Entry::Internal], message: "forbidden".into() }];
    let state = judge(&settings(), &observed, &usable(false), &failures);
    assert_eq!(state.internal.message, "forbidden");
    assert_ne!(state.external.message, "forbidden");
    let state = judge(&settings(), &working(), &usable(false), &failures);
    assert!(state.internal.is_ready(), "what works is not called broken");
}

#[test]
fn a_cluster_without_the_gateway_api_is_told_what_to_install() {
    let served = Served { certificate: everything().certificate, ..Served::default() };
    let state = Evidence {
        settings: &settings(),
        served: &served,
        observed: &Observed::default(),
        certificate: &usable(false),
        failures: &[],
    }
    .judge();
    assert_eq!(state.external.reason, Reason::GatewayApiMissing);
    assert!(state.external.message.contains("install it, or choose another exposure.mode"));
}

#[test]
fn without_gateways_only_the_certificate_counts() {
    let settings = settings_with(issued(), Exposure::Direct);
    let state = judge(&settings, &Observed::default(), &usable(false), &[]);
    assert_eq!(
        state.external.message,
        "https://llm.example.org is served by the proxies themselves"
    );
    let served = Served::default();
    let state = Evidence {
        settings: &settings,
        served: &served,
        observed: &Observed::default(),
        certificate: &Err(Unusable::Missing),
        failures: &[],
    }
    .judge();
    assert_eq!(state.external.reason, Reason::CertificateNotReady);
    assert!(state.external.message.contains("cert-manager is not installed: install it, or name"));
}
