use super::{gateway, gateway_name, gateways, settings};
use crate::edge::{
    listeners::{listener, manager, planned_gateway, removal},
    settings::{EdgeSettings, Entry, ListenerOwner},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Applies our listeners as the API server does, and notes whose they are.
fn apply(gateway: &mut Value, wanted: &Value, manager: &str) {
    let mut fields = json!({});
    for wanted in wanted.pointer("/spec/listeners").unwrap().as_array().unwrap() {
        let listeners = gateway["spec"]["listeners"].as_array_mut().unwrap();
        match listeners.iter_mut().find(|it| it["name"] == wanted["name"]) {
            Some(live) => *live = wanted.clone(),
            None => listeners.push(wanted.clone()),
        }
        fields[format!("k:{}", json!({ "name": wanted["name"] }))] = json!({});
    }
    gateway["metadata"]["managedFields"] = json!([{
        "manager": manager,
        "operation": "Apply",
        "fieldsV1": { "f:spec": { "f:listeners": fields } },
    }]);
}

fn merged(settings: &EdgeSettings, live: &Value) -> Option<Value> {
    planned_gateway(settings, &gateways(), &gateway_name("shared"), live)
}

fn names(wanted: &Value) -> Vec<&str> {
    let listeners = wanted["spec"]["listeners"].as_array().unwrap();
    listeners.iter().map(|it| it["name"].as_str().unwrap()).collect()
}

#[test]
fn a_listener_is_that_of_the_first_release() {
    insta::assert_yaml_snapshot!(listener(&settings(), Entry::Internal), @r#"
    allowedRoutes:
      namespaces:
        from: All
    hostname: llm-internal.example.org
    name: llm-internal-https
    port: 443
    protocol: HTTPS
    tls:
      certificateRefs:
        - group: ""
          kind: Secret
          name: nebari-llm-shared-tls
          namespace: llm
      mode: Terminate
    "#);
}

#[test]
fn only_our_listeners_are_named_and_only_on_the_gateway_that_was_seen() {
    let wanted = merged(&settings(), &gateway()).unwrap();
    assert_eq!(names(&wanted), ["llm-https", "llm-internal-https"]);
    assert_eq!(wanted["metadata"]["uid"], "1");
}

#[test]
fn a_second_reconcile_writes_nothing() {
    let mut live = gateway();
    let wanted = merged(&settings(), &live).unwrap();
    apply(&mut live, &wanted, &manager(&settings()));
    assert_eq!(merged(&settings(), &live), None);
}

#[test]
fn an_identical_listener_of_the_first_release_is_taken_over() {
    let mut live = gateway();
    let wanted = merged(&settings(), &live).unwrap();
    apply(&mut live, &wanted, "manager");
    assert_eq!(merged(&settings(), &live), Some(wanted));
}

#[test]
fn a_listener_with_a_changed_host_is_corrected_together_with_the_other() {
    let mut live = gateway();
    apply(&mut live, &merged(&settings(), &gateway()).unwrap(), &manager(&settings()));
    live["spec"]["listeners"][1]["hostname"] = "llm.former.org".into();
    assert_eq!(names(&merged(&settings(), &live).unwrap()), ["llm-https", "llm-internal-https"]);
}

#[test]
fn a_listener_of_another_installation_stays() {
    let mut live = gateway();
    let mut theirs = listener(&settings(), Entry::External);
    theirs["hostname"] = "llm.other.org".into();
    theirs["tls"]["certificateRefs"][0]["namespace"] = "other".into();
    live["spec"]["listeners"].as_array_mut().unwrap().push(theirs.clone());
    assert_eq!(names(&merged(&settings(), &live).unwrap()), ["llm-internal-https"]);

    live["spec"]["listeners"][1]["hostname"] = "llm.example.org".into();
    let wanted = merged(&settings(), &live).unwrap();
    assert_eq!(names(&wanted), ["llm-https", "llm-internal-https"], "the namespace changed");
}

#[test]
fn listeners_that_administrators_manage_are_not_written() {
    let gateways =
        crate::edge::settings::Gateways { listeners: ListenerOwner::Administrator, ..gateways() };
    let planned = planned_gateway(&settings(), &gateways, &gateway_name("shared"), &gateway());
    assert_eq!(planned, None);
}

#[test]
fn a_gateway_is_not_left_without_any_listener() {
    let mut live = gateway();
    live["spec"]["listeners"] = json!([]);
    let wanted = merged(&settings(), &live).unwrap();
    apply(&mut live, &wanted, &manager(&settings()));
    assert_eq!(removal(&settings(), &live), None);
}

#[test]
fn what_was_not_applied_by_this_installation_is_not_removed() {
    let mut live = gateway();
    let wanted = merged(&settings(), &live).unwrap();
    apply(&mut live, &wanted, "llm-operator.other");
    assert_eq!(removal(&settings(), &live), None);
}

proptest! {
    #[test]
    fn removal_gives_back_what_was_there_before(
        before in prop::collection::vec(("[a-k]{1,8}", any::<u16>()), 1..9),
        place in any::<prop::sample::Index>(),
    ) {
        let mut live = gateway();
        let theirs: Vec<Value> = before
            .iter()
            .map(|(name, port)| json!({ "name": name, "port": port, "other": { "f": [port] } }))
            .collect();
        live["spec"]["listeners"] = theirs.clone().into();
        let wanted = merged(&settings(), &live).unwrap();
        apply(&mut live, &wanted, &manager(&settings()));
        // Others may have moved them.
        let listeners = live["spec"]["listeners"].as_array_mut().unwrap();
        let ours = listeners.pop().unwrap();
        listeners.insert(place.index(listeners.len()), ours);

        let patch = removal(&settings(), &live).unwrap();
        prop_assert_eq!(&patch[0], &json!({ "op": "test", "path": "/metadata/resourceVersion", "value": "7" }));
        for removal in patch.as_array().unwrap().iter().skip(1) {
            let path = removal["path"].as_str().unwrap();
            let index: usize = path.strip_prefix("/spec/listeners/").unwrap().parse().unwrap();
            live["spec"]["listeners"].as_array_mut().unwrap().remove(index);
        }
        prop_assert_eq!(live["spec"]["listeners"].as_array().unwrap(), &theirs);
    }
}
