//! The options, and what they come to.
//!
//! The variables are those of the older pack where it had them, and mean the same. A variable that
//! is set to nothing counts as not set.

use crate::{
    app::{
        config::{Config, InvalidConfig, Push},
        settings::{Images, Pods, Scope, Settings},
    },
    edge::{
        settings as edge,
        settings::{CertificateSource, Exposure, GatewayName, Gateways, Hop, ListenerOwner},
    },
    legacy,
};
use clap::{ArgAction, Args, ValueEnum};
use llm_contract::document;
use llm_crd::EndpointUrls;
use rustls::pki_types::DnsName;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
};

/// Every option, each also as a variable of the environment.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The domain under which models are reached, as llm.DOMAIN and llm-internal.DOMAIN
    #[arg(long, env = "LLM_BASE_DOMAIN", value_name = "DOMAIN")]
    base_domain: Option<String>,
    /// The namespace the operator runs in
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// The name of this replica; the host's if it is not set
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    identity: Option<String>,
    /// Where custom resources are looked for: namespaces, or `*` for all that are labelled
    /// nebari.dev/managed=true; the operator's own if it is not set
    #[arg(long, env = "LLM_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    watch_namespaces: Vec<String>,

    /// How callers get in: through the platform's Gateways, or to the proxies directly
    #[arg(long, env = "LLM_EXPOSURE_MODE", default_value = "gateway", value_name = "MODE")]
    exposure_mode: ExposureMode,
    /// The Gateway for callers outside
    #[arg(long, env = "LLM_EXTERNAL_GATEWAY_NAME", value_name = "NAME")]
    external_gateway_name: Option<String>,
    /// Its namespace
    #[arg(long, env = "LLM_EXTERNAL_GATEWAY_NAMESPACE", default_value = GATEWAYS, value_name = "NAMESPACE")]
    external_gateway_namespace: String,
    /// The Gateway for callers inside
    #[arg(long, env = "LLM_INTERNAL_GATEWAY_NAME", value_name = "NAME")]
    internal_gateway_name: Option<String>,
    /// Its namespace
    #[arg(long, env = "LLM_INTERNAL_GATEWAY_NAMESPACE", default_value = GATEWAYS, value_name = "NAMESPACE")]
    internal_gateway_namespace: String,
    /// Whether the operator keeps the listeners on the Gateways: true, 1, yes or on, or else false,
    /// 0, no or off
    #[arg(
        long,
        env = "LLM_MANAGE_SHARED_LISTENERS",
        default_value = "true",
        value_name = "BOOL",
        value_parser = yes_or_no,
        action = ArgAction::Set
    )]
    manage_shared_listeners: bool,
    /// The ClusterIssuer that issues the certificate
    #[arg(
        long,
        env = "LLM_CLUSTER_ISSUER_NAME",
        default_value = "letsencrypt-production",
        value_name = "NAME"
    )]
    cluster_issuer: String,
    /// A Secret with a certificate of your own, in the operator's namespace
    #[arg(long, env = "LLM_TLS_SECRET_NAME", value_name = "NAME")]
    tls_secret: Option<String>,

    /// The issuer of callers' tokens: the whole URL, with the realm
    #[arg(long, env = "LLM_OIDC_ISSUER_URL", value_name = "URL")]
    oidc_issuer_url: Option<String>,
    /// Whom their tokens must be for; without it no token is accepted
    #[arg(long, env = "LLM_OIDC_AUDIENCE", value_delimiter = ',', value_name = "AUDIENCES")]
    oidc_audience: Vec<String>,
    /// The claim that holds the groups
    #[arg(long, env = "LLM_OIDC_GROUPS_CLAIM", default_value = "groups", value_name = "CLAIM")]
    oidc_groups_claim: String,
    /// The claim that holds the name
    #[arg(
        long,
        env = "LLM_OIDC_USERNAME_CLAIM",
        default_value = "preferred_username",
        value_name = "CLAIM"
    )]
    oidc_username_claim: String,
    /// Certificate authorities to trust for the issuer, in PEM
    #[arg(long, env = "LLM_OIDC_CA_FILE", value_name = "FILE")]
    oidc_ca: Option<PathBuf>,

    /// The image with vLLM, for models that name none
    #[arg(long, env = "LLM_DEFAULT_SERVING_IMAGE", default_value = SERVING, value_name = "IMAGE")]
    serving_image: String,
    /// The image that fetches weights
    #[arg(long, env = "LLM_MODEL_DOWNLOADER_IMAGE", default_value = DOWNLOADER, value_name = "IMAGE")]
    downloader_image: String,
    /// The StorageClass of volumes, for models that name none; the cluster's default if not set
    #[arg(long, env = "LLM_DEFAULT_STORAGE_CLASS_NAME", value_name = "NAME")]
    storage_class: Option<String>,
    /// The namespace whose pods may read the metrics of models
    #[arg(
        long,
        env = "LLM_MONITORING_NAMESPACE",
        default_value = "monitoring",
        value_name = "NAMESPACE"
    )]
    monitoring_namespace: String,

    /// The Service of the proxies, in the operator's namespace
    #[arg(long, env = "LLM_PROXY_SERVICE", default_value = "llm-proxy", value_name = "NAME")]
    proxy_service: String,
    /// Its port for callers outside
    #[arg(long, env = "LLM_PROXY_EXTERNAL_PORT", default_value_t = 8080, value_name = "PORT")]
    proxy_external_port: u16,
    /// Its port for callers inside
    #[arg(long, env = "LLM_PROXY_INTERNAL_PORT", default_value_t = 8081, value_name = "PORT")]
    proxy_internal_port: u16,
    /// The labels of the proxies' pods, as NAME=VALUE
    #[arg(
        long,
        env = "LLM_PROXY_LABELS",
        value_delimiter = ',',
        default_value = "app.kubernetes.io/name=llm-proxy",
        value_name = "LABELS"
    )]
    proxy_labels: Vec<String>,
    /// The service account of the proxies, in the operator's namespace
    #[arg(
        long,
        env = "LLM_PROXY_SERVICE_ACCOUNT",
        default_value = "llm-proxy",
        value_name = "NAME"
    )]
    proxy_service_account: String,

    /// Where proxies connect to
    #[arg(long, env = "LLM_PUSH_LISTEN", default_value = "0.0.0.0:9443", value_name = "ADDRESS")]
    push_listen: SocketAddr,
    /// The names by which proxies reach the operator, for its certificate [default: those of the
    /// Service llm-operator in its namespace]
    #[arg(long, env = "LLM_PUSH_NAMES", value_delimiter = ',', value_name = "NAMES")]
    push_names: Vec<String>,
    /// Whom the proxies' tokens must be for
    #[arg(
        long,
        env = "LLM_PUSH_AUDIENCE",
        default_value = "llm-operator",
        value_name = "AUDIENCE"
    )]
    push_audience: String,
    /// Where health and metrics are
    #[arg(long, env = "LLM_ADMIN_LISTEN", default_value = "0.0.0.0:8081", value_name = "ADDRESS")]
    admin_listen: SocketAddr,
    /// What becomes of what the older pack left: keep, dry-run (say what would go) or remove
    #[arg(long, env = "LLM_LEGACY", default_value = "dry-run", value_name = "MODE")]
    legacy: LegacyMode,
    /// The namespace in which the first releases of the older pack kept keys
    #[arg(long, env = "LLM_API_KEYS_NAMESPACE", value_name = "NAMESPACE")]
    api_keys_namespace: Option<String>,
}

/// How callers get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
enum ExposureMode {
    /// Through the platform's Gateways.
    Gateway,
    /// To the proxies, through a load balancer.
    LoadBalancer,
    /// To the proxies, through a port of each node.
    NodePort,
    /// To the proxies, from inside of the cluster only.
    #[value(name = "clusterIP")]
    ClusterIp,
}

/// What becomes of what the older pack left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LegacyMode {
    /// Nothing.
    Keep,
    /// It is said what would go.
    DryRun,
    /// It goes once the new routes serve.
    Remove,
}

const GATEWAYS: &str = "envoy-gateway-system";
const SERVING: &str = "ghcr.io/llm-d/llm-d-cuda:v0.7.0";
const DOWNLOADER: &str = "ghcr.io/nebari-dev/llm-serving-pack/model-downloader:latest";

impl Options {
    /// Checks the options. `host` is what this replica goes by if it has no other name.
    ///
    /// # Errors
    /// [`InvalidConfig`] naming the variable.
    pub fn check(self, host: &str) -> Result<Config, InvalidConfig> {
        let mut missing = Vec::new();
        let mut need = |value: &Option<String>, name| {
            let value = value.clone().filter(|value| !value.is_empty());
            value.unwrap_or_else(|| {
                missing.push(name);
                String::new()
            })
        };
        let base_domain = need(&self.base_domain, "LLM_BASE_DOMAIN");
        let namespace = need(&self.namespace, "POD_NAMESPACE");
        let mut gateway = |value, name| match self.exposure_mode {
            ExposureMode::Gateway => need(value, name),
            ExposureMode::LoadBalancer | ExposureMode::NodePort | ExposureMode::ClusterIp => {
                String::new()
            }
        };
        let external = gateway(&self.external_gateway_name, "LLM_EXTERNAL_GATEWAY_NAME");
        let internal = gateway(&self.internal_gateway_name, "LLM_INTERNAL_GATEWAY_NAME");
        let issuer = need(&self.oidc_issuer_url, "LLM_OIDC_ISSUER_URL");
        if !missing.is_empty() {
            return Err(InvalidConfig::Missing(missing));
        }
        let base_domain = domain(base_domain)?;
        let exposure = self.exposure(external, internal);
        let edge =
            edge::Settings::check(namespace.clone(), base_domain, self.certificate(), exposure)?;
        let issuers = self.issuers(issuer)?;
        let settings = self.settings(&namespace, &edge)?;
        Ok(Config {
            identity: self.identity.filter(|it| !it.is_empty()).unwrap_or_else(|| host.into()),
            settings,
            edge,
            legacy: legacy::Settings {
                mode: match self.legacy {
                    LegacyMode::Keep => legacy::Mode::Keep,
                    LegacyMode::DryRun => legacy::Mode::DryRun,
                    LegacyMode::Remove => legacy::Mode::Remove,
                },
                keys_namespace: self.api_keys_namespace.filter(|it| !it.is_empty()),
            },
            push: Push {
                listen: self.push_listen,
                names: push_names(self.push_names, &namespace),
                audience: self.push_audience,
                proxies: (namespace.clone(), self.proxy_service_account),
            },
            admin: self.admin_listen,
            issuers,
            namespace,
        })
    }

    fn exposure(&self, external: String, internal: String) -> Exposure {
        match self.exposure_mode {
            ExposureMode::Gateway => {}
            ExposureMode::LoadBalancer | ExposureMode::NodePort | ExposureMode::ClusterIp => {
                return Exposure::Direct;
            }
        }
        let hop = |name, namespace: &String, port| Hop {
            gateway: GatewayName { namespace: namespace.clone(), name },
            port,
        };
        Exposure::Gateways(Gateways {
            external: hop(external, &self.external_gateway_namespace, self.proxy_external_port),
            internal: hop(internal, &self.internal_gateway_namespace, self.proxy_internal_port),
            service: self.proxy_service.clone(),
            listeners: if self.manage_shared_listeners {
                ListenerOwner::Operator
            } else {
                ListenerOwner::Administrator
            },
        })
    }

    fn certificate(&self) -> CertificateSource {
        match self.tls_secret.clone().filter(|name| !name.is_empty()) {
            Some(secret) => CertificateSource::Provided { secret },
            None => CertificateSource::Issued { cluster_issuer: self.cluster_issuer.clone() },
        }
    }

    /// Without an audience any token of the issuer would do, whoever it was made for: then none is
    /// accepted.
    fn issuers(&self, url: String) -> Result<Vec<document::Issuer>, InvalidConfig> {
        let audiences: Vec<_> =
            self.oidc_audience.iter().filter(|it| !it.is_empty()).cloned().collect();
        if audiences.is_empty() {
            return Ok(Vec::new());
        }
        let ca_pem = self.oidc_ca.as_ref().map(|path| {
            std::fs::read_to_string(path)
                .map_err(|source| InvalidConfig::Authorities { path: path.clone(), source })
        });
        let issuer = document::Issuer {
            issuer: url.clone(),
            audiences,
            groups_claim: self.oidc_groups_claim.clone(),
            username_claim: self.oidc_username_claim.clone(),
            ca_pem: ca_pem.transpose()?,
        };
        let issuer = issuer.check().map_err(|source| InvalidConfig::Issuer { url, source })?;
        Ok(vec![issuer])
    }

    fn settings(&self, namespace: &str, edge: &edge::Settings) -> Result<Settings, InvalidConfig> {
        let watched: Vec<_> = self.watch_namespaces.iter().filter(|it| !it.is_empty()).collect();
        let scope = if watched.iter().any(|it| *it == "*") {
            Scope::All
        } else if watched.is_empty() {
            Scope::Namespaces([namespace.to_owned()].into())
        } else {
            Scope::Namespaces(watched.into_iter().cloned().collect())
        };
        let url = |entry| Some(format!("https://{}", edge.host(entry)));
        let mut labels = BTreeMap::new();
        for label in &self.proxy_labels {
            let (name, value) =
                label.split_once('=').ok_or_else(|| InvalidConfig::Label(label.clone()))?;
            labels.insert(name.to_owned(), value.to_owned());
        }
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Ok(Settings {
            scope,
            images: Images {
                serving: self.serving_image.clone(),
                downloader: self.downloader_image.clone(),
            },
            storage_class: self.storage_class.as_ref().and_then(given),
            proxies: Pods { namespace: namespace.to_owned(), labels },
            monitoring_namespace: given(&self.monitoring_namespace),
            older_gateways: match self.legacy {
                LegacyMode::Keep | LegacyMode::DryRun => gateway_namespaces(edge.exposure()),
                LegacyMode::Remove => BTreeSet::new(),
            },
            urls: EndpointUrls {
                external: url(edge::Entry::External),
                internal: url(edge::Entry::Internal),
            },
        })
    }
}

/// A switch of the older pack's, which took any other word for no.
fn yes_or_no(word: &str) -> Result<bool, NeitherYesNorNo> {
    match word.to_ascii_lowercase().as_str() {
        "" | "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(NeitherYesNorNo),
    }
}

/// A word for neither.
#[derive(Debug, thiserror::Error)]
#[error("say true or false")]
struct NeitherYesNorNo;

/// The domain as names under it are written: in lower case, without a final dot.
fn domain(given: String) -> Result<String, InvalidConfig> {
    let name = given.trim_end_matches('.').to_ascii_lowercase();
    DnsName::try_from(name.as_str())
        .map_err(|source| InvalidConfig::BaseDomain { given, source })?;
    Ok(name)
}

fn gateway_namespaces(exposure: &Exposure) -> BTreeSet<String> {
    match exposure {
        Exposure::Gateways(gateways) => {
            [&gateways.external, &gateways.internal].map(|hop| hop.gateway.namespace.clone()).into()
        }
        Exposure::Direct => BTreeSet::new(),
    }
}

/// All that DNS in a cluster calls the operator's Service, unless other names are given.
fn push_names(given: Vec<String>, namespace: &str) -> Vec<String> {
    let given: Vec<_> = given.into_iter().filter(|name| !name.is_empty()).collect();
    if !given.is_empty() {
        return given;
    }
    let name = format!("llm-operator.{namespace}");
    vec![
        "llm-operator".to_owned(),
        format!("{name}.svc"),
        format!("{name}.svc.cluster.local"),
        name,
    ]
}
