//! The edge against an API server; the tests play the controllers that do not run there.

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams,
    },
};
use llm_cluster::{ControlPlane, wait_for, wait_for_some};
use llm_crd::Reason;
use llm_operator::edge::{
    self, EdgeState,
    settings::{
        CertificateSource, EdgeSettings, Entry, Exposure, GatewayName, Gateways, Hop, ListenerOwner,
    },
};
use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{OnceCell, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// A namespace for an installation and one for its Gateways, on a shared API server.
pub(crate) struct Cluster {
    pub(crate) plane: Arc<ControlPlane>,
    pub(crate) client: Client,
    pub(crate) own: String,
    pub(crate) gateways: String,
}

/// An edge that runs until it is dropped.
pub(crate) struct Running {
    state: watch::Receiver<Option<EdgeState>>,
    _tasks: JoinSet<()>,
}

impl Cluster {
    /// With the kinds of the Gateway API and cert-manager.
    pub(crate) async fn with_foreign_kinds() -> Self {
        static INSTALLED: OnceCell<()> = OnceCell::const_new();
        let plane = ControlPlane::shared().await.unwrap();
        let install = async || plane.install_foreign_crds().await.unwrap();
        INSTALLED.get_or_init(install).await;
        Self::on(plane).await
    }

    pub(crate) async fn on(plane: Arc<ControlPlane>) -> Self {
        let client = plane.client().await.unwrap();
        let own = plane.namespace().await.unwrap();
        let gateways = plane.namespace().await.unwrap();
        Self { plane, client, own, gateways }
    }

    /// The same with the right to manage certificates and no other.
    pub(crate) async fn with_few_rights(&self) -> Self {
        let Self { plane, own, gateways, .. } = self;
        let rights = format!(
            r#"
apiVersion: v1
kind: ServiceAccount
metadata: {{ name: few, namespace: {own} }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{ name: few, namespace: {own} }}
rules:
  - {{ apiGroups: [cert-manager.io], resources: [certificates], verbs: ["*"] }}
  - {{ apiGroups: [""], resources: [secrets], verbs: [get, list, watch] }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{ name: few, namespace: {own} }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: Role, name: few }}
subjects: [{{ kind: ServiceAccount, name: few, namespace: {own} }}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{ name: {own} }}
rules:
  - {{ apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get, list, watch] }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{ name: {own} }}
roleRef: {{ apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {own} }}
subjects: [{{ kind: ServiceAccount, name: few, namespace: {own} }}]
"#
        );
        plane.apply(&rights).await.unwrap();
        let client = plane.client_as(own, "few").await.unwrap();
        Self { plane: Arc::clone(plane), client, own: own.clone(), gateways: gateways.clone() }
    }

    pub(crate) fn gateway(&self, name: &str) -> GatewayName {
        GatewayName { namespace: self.gateways.clone(), name: name.into() }
    }

    /// Both entries on one Gateway, as in production.
    pub(crate) fn through(&self, gateway: &str) -> Gateways {
        let hop = |port| Hop { gateway: self.gateway(gateway), port };
        Gateways {
            external: hop(8080),
            internal: hop(8081),
            service: "llm-proxy".into(),
            listeners: ListenerOwner::Operator,
        }
    }

    pub(crate) fn issued(&self, gateways: Gateways) -> EdgeSettings {
        let certificate = CertificateSource::Issued { cluster_issuer: "letsencrypt".into() };
        self.settings(certificate, Exposure::Gateways(gateways))
    }

    pub(crate) fn provided(&self, gateways: Gateways) -> EdgeSettings {
        let certificate = CertificateSource::Provided { secret: "mine".into() };
        self.settings(certificate, Exposure::Gateways(gateways))
    }

    pub(crate) fn settings(
        &self,
        certificate: CertificateSource,
        exposure: Exposure,
    ) -> EdgeSettings {
        EdgeSettings::check(self.own.clone(), "example.org".into(), certificate, exposure).unwrap()
    }

    pub(crate) fn run(&self, settings: EdgeSettings) -> Running {
        let (sender, state) = watch::channel(None);
        let mut tasks = JoinSet::new();
        tasks.spawn(edge::run(self.client.clone(), settings, sender, CancellationToken::new()));
        Running { state, _tasks: tasks }
    }

    pub(crate) fn api(&self, kind: &str, namespace: &str) -> Api<DynamicObject> {
        let (group, version) = match kind {
            "Certificate" => ("cert-manager.io", "v1"),
            "ReferenceGrant" => ("gateway.networking.k8s.io", "v1beta1"),
            _ => ("gateway.networking.k8s.io", "v1"),
        };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(self.client.clone(), namespace, &resource)
    }

    /// What there is; `Null` if it is not there.
    pub(crate) async fn get(&self, kind: &str, name: &str) -> Value {
        let namespace = if kind == "Gateway" { &self.gateways } else { &self.own };
        match self.api(kind, namespace).get_opt(name).await {
            Ok(Some(found)) => serde_json::to_value(found).unwrap(),
            Ok(None) => Value::Null,
            Err(kube::Error::Api(status)) if status.code == 404 => Value::Null,
            Err(error) => panic!("{kind} {name}: {error}"),
        }
    }

    pub(crate) async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        holds: impl Fn(&Value) -> bool,
    ) -> Value {
        let what = format!("{kind} {name} {what}");
        let look = async || Some(self.get(kind, name).await).filter(&holds);
        wait_for_some(&what, DEADLINE, look).await.unwrap()
    }

    /// A Gateway with listeners of others, of every shape.
    pub(crate) async fn make_gateway(&self, name: &str) -> Value {
        self.plane
            .apply(&format!(
                r"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{ name: {name}, namespace: {namespace} }}
spec:
  gatewayClassName: nebari
  listeners:
    - {{ name: http, protocol: HTTP, port: 80, allowedRoutes: {{ namespaces: {{ from: Same }} }} }}
    - name: app-one
      protocol: HTTPS
      port: 443
      hostname: one.example.org
      tls:
        mode: Terminate
        options: {{ example.org/minimum: '1.3' }}
        certificateRefs: [{{ name: one }}, {{ name: two, namespace: elsewhere }}]
      allowedRoutes:
        kinds: [{{ kind: HTTPRoute }}]
        namespaces: {{ from: Selector, selector: {{ matchLabels: {{ team: one }} }} }}
    - {{ name: raw, protocol: TCP, port: 9000 }}
",
                namespace = self.gateways
            ))
            .await
            .unwrap();
        self.get("Gateway", name).await
    }

    pub(crate) async fn patch(&self, kind: &str, name: &str, patch: Value) {
        let namespace = if kind == "Gateway" { &self.gateways } else { &self.own };
        let api = self.api(kind, namespace);
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    }

    /// Sets the status of a Gateway as its controller would.
    pub(crate) async fn program(&self, name: &str) {
        let listeners = listeners(&self.get("Gateway", name).await);
        let status = |listener: &Value| {
            json!({
                "name": listener["name"],
                "attachedRoutes": 0,
                "conditions": [condition("Programmed", "True", "Programmed")],
            })
        };
        let listeners: Vec<_> = listeners.iter().map(status).collect();
        self.patch_status("Gateway", name, json!({ "listeners": listeners })).await;
    }

    /// Sets the status of the HTTPRoutes as a Gateway's controller would.
    pub(crate) async fn accept(&self, accepted: &str, reason: &str) {
        for entry in Entry::ALL {
            let route = self.get("HTTPRoute", entry.listener()).await;
            let mut parent = route["spec"]["parentRefs"][0].clone();
            parent.as_object_mut().unwrap().remove("group");
            let status = json!({ "parents": [{
                "controllerName": "example.org/controller",
                "parentRef": parent,
                "conditions": [
                    condition("Accepted", accepted, reason),
                    condition("ResolvedRefs", "True", "ResolvedRefs"),
                ],
            }] });
            self.patch_status("HTTPRoute", entry.listener(), status).await;
        }
    }

    async fn patch_status(&self, kind: &str, name: &str, status: Value) {
        let namespace = if kind == "Gateway" { &self.gateways } else { &self.own };
        let patch = Patch::Merge(json!({ "status": status }));
        let api = self.api(kind, namespace);
        api.patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// A Secret as cert-manager, or a person, would put it there.
    pub(crate) async fn put_certificate(&self, secret: &str, names: &[&str], years: Range<i32>) {
        let [start, end] = [years.start, years.end].map(|year| rcgen::date_time_ymd(year, 1, 1));
        self.put_certificate_until(secret, names, start.into()..end.into()).await;
    }

    pub(crate) async fn put_certificate_until(
        &self,
        secret: &str,
        names: &[&str],
        valid: Range<SystemTime>,
    ) {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = valid.start.into();
        params.not_after = valid.end.into();
        let chain = params.self_signed(&key).unwrap().pem();
        let object = json!({
            "metadata": { "name": secret },
            "type": "kubernetes.io/tls",
            "stringData": { "tls.crt": chain, "tls.key": key.serialize_pem() },
        });
        let object: Secret = serde_json::from_value(object).unwrap();
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.own);
        drop(api.delete(secret, &DeleteParams::default()).await);
        api.create(&PostParams::default(), &object).await.unwrap();
    }

    pub(crate) async fn put_good_certificate(&self, secret: &str) {
        self.put_certificate(secret, &["*.example.org"], 2020..2500).await;
    }

    /// What was asked about the two namespaces, but for watches.
    pub(crate) fn requests(&self) -> Vec<String> {
        let ours = self.plane.requests(|it| {
            it.verb != "watch" && (it.namespace == self.own || it.namespace == self.gateways)
        });
        ours.unwrap().iter().map(|it| format!("{} {}", it.verb, it.uri)).collect()
    }
}

impl Running {
    /// Waits until this is said of an entry, and gives the message.
    pub(crate) async fn says(&self, entry: Entry, reason: Reason) -> String {
        let found = async || {
            let state = self.state.borrow();
            let found = state.as_ref()?.of(entry);
            (found.reason == reason).then(|| found.message.clone())
        };
        match wait_for_some("", DEADLINE, found).await {
            Ok(message) => message,
            Err(_) => panic!("not {reason}: {:?}", self.state.borrow()),
        }
    }

    pub(crate) async fn says_this(&self, entry: Entry, part: &str) {
        let found = async || {
            self.state.borrow().as_ref().is_some_and(|it| it.of(entry).message.contains(part))
        };
        if wait_for("", DEADLINE, found).await.is_err() {
            panic!("not {part:?}: {:?}", self.state.borrow());
        }
    }
}

pub(crate) fn listeners(gateway: &Value) -> Vec<Value> {
    gateway["spec"]["listeners"].as_array().cloned().unwrap_or_default()
}

pub(crate) fn names(gateway: &Value) -> Vec<String> {
    listeners(gateway).iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "said by the test",
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    })
}
