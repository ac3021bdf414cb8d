//! The options, and how they are checked.
//!
//! Environment variables of the older pack keep their names and meaning. An empty variable counts
//! as not set.

use crate::{
    app::{
        config::{Config, InvalidConfig, PushConfig},
        settings::{Images, OperatorSettings, PodSelector, WatchScope},
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

/// Every option, each with its environment variable.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Base domain: models are served at llm.DOMAIN and llm-internal.DOMAIN
    #[arg(long, env = "LLM_BASE_DOMAIN", value_name = "DOMAIN")]
    base_domain: Option<String>,
    /// Namespace the operator runs in
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    namespace: Option<String>,
    /// Name of this replica [default: the host name]
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    identity: Option<String>,
    /// Namespaces to watch for custom resources, or `*` for all that are labelled
    /// nebari.dev/managed=true [default: the operator's own]
    #[arg(long, env = "LLM_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACES")]
    watch_namespaces: Vec<String>,

    /// How clients reach the proxies: through the platform's Gateways, or directly
    #[arg(long, env = "LLM_EXPOSURE_MODE", default_value = "gateway", value_name = "MODE")]
    exposure_mode: ExposureMode,
    /// Gateway for external clients
    #[arg(long, env = "LLM_EXTERNAL_GATEWAY_NAME", value_name = "NAME")]
    external_gateway_name: Option<String>,
    /// Namespace of the external Gateway
    #[arg(long, env = "LLM_EXTERNAL_GATEWAY_NAMESPACE", default_value = GATEWAY_NAMESPACE, value_name = "NAMESPACE")]
    external_gateway_namespace: String,
    /// Gateway for internal clients
    #[arg(long, env = "LLM_INTERNAL_GATEWAY_NAME", value_name = "NAME")]
    internal_gateway_name: Option<String>,
    /// Namespace of the internal Gateway
    #[arg(long, env = "LLM_INTERNAL_GATEWAY_NAMESPACE", default_value = GATEWAY_NAMESPACE, value_name = "NAMESPACE")]
    internal_gateway_namespace: String,
    /// Whether the operator manages the listeners of the Gateways: true, 1, yes or on; or false, 0,
    /// no or off
    #[arg(long, env = "LLM_MANAGE_SHARED_LISTENERS", value_name = "BOOL")]
    #[arg(default_value = "true", value_parser = listener_owner, action = ArgAction::Set)]
    manage_shared_listeners: ListenerOwner,
    /// ClusterIssuer that issues the certificate
    #[arg(long, env = "LLM_CLUSTER_ISSUER_NAME", value_name = "NAME")]
    #[arg(default_value = "letsencrypt-production")]
    cluster_issuer: String,
    /// Secret with your own certificate, in the operator's namespace
    #[arg(long, env = "LLM_TLS_SECRET_NAME", value_name = "NAME")]
    tls_secret: Option<String>,

    /// URL of the issuer of client tokens, including the realm
    #[arg(long, env = "LLM_OIDC_ISSUER_URL", value_name = "URL")]
    oidc_issuer_url: Option<String>,
    /// Accepted audiences of client tokens; without any, no token is accepted
    #[arg(long, env = "LLM_OIDC_AUDIENCE", value_delimiter = ',', value_name = "AUDIENCES")]
    oidc_audience: Vec<String>,
    /// Token claim with the groups
    #[arg(long, env = "LLM_OIDC_GROUPS_CLAIM", default_value = "groups", value_name = "CLAIM")]
    oidc_groups_claim: String,
    /// Token claim with the user name
    #[arg(long, env = "LLM_OIDC_USERNAME_CLAIM", value_name = "CLAIM")]
    #[arg(default_value = "preferred_username")]
    oidc_username_claim: String,
    /// PEM file of certificate authorities to trust for the issuer
    #[arg(long, env = "LLM_OIDC_CA_FILE", value_name = "FILE")]
    oidc_ca: Option<PathBuf>,

    /// vLLM image of models that name none
    #[arg(long, env = "LLM_DEFAULT_SERVING_IMAGE", default_value = SERVING_IMAGE, value_name = "IMAGE")]
    serving_image: String,
    /// Image of the weights downloader
    #[arg(long, env = "LLM_MODEL_DOWNLOADER_IMAGE", default_value = DOWNLOADER_IMAGE, value_name = "IMAGE")]
    downloader_image: String,
    /// StorageClass of models that name none [default: the cluster's]
    #[arg(long, env = "LLM_DEFAULT_STORAGE_CLASS_NAME", value_name = "NAME")]
    storage_class: Option<String>,
    /// Namespace whose pods may scrape the metrics of models
    #[arg(long, env = "LLM_MONITORING_NAMESPACE", value_name = "NAMESPACE")]
    #[arg(default_value = "monitoring")]
    monitoring_namespace: String,

    /// Service of the proxies, in the operator's namespace
    #[arg(long, env = "LLM_PROXY_SERVICE", default_value = "llm-proxy", value_name = "NAME")]
    proxy_service: String,
    /// Port of that Service for external clients
    #[arg(long, env = "LLM_PROXY_EXTERNAL_PORT", default_value_t = 8080, value_name = "PORT")]
    proxy_external_port: u16,
    /// Port of that Service for internal clients
    #[arg(long, env = "LLM_PROXY_INTERNAL_PORT", default_value_t = 8081, value_name = "PORT")]
    proxy_internal_port: u16,
    /// Labels of the proxies' pods, as NAME=VALUE
    #[arg(long, env = "LLM_PROXY_LABELS", value_name = "LABELS")]
    #[arg(value_delimiter = ',', default_value = "app.kubernetes.io/name=llm-proxy")]
    proxy_labels: Vec<String>,
    /// Service account of the proxies, in the operator's namespace
    #[arg(long, env = "LLM_PROXY_SERVICE_ACCOUNT", value_name = "NAME")]
    #[arg(default_value = "llm-proxy")]
    proxy_service_account: String,

    /// Address proxies connect to
    #[arg(long, env = "LLM_PUSH_LISTEN", default_value = "0.0.0.0:9443", value_name = "ADDRESS")]
    push_listen: SocketAddr,
    /// DNS names by which proxies reach the operator, for its certificate [default: those of the
    /// Service llm-operator in its namespace]
    #[arg(long, env = "LLM_PUSH_NAMES", value_delimiter = ',', value_name = "NAMES")]
    push_names: Vec<String>,
    /// Audience of the proxies' tokens
    #[arg(long, env = "LLM_PUSH_AUDIENCE", value_name = "AUDIENCE")]
    #[arg(default_value = "llm-operator")]
    push_audience: String,
    /// Address of health and metrics
    #[arg(long, env = "LLM_ADMIN_LISTEN", default_value = "0.0.0.0:8081", value_name = "ADDRESS")]
    admin_listen: SocketAddr,
    /// What happens to objects of the older pack: keep, dry-run (log what would be removed) or remove
    #[arg(long, env = "LLM_LEGACY", default_value = "dry-run", value_name = "MODE")]
    legacy: legacy::Mode,
    /// Namespace in which the first releases of the older pack stored keys
    #[arg(long, env = "LLM_API_KEYS_NAMESPACE", value_name = "NAMESPACE")]
    api_keys_namespace: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
enum ExposureMode {
    Gateway,
    LoadBalancer,
    NodePort,
    #[value(name = "clusterIP")]
    ClusterIp,
}

const GATEWAY_NAMESPACE: &str = "envoy-gateway-system";
const SERVING_IMAGE: &str = "ghcr.io/llm-d/llm-d-cuda:v0.7.0";
const DOWNLOADER_IMAGE: &str = "ghcr.io/nebari-dev/llm-serving-pack/model-downloader:latest";

impl Options {
    /// `host` is the name of this replica if no other is given.
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
        let has_gateways = self.exposure_mode == ExposureMode::Gateway;
        let mut gateway =
            |value, name| if has_gateways { need(value, name) } else { String::new() };
        let external = gateway(&self.external_gateway_name, "LLM_EXTERNAL_GATEWAY_NAME");
        let internal = gateway(&self.internal_gateway_name, "LLM_INTERNAL_GATEWAY_NAME");
        let issuer = need(&self.oidc_issuer_url, "LLM_OIDC_ISSUER_URL");
        if !missing.is_empty() {
            return Err(InvalidConfig::Missing(missing));
        }
        let base_domain = domain(base_domain)?;
        let exposure = self.exposure(external, internal);
        let edge = edge::EdgeSettings::check(
            namespace.clone(),
            base_domain,
            self.certificate(),
            exposure,
        )?;
        let issuers = self.issuers(issuer)?;
        let settings = self.settings(&namespace, &edge)?;
        Ok(Config {
            identity: self.identity.filter(|it| !it.is_empty()).unwrap_or_else(|| host.into()),
            settings,
            edge,
            legacy: legacy::LegacySettings {
                mode: self.legacy,
                keys_namespace: self.api_keys_namespace.filter(|it| !it.is_empty()),
            },
            push: PushConfig {
                listen: self.push_listen,
                names: push_names(&self.push_names, &namespace),
                audience: self.push_audience,
                proxies: (namespace.clone(), self.proxy_service_account),
            },
            admin: self.admin_listen,
            issuers,
            namespace,
        })
    }

    fn exposure(&self, external: String, internal: String) -> Exposure {
        if self.exposure_mode != ExposureMode::Gateway {
            return Exposure::Direct;
        }
        let hop = |name, namespace: &String, port| Hop {
            gateway: GatewayName { namespace: namespace.clone(), name },
            port,
        };
        Exposure::Gateways(Gateways {
            external: hop(external, &self.external_gateway_namespace, self.proxy_external_port),
            internal: hop(internal, &self.internal_gateway_namespace, self.proxy_internal_port),
            service: self.proxy_service.clone(),
            listeners: self.manage_shared_listeners,
        })
    }

    fn certificate(&self) -> CertificateSource {
        match self.tls_secret.clone().filter(|name| !name.is_empty()) {
            Some(secret) => CertificateSource::Provided { secret },
            None => CertificateSource::Issued { cluster_issuer: self.cluster_issuer.clone() },
        }
    }

    /// Without an audience, tokens issued for any other service would be accepted: so none is.
    fn issuers(&self, url: String) -> Result<Vec<document::Issuer>, InvalidConfig> {
        let audiences = non_empty(&self.oidc_audience);
        if audiences.is_empty() {
            return Ok(Vec::new());
        }
        let ca_pem = self.oidc_ca.as_ref().map(|path| {
            std::fs::read_to_string(path)
                .map_err(|source| InvalidConfig::OidcCa { path: path.clone(), source })
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

    fn settings(
        &self,
        namespace: &str,
        edge: &edge::EdgeSettings,
    ) -> Result<OperatorSettings, InvalidConfig> {
        let watched = non_empty(&self.watch_namespaces);
        let scope = if watched.iter().any(|it| it == "*") {
            WatchScope::Labelled
        } else if watched.is_empty() {
            WatchScope::Namespaces([namespace.to_owned()].into())
        } else {
            WatchScope::Namespaces(watched.into_iter().collect())
        };
        let url = |entry| Some(format!("https://{}", edge.host(entry)));
        let mut labels = BTreeMap::new();
        for label in &self.proxy_labels {
            let (name, value) =
                label.split_once('=').ok_or_else(|| InvalidConfig::Label(label.clone()))?;
            labels.insert(name.to_owned(), value.to_owned());
        }
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Ok(OperatorSettings {
            scope,
            images: Images {
                serving: self.serving_image.clone(),
                downloader: self.downloader_image.clone(),
            },
            storage_class: self.storage_class.as_ref().and_then(given),
            proxies: PodSelector { namespace: namespace.to_owned(), labels },
            monitoring_namespace: given(&self.monitoring_namespace),
            older_gateways: match edge.exposure() {
                Exposure::Gateways(gateways) if self.legacy != legacy::Mode::Remove => {
                    let hops = [&gateways.external, &gateways.internal];
                    hops.map(|hop| hop.gateway.namespace.clone()).into()
                }
                Exposure::Gateways(_) | Exposure::Direct => BTreeSet::new(),
            },
            urls: EndpointUrls {
                external: url(edge::Entry::External),
                internal: url(edge::Entry::Internal),
            },
        })
    }
}

/// The older pack took any other word for false.
fn listener_owner(word: &str) -> Result<ListenerOwner, InvalidBool> {
    match word.to_ascii_lowercase().as_str() {
        "" | "true" | "1" | "yes" | "on" => Ok(ListenerOwner::Operator),
        "false" | "0" | "no" | "off" => Ok(ListenerOwner::Administrator),
        _ => Err(InvalidBool),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("use true or false")]
struct InvalidBool;

/// In lower case, without a final dot.
fn domain(given: String) -> Result<String, InvalidConfig> {
    let name = given.trim_end_matches('.').to_ascii_lowercase();
    DnsName::try_from(name.as_str())
        .map_err(|source| InvalidConfig::BaseDomain { given, source })?;
    Ok(name)
}

/// The DNS names of the operator's Service in the cluster, unless others are given.
fn push_names(given: &[String], namespace: &str) -> Vec<String> {
    let given = non_empty(given);
    if !given.is_empty() {
        return given;
    }
    let suffixes = ["", ".{}", ".{}.svc", ".{}.svc.cluster.local"];
    suffixes.map(|suffix| format!("llm-operator{}", suffix.replace("{}", namespace))).into()
}

fn non_empty(texts: &[String]) -> Vec<String> {
    texts.iter().filter(|text| !text.is_empty()).cloned().collect()
}
