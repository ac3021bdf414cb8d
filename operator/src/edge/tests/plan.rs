use super::{
    everything, gateway, gateway_name, gateways, issued, observed, provided, settings,
    settings_with,
};
use crate::edge::{
    observed::{InstalledKinds, ObservedEdge},
    plan::{Change, Write, plan},
    settings::{EdgeSettings, Exposure, Gateways, Hop},
};
use serde_json::{Value, json};

/// One line for each change.
fn summary(changes: &[Change]) -> Vec<String> {
    let line = |Change { resource, namespace, name, write, .. }: &Change| {
        format!("{} {} {namespace}/{name}", write.verb(), resource.kind)
    };
    changes.iter().map(line).collect()
}

/// What is applied, if something is.
fn applied(change: &Change) -> Option<&Value> {
    match &change.write {
        Write::Apply { object, .. } => Some(object),
        Write::JsonPatch(_) | Write::Delete { .. } => None,
    }
}

/// What a plan makes of what there is, as far as the API server does it alone.
fn done(changes: &[Change], mut observed: ObservedEdge) -> ObservedEdge {
    for Change { resource, namespace, name, write, .. } in changes {
        let Write::Apply { object, manager } = write else { continue };
        let mut object = object.clone();
        object["metadata"]["uid"] = "2".into();
        match resource.kind.as_str() {
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
fn settled(settings: &EdgeSettings, gateways: &[Value]) -> ObservedEdge {
    let before = observed(gateways);
    let changes = plan(settings, &everything(), &before);
    done(&changes, before)
}

#[test]
fn in_an_empty_cluster_everything_is_made_and_a_gateway_comes_after_what_it_needs() {
    let changes = plan(&settings(), &everything(), &observed(&[gateway()]));
    assert_eq!(
        summary(&changes),
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
fn the_objects_are_those_of_the_first_release_and_a_route() {
    let changes = plan(&settings(), &everything(), &observed(&[gateway()]));
    let objects: Vec<&Value> = changes.iter().filter_map(applied).collect();
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
fn a_second_reconcile_changes_nothing() {
    let observed = settled(&settings(), &[gateway()]);
    assert_eq!(summary(&plan(&settings(), &everything(), &observed)), [""; 0]);
}

#[test]
fn a_gateway_that_is_missing_keeps_nothing_else_from_being_made() {
    let changes = plan(&settings(), &everything(), &observed(&[]));
    assert_eq!(changes.len(), 4);
    assert!(summary(&changes).iter().all(|it| !it.contains("Gateway")));
}

#[test]
fn a_cluster_without_cert_manager_or_the_gateway_api_gets_what_it_can_have() {
    for (installed, kinds) in [
        (InstalledKinds::default(), vec![]),
        (
            InstalledKinds { certificate: everything().certificate, ..InstalledKinds::default() },
            vec!["Certificate"],
        ),
        (
            InstalledKinds { certificate: None, ..everything() },
            vec!["ReferenceGrant", "Gateway", "HTTPRoute", "HTTPRoute"],
        ),
    ] {
        let changes = plan(&settings(), &installed, &observed(&[gateway()]));
        assert_eq!(changes.iter().map(|it| it.resource.kind.as_str()).collect::<Vec<_>>(), kinds);
    }
}

#[test]
fn with_a_provided_secret_our_certificate_is_deleted_and_everything_refers_to_that_secret() {
    let settled = settled(&settings(), &[gateway()]);
    let settings = settings_with(provided(), Exposure::Gateways(gateways()));
    let changes = plan(&settings, &everything(), &settled);
    assert_eq!(
        summary(&changes),
        [
            "delete Certificate llm/nebari-llm-shared-tls",
            "apply ReferenceGrant llm/nebari-llm-shared-tls-from-gateways",
            "apply Gateway gateways/shared",
        ]
    );
    let names_it = |it: &Value| it.to_string().contains(r#""name":"mine""#);
    assert!(changes.iter().filter_map(applied).all(names_it));
}

#[test]
fn a_certificate_of_the_same_name_that_we_did_not_make_stays() {
    let theirs = json!({ "metadata": { "name": "nebari-llm-shared-tls", "namespace": "llm" } });
    let observed = ObservedEdge { certificate: Some(theirs), ..observed(&[]) };
    let settings = settings_with(provided(), Exposure::Direct);
    assert_eq!(summary(&plan(&settings, &everything(), &observed)), [""; 0]);
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
        summary(&plan(&settings, &everything(), &settled)),
        [
            "apply Gateway gateways/other",
            "patch Gateway gateways/shared",
            "apply HTTPRoute llm/llm-https",
            "apply HTTPRoute llm/llm-internal-https",
        ]
    );
}

#[test]
fn without_gateways_only_the_certificate_stays() {
    let settled = settled(&settings(), &[gateway()]);
    let settings = settings_with(issued(), Exposure::Direct);
    assert_eq!(
        summary(&plan(&settings, &everything(), &settled)),
        [
            "patch Gateway gateways/shared",
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
    let changes = plan(&settings, &everything(), &observed(&[]));
    assert!(summary(&changes).iter().all(|it| !it.contains("ReferenceGrant")));
}

#[test]
fn a_grant_with_our_labels_and_a_name_that_we_would_not_give_stays() {
    let named =
        |name: &str| json!({ "metadata": { "name": name, "namespace": "llm", "uid": "3" } });
    let grants = ["nebari-llm-shared-tls-from-former", "nebari-llm-shared-tls", "mine"].map(named);
    let observed = ObservedEdge { grants: grants.to_vec(), ..ObservedEdge::default() };
    let settings = settings_with(provided(), Exposure::Direct);
    assert_eq!(
        summary(&plan(&settings, &everything(), &observed)),
        ["delete ReferenceGrant llm/nebari-llm-shared-tls-from-former"]
    );
}
