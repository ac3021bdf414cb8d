use super::{
    everything, gateway, gateway_name, gateways, issued, observed, provided, settings,
    settings_with,
};
use crate::edge::{
    Observed, Served,
    plan::{Act, Step, plan},
    settings::{Exposure, Gateways, Hop, Settings},
};
use serde_json::{Value, json};

/// What is done, in one line each.
fn told(steps: &[Step]) -> Vec<String> {
    let line = |Step { api, namespace, name, act, .. }: &Step| {
        let verb = match act {
            Act::Apply { .. } => "apply",
            Act::Trim(_) => "trim",
            Act::Delete { .. } => "delete",
        };
        format!("{verb} {} {namespace}/{name}", api.kind)
    };
    steps.iter().map(line).collect()
}

/// What is applied, if something is.
fn applied(step: &Step) -> Option<&Value> {
    match &step.act {
        Act::Apply { object, .. } => Some(object),
        Act::Trim(_) | Act::Delete { .. } => None,
    }
}

/// What a plan makes of what there is, as far as the API server does it alone.
fn done(steps: &[Step], mut observed: Observed) -> Observed {
    for Step { api, namespace, name, act, .. } in steps {
        let Act::Apply { object, manager } = act else { continue };
        let mut object = object.clone();
        object["metadata"]["uid"] = "2".into();
        match api.kind.as_str() {
            "Certificate" => observed.certificate = Some(object),
            "ReferenceGrant" => observed.grants.push(object),
            "HTTPRoute" => observed.routes.push(object),
            _ => {
                let key = gateway_name(name);
                assert_eq!(&key.namespace, namespace);
                let live = observed.gateways.get_mut(&key).unwrap();
                let listeners = live["spec"]["listeners"].as_array_mut().unwrap();
                let wanted = object["spec"]["listeners"].as_array().unwrap();
                listeners.extend(wanted.iter().cloned());
                let keys = wanted
                    .iter()
                    .map(|it| (format!("k:{}", json!({ "name": it["name"] })), json!({})));
                live["metadata"]["managedFields"] = json!([{
                    "manager": manager,
                    "operation": "Apply",
                    "fieldsV1": { "f:spec": { "f:listeners": Value::Object(keys.collect()) } },
                }]);
            }
        }
    }
    observed
}

/// A cluster in which an installation is settled.
fn settled(settings: &Settings, gateways: &[Value]) -> Observed {
    let before = observed(gateways);
    let steps = plan(settings, &everything(), &before);
    done(&steps, before)
}

#[test]
fn in_an_empty_cluster_everything_is_made_and_a_gateway_comes_after_what_it_needs() {
    let steps = plan(&settings(), &everything(), &observed(&[gateway()]));
    assert_eq!(
        told(&steps),
        [
            "apply Certificate llm/nebari-llm-shared-tls",
            "apply ReferenceGrant llm/nebari-llm-shared-tls-from-gateways",
            "apply Gateway gateways/shared",
            "apply HTTPRoute llm/llm-https",
            "apply HTTPRoute llm/llm-internal-https",
        ]
    );
}

#[test]
fn what_is_made_is_what_the_older_pack_made_and_a_route() {
    let steps = plan(&settings(), &everything(), &observed(&[gateway()]));
    let objects: Vec<&Value> = steps.iter().filter_map(applied).collect();
    let [certificate, grant, _, route, _] = objects[..] else { panic!("{objects:?}") };
    insta::assert_yaml_snapshot!([certificate, grant, route], @r#"
    - metadata:
        labels:
          app.kubernetes.io/component: routing
          app.kubernetes.io/managed-by: nebari-llm-operator
          app.kubernetes.io/name: shared-tls
        name: nebari-llm-shared-tls
        namespace: llm
      spec:
        dnsNames:
          - llm.example.org
          - llm-internal.example.org
        issuerRef:
          group: cert-manager.io
          kind: ClusterIssuer
          name: letsencrypt
        secretName: nebari-llm-shared-tls
    - metadata:
        labels:
          app.kubernetes.io/component: routing
          app.kubernetes.io/managed-by: nebari-llm-operator
          app.kubernetes.io/name: shared-tls
        name: nebari-llm-shared-tls-from-gateways
        namespace: llm
      spec:
        from:
          - group: gateway.networking.k8s.io
            kind: Gateway
            namespace: gateways
        to:
          - group: ""
            kind: Secret
            name: nebari-llm-shared-tls
    - metadata:
        labels:
          app.kubernetes.io/component: routing
          app.kubernetes.io/managed-by: nebari-llm-operator
          app.kubernetes.io/name: shared-tls
        name: llm-https
        namespace: llm
      spec:
        hostnames:
          - llm.example.org
        parentRefs:
          - group: gateway.networking.k8s.io
            kind: Gateway
            name: shared
            namespace: gateways
            sectionName: llm-https
        rules:
          - backendRefs:
              - group: ""
                kind: Service
                name: llm-proxy
                port: 8080
            timeouts:
              backendRequest: 0s
              request: 0s
    "#);
}

#[test]
fn a_second_look_does_nothing() {
    let observed = settled(&settings(), &[gateway()]);
    assert_eq!(told(&plan(&settings(), &everything(), &observed)), [""; 0]);
}

#[test]
fn a_gateway_that_is_missing_keeps_nothing_else_from_being_made() {
    let steps = plan(&settings(), &everything(), &observed(&[]));
    assert_eq!(steps.len(), 4);
    assert!(told(&steps).iter().all(|it| !it.contains("Gateway")));
}

#[test]
fn a_cluster_without_cert_manager_or_the_gateway_api_gets_what_it_can_have() {
    for (served, kinds) in [
        (Served::default(), vec![]),
        (
            Served { certificate: everything().certificate, ..Served::default() },
            vec!["Certificate"],
        ),
        (
            Served { certificate: None, ..everything() },
            vec!["ReferenceGrant", "Gateway", "HTTPRoute", "HTTPRoute"],
        ),
    ] {
        let steps = plan(&settings(), &served, &observed(&[gateway()]));
        assert_eq!(steps.iter().map(|it| it.api.kind.as_str()).collect::<Vec<_>>(), kinds);
    }
}

#[test]
fn with_a_secret_of_somebody_else_our_certificate_goes_and_everything_names_that_secret() {
    let settled = settled(&settings(), &[gateway()]);
    let settings = settings_with(provided(), Exposure::Gateways(gateways()));
    let steps = plan(&settings, &everything(), &settled);
    assert_eq!(
        told(&steps),
        [
            "delete Certificate llm/nebari-llm-shared-tls",
            "apply ReferenceGrant llm/nebari-llm-shared-tls-from-gateways",
            "apply Gateway gateways/shared",
        ]
    );
    let names_it = |it: &Value| it.to_string().contains(r#""name":"mine""#);
    assert!(steps.iter().filter_map(applied).all(names_it));
}

#[test]
fn a_certificate_of_the_same_name_that_we_did_not_make_stays() {
    let theirs = json!({ "metadata": { "name": "nebari-llm-shared-tls", "namespace": "llm" } });
    let observed = Observed { certificate: Some(theirs), ..observed(&[]) };
    let settings = settings_with(provided(), Exposure::Direct);
    assert_eq!(told(&plan(&settings, &everything(), &observed)), [""; 0]);
}

#[test]
fn a_former_gateway_is_cleaned_before_the_routes_forget_it() {
    let former = gateway();
    let mut other = gateway();
    other["metadata"]["name"] = "other".into();
    let settled = settled(&settings(), &[former, other]);
    let hop = |port| Hop { gateway: gateway_name("other"), port };
    let moved = Gateways { external: hop(8080), internal: hop(8081), ..gateways() };
    let settings = settings_with(issued(), Exposure::Gateways(moved));
    assert_eq!(
        told(&plan(&settings, &everything(), &settled)),
        [
            "apply Gateway gateways/other",
            "trim Gateway gateways/shared",
            "apply HTTPRoute llm/llm-https",
            "apply HTTPRoute llm/llm-internal-https",
        ]
    );
}

#[test]
fn without_gateways_there_is_the_certificate_and_what_they_had_goes() {
    let settled = settled(&settings(), &[gateway()]);
    let settings = settings_with(issued(), Exposure::Direct);
    assert_eq!(
        told(&plan(&settings, &everything(), &settled)),
        [
            "trim Gateway gateways/shared",
            "delete HTTPRoute llm/llm-https",
            "delete HTTPRoute llm/llm-internal-https",
            "delete ReferenceGrant llm/nebari-llm-shared-tls-from-gateways",
        ]
    );
}

#[test]
fn no_grant_is_needed_in_our_own_namespace() {
    let own = |port| {
        let mut hop = Hop { gateway: gateway_name("shared"), port };
        hop.gateway.namespace = "llm".into();
        hop
    };
    let gateways = Gateways { external: own(8080), internal: own(8081), ..gateways() };
    let settings = settings_with(issued(), Exposure::Gateways(gateways));
    let steps = plan(&settings, &everything(), &observed(&[]));
    assert!(told(&steps).iter().all(|it| !it.contains("ReferenceGrant")));
}

#[test]
fn a_grant_with_our_labels_and_a_name_that_we_would_not_give_stays() {
    let named =
        |name: &str| json!({ "metadata": { "name": name, "namespace": "llm", "uid": "3" } });
    let grants = ["nebari-llm-shared-tls-from-former", "nebari-llm-shared-tls", "mine"].map(named);
    let observed = Observed { grants: grants.to_vec(), ..Observed::default() };
    let settings = settings_with(provided(), Exposure::Direct);
    assert_eq!(
        told(&plan(&settings, &everything(), &observed)),
        ["delete ReferenceGrant llm/nebari-llm-shared-tls-from-former"]
    );
}
