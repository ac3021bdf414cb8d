//! Who may do what, and where: what the program says if it is not allowed or not possible.

use crate::support::{PATIENCE, Place, id, run_with};
use llm_cluster::{ControlPlane, wait_for_some};
use std::{fs, net::Ipv4Addr};
use tokio::net::TcpSocket;

const CREATE: [&str; 7] = ["create", "--name", "x", "--team", "ml", "--models", "*"];

fn rules(verbs: &str, of_status: &str) -> String {
    let rule = |resource: &str, verbs: &str| {
        format!("{{apiGroups: [llm.nebari.dev], resources: [{resource}], verbs: [{verbs}]}}")
    };
    format!("[{}, {}]", rule("apikeys", verbs), rule("apikeys/status", of_status))
}

#[tokio::test]
async fn the_role_in_the_documentation_is_enough_and_its_namespace_the_default() {
    let place = Place::new().await;
    let all = rules("get, list, create, patch, delete", "patch");
    let kubeconfig = place.kubeconfig_with("manager", &all).await;
    let ask = |args: &[&str]| {
        let ran = run_with(Some(&kubeconfig), args);
        assert_eq!(ran.code, 0, "{args:?}: {}", ran.err);
        ran.out
    };
    let old = id(ask(&CREATE).trim_end());
    let new = id(ask(&["rotate", &old]).trim_end());
    for args in [&["list"][..], &["show", &new], &["suspend", &new], &["resume", &new]] {
        ask(args);
    }
    ask(&["revoke", &old]);
    assert_eq!(place.ids().await, [new]);
}

#[tokio::test]
async fn what_is_not_allowed_names_the_verb_and_the_resource() {
    let place = Place::new().await;
    let kubeconfig = place.kubeconfig_with("reader", &rules("get", "get")).await;
    let key = id(&place.create_key(&[]));
    for (args, verb) in [
        (&CREATE[..], "create"),
        (&["list"], "list"),
        (&["suspend", &key], "patch"),
        (&["revoke", &key], "delete"),
        (&["rotate", &key], "create"),
    ] {
        let ran = run_with(Some(&kubeconfig), args);
        assert_eq!((ran.code, ran.out.as_str()), (69, ""), "{}", ran.err);
        let refusal = format!(
            "llm-keys: you may not {verb} apikeys in namespace {}; ask for a Role with that verb \
             on that resource: ",
            place.namespace
        );
        assert!(ran.err.starts_with(&refusal), "{}", ran.err);
    }
    assert_eq!(place.ids().await, [key]);
}

#[tokio::test]
async fn a_key_whose_groups_may_not_be_written_is_taken_back_or_named() {
    let place = Place::new().await;
    for (name, verbs, left, says) in [
        ("whole", "create, delete", 0, "llm-keys: you may not patch apikeys/status in namespace"),
        (
            "half",
            "create",
            1,
            "may be left over, and no one has it; revoke it if it is listed: you",
        ),
    ] {
        let kubeconfig = place.kubeconfig_with(name, &rules(verbs, "get")).await;
        let ran = run_with(Some(&kubeconfig), &CREATE);
        assert_eq!((ran.code, ran.out.as_str()), (69, ""));
        assert!(ran.err.contains(says), "{}", ran.err);
        let ids = place.ids().await;
        assert_eq!(ids.len(), left);
        assert!(ids.iter().all(|id| ran.err.contains(id)), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_namespace_that_is_not_there_is_named() {
    let place = Place::new().await;
    let kubeconfig = place.cluster.kubeconfig();
    let ran = run_with(Some(kubeconfig), &[&CREATE[..], &["-n", "nowhere"]].concat());
    assert_eq!(ran.code, 69);
    assert_eq!(
        ran.err,
        "llm-keys: there is no namespace nowhere; create it, or choose another with --namespace\n"
    );
}

#[tokio::test]
async fn a_cluster_that_knows_no_keys_is_told_apart_from_one_without_this_key() {
    let cluster = ControlPlane::options().without_workload_controllers().start().await.unwrap();
    for args in [&CREATE[..], &["list"], &["revoke", "abcdefgh2345"]] {
        let ran = run_with(Some(cluster.kubeconfig()), args);
        assert_eq!((ran.code, ran.out.as_str()), (69, ""));
        let says = "llm-keys: the cluster has no resource apikeys.llm.nebari.dev; install the CRDs";
        assert!(ran.err.starts_with(says), "{}", ran.err);
    }
}

#[tokio::test]
async fn credentials_that_are_not_accepted_are_told_apart_from_rights_that_lack() {
    let place = Place::new().await;
    let kubeconfig = place.kubeconfig_with("gone", &rules("list", "get")).await;
    place.kubectl(&["delete", "serviceaccount", "gone"]).await;
    // The API server notices in its own time.
    let refused = async || Some(run_with(Some(&kubeconfig), &["list"])).filter(|ran| ran.code != 0);
    let ran = wait_for_some("the account is no longer known", PATIENCE, refused).await.unwrap();
    assert_eq!(ran.code, 69);
    let says = "llm-keys: the API server does not accept these credentials; log in again";
    assert!(ran.err.starts_with(says), "{}", ran.err);
}

#[test]
fn a_cluster_is_looked_for_where_kubectl_does() {
    let ran = run_with(None, &["list"]);
    assert_eq!(ran.code, 65);
    assert_eq!(
        ran.err,
        "llm-keys: which cluster? There is no kubeconfig here, and no pod; pass --kubeconfig\n"
    );
    let ran = run_with(None, &["list", "--kubeconfig", "missing.yaml"]);
    assert_eq!(ran.code, 65);
    assert!(ran.err.contains("missing.yaml") && ran.err.ends_with("--kubeconfig\n"), "{}", ran.err);
}

#[tokio::test]
async fn a_context_that_is_not_there_is_named() {
    let place = Place::new().await;
    let ran = place.run(&["list", "--context", "elsewhere"]);
    assert_eq!(ran.code, 65);
    assert!(ran.err.contains("elsewhere"), "{}", ran.err);
}

#[test]
fn a_cluster_that_does_not_answer_is_said_to_be_out_of_reach() {
    // Bound but not listening: connections are refused, and no other process takes the port.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let text = CONFIG.replace("PORT", &port.to_string());
    fs::write(&file, text).unwrap();
    let ran = run_with(Some(&file), &["list"]);
    assert_eq!((ran.code, ran.out.as_str()), (69, ""));
    let says = "llm-keys: could not list apikeys in namespace default; is the API server reachable \
                from here?: ";
    assert!(ran.err.starts_with(says) && ran.err.contains("Connection refused"), "{}", ran.err);
}

const CONFIG: &str = "
apiVersion: v1
kind: Config
current-context: there
contexts: [{name: there, context: {cluster: there, user: me}}]
clusters: [{name: there, cluster: {server: 'http://127.0.0.1:PORT'}}]
users: [{name: me, user: {}}]
";
