//! Checks the values of a file and collects all errors.

mod secrets;

use super::{
    Config, Issuer, Listen, ListenerLimits, Model, Provider, ProviderModel, ReadSecret,
    error::{ConfigError, FieldPath},
    file::{self, DURATION_ADVICE, File},
};
use llm_contract::{Access, Chain, CredentialHeader, Group, ModelId, Settings, Timeouts, document};
use std::{
    collections::HashMap,
    error::Error,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

const DRAIN: Duration = Duration::from_secs(30);
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

/// Checks a file; paths in it are relative to `folder`.
pub(super) fn check(
    file: File,
    folder: &Path,
    read: &mut ReadSecret<'_>,
) -> Result<Config, Vec<ConfigError>> {
    let File { listen, tls, data_dir, models, providers, issuers, cors, limits, shutdown } = file;
    let mut check = Checker { folder, read, errors: Vec::new() };
    let root = FieldPath::default();
    check.refuse_duplicate_models(&models, &providers);
    let listen = check.listen(listen, !issuers.is_empty());
    let tls = tls.and_then(|tls| check.tls(&root.field("tls"), tls));
    let models = check.each(&root.field("models"), models, Checker::model);
    let names = providers.iter().enumerate();
    let names = names.map(|(at, it)| (&*it.name, root.field("providers").item(at).field("name")));
    check.refuse_duplicates(names, "used");
    let urls = issuers.iter().enumerate();
    let urls = urls.map(|(at, it)| (&*it.issuer, root.field("issuers").item(at).field("issuer")));
    check.refuse_duplicates(urls, "used");
    let providers = check.each(&root.field("providers"), providers, Checker::provider);
    let issuers = check.each(&root.field("issuers"), issuers, Checker::issuer);
    let cors_origins = check.cors(cors);
    let drain = check.duration(&root.field("shutdown").field("drain"), shutdown.drain);
    let default = ListenerLimits::default();
    let config = listen.map(|listen| Config {
        listen,
        tls,
        data_dir: self::data_dir(data_dir.as_deref(), folder),
        models,
        providers,
        issuers,
        cors_origins,
        limits: ListenerLimits {
            body_bytes_max: limits.body_bytes.unwrap_or(default.body_bytes_max),
            header_bytes_max: limits.header_bytes.unwrap_or(default.header_bytes_max),
            connections_max: limits.connections.unwrap_or(default.connections_max),
        },
        drain: drain.unwrap_or(DRAIN),
    });
    config.filter(|_| check.errors.is_empty()).ok_or(check.errors)
}

struct Checker<'a, 'r> {
    folder: &'a Path,
    read: &'a mut ReadSecret<'r>,
    errors: Vec<ConfigError>,
}

impl Checker<'_, '_> {
    fn refuse(&mut self, path: &FieldPath, message: impl Into<String>) {
        self.errors.push(ConfigError::new(path, message));
    }

    /// The value, or `None` and an error.
    fn ok<T>(&mut self, path: &FieldPath, result: Result<T, impl Error>) -> Option<T> {
        result.map_err(|error| self.refuse(path, Chain(&error).to_string())).ok()
    }

    fn each<T, U>(
        &mut self,
        path: &FieldPath,
        items: Vec<T>,
        check: impl Fn(&mut Self, &FieldPath, T) -> Option<U>,
    ) -> Vec<U> {
        let items = items.into_iter().enumerate();
        items.filter_map(|(at, item)| check(self, &path.item(at), item)).collect()
    }

    fn listen(&mut self, listen: file::Listen, issuers: bool) -> Option<Listen> {
        let path = FieldPath::default().field("listen");
        let file::Listen { external, internal, admin } = listen;
        if internal.is_some() && !issuers {
            let message = "it accepts tokens of `issuers`, and there are none";
            self.refuse(&path.field("internal"), message);
        }
        let external = self.address(&path.field("external"), external, Listen::EXTERNAL);
        let internal = match (internal, issuers) {
            (None, false) => None,
            (text, _) => self.address(&path.field("internal"), text, Listen::INTERNAL),
        };
        let admin = self.address(&path.field("admin"), admin, Listen::ADMIN);
        let named = [("external", external), ("internal", internal), ("admin", admin)];
        let named: Vec<_> = named.into_iter().filter_map(|(name, it)| Some((name, it?))).collect();
        for (at, (name, address)) in named.iter().enumerate() {
            if let Some((other, _)) = named.iter().take(at).find(|(_, it)| conflict(it, address)) {
                let message = format!("{address} is already used by `listen.{other}`");
                self.refuse(&path.field(name), message);
            }
        }
        Some(Listen { external: external?, internal, admin: admin? })
    }

    fn address(
        &mut self,
        path: &FieldPath,
        text: Option<String>,
        default: SocketAddr,
    ) -> Option<SocketAddr> {
        let Some(text) = text else {
            return Some(default);
        };
        let address = text.parse().ok();
        if address.is_none() {
            self.refuse(path, "must be an IP address and a port, such as `127.0.0.1:8080`");
        }
        address
    }

    fn model(&mut self, path: &FieldPath, model: file::Model) -> Option<Model> {
        let file::Model { id, aliases, endpoints, access, limits, api_key, timeouts } = model;
        let id = self.ok(&path.field("id"), ModelId::parse(&id));
        let aliases = self.each(&path.field("aliases"), aliases, Self::model_id);
        let at = path.field("endpoints");
        if endpoints.is_empty() {
            self.refuse(&at, "must have at least one server");
        }
        for (index, endpoint) in endpoints.iter().enumerate() {
            if endpoints.iter().take(index).any(|it| it == endpoint) {
                self.refuse(&at.item(index), "occurs twice");
            }
        }
        let endpoints = self.each(&at, endpoints, Self::endpoint);
        let access = self.access(&path.field("access"), access);
        let at = path.field("apiKey");
        let api_key =
            api_key.and_then(|file::SecretRef { env, file }| self.header_secret(&at, env, file));
        let timeouts = self.timeouts(&path.field("timeouts"), timeouts, Timeouts::SERVED);
        Some(Model {
            id: id?,
            aliases,
            endpoints,
            access: access?,
            concurrency: limits.concurrency,
            api_key,
            timeouts,
        })
    }

    fn provider(&mut self, path: &FieldPath, it: file::Provider) -> Option<Provider> {
        let file::Provider { name, url, credential, models, catch_all, access, .. } = it;
        let file::Provider { limits, timeouts, ca, .. } = it;
        // Each is checked together with a valid other one, so that both can be reported.
        let checked = provider_document(&name, "https://localhost");
        self.ok(&path.field("name"), llm_contract::Provider::try_from(checked));
        let checked = provider_document("provider", &url);
        self.ok(&path.field("url"), llm_contract::Provider::try_from(checked));
        if models.is_empty() && !catch_all {
            self.refuse(path, "has no models: list them in `models`, or set `catchAll: true`");
        }
        let credential = credential.and_then(|file::Credential { env, file, header }| {
            let secret = self.header_secret(&path.field("credential"), env, file)?;
            Some((CredentialHeader::from(header), secret))
        });
        let models = self.each(&path.field("models"), models, Self::provider_model);
        let access = self.access(&path.field("access"), access);
        let timeouts = self.timeouts(&path.field("timeouts"), timeouts, Timeouts::PROVIDER);
        Some(Provider {
            name,
            url,
            credential,
            models,
            catch_all,
            access: access?,
            concurrency: limits.concurrency,
            ca: self.ca(&path.field("ca"), ca),
            timeouts,
        })
    }

    fn provider_model(
        &mut self,
        path: &FieldPath,
        model: file::ProviderModel,
    ) -> Option<ProviderModel> {
        match model {
            file::ProviderModel::Same(id) => {
                Some(ProviderModel { id: self.model_id(path, id)?, upstream: None })
            }
            file::ProviderModel::Renamed(file::RenamedModel { id, upstream }) => {
                let id = self.model_id(&path.field("id"), id);
                let at = path.field("upstream");
                let upstream = upstream.and_then(|upstream| self.model_id(&at, upstream));
                Some(ProviderModel { id: id?, upstream })
            }
        }
    }

    fn model_id(&mut self, path: &FieldPath, id: String) -> Option<ModelId> {
        self.ok(path, ModelId::try_from(id))
    }

    fn endpoint(&mut self, path: &FieldPath, url: String) -> Option<String> {
        let served = document::Served {
            endpoints: vec![url.clone()],
            model: None,
            api_key: None,
            timeouts: Timeouts::SERVED,
        };
        if llm_contract::Served::try_from(served).is_err() {
            let message = "must be http(s)://host[:port] without path, password, query or fragment";
            self.refuse(path, message);
            return None;
        }
        Some(url)
    }

    fn access(&mut self, path: &FieldPath, access: file::Access) -> Option<Access> {
        let file::Access { groups, public } = access;
        let wanted = groups.len();
        let groups = self.each(&path.field("groups"), groups, |check, path, group| {
            check.ok(path, Group::parse(&group))
        });
        // An invalid group is reported already.
        if groups.len() < wanted {
            return None;
        }
        self.ok(path, Access::check(groups, public))
    }

    fn timeouts(&mut self, path: &FieldPath, it: file::Timeouts, default: Timeouts) -> Timeouts {
        let file::Timeouts { connect, request, idle } = it;
        let mut wait = |name, text, default| {
            let path = path.field(name);
            let wait = self.duration(&path, text).unwrap_or(default);
            if wait < Duration::from_millis(1) {
                self.refuse(&path, "must be at least `1ms`");
            }
            wait
        };
        Timeouts {
            connect: wait("connect", connect, default.connect),
            request: wait("request", request, default.request),
            idle: wait("idle", idle, default.idle),
        }
    }

    fn duration(&mut self, path: &FieldPath, text: Option<String>) -> Option<Duration> {
        let duration = humantime::parse_duration(&text?).ok().filter(|it| *it <= DURATION_MAX);
        if duration.is_none() {
            self.refuse(path, DURATION_ADVICE);
        }
        duration
    }

    fn issuer(&mut self, path: &FieldPath, issuer: file::Issuer) -> Option<Issuer> {
        let file::Issuer { issuer: url, audiences, groups_claim, username_claim, ca } = issuer;
        let ca = self.ca(&path.field("ca"), ca);
        let groups_claim = groups_claim.unwrap_or_else(document::Issuer::groups_claim);
        let username_claim = username_claim.unwrap_or_else(document::Issuer::username_claim);
        let document = document::Issuer {
            issuer: url.clone(),
            audiences: audiences.clone(),
            groups_claim: groups_claim.clone(),
            username_claim: username_claim.clone(),
            ca_pem: None,
        };
        self.ok(path, document.check())?;
        Some(Issuer { url, audiences, groups_claim, username_claim, ca })
    }

    fn cors(&mut self, cors: file::Cors) -> Option<Vec<String>> {
        let origins = cors.origins?;
        let path = FieldPath::default().field("cors").field("origins");
        Some(self.each(&path, origins, |check, path, origin| {
            let settings = document::Settings { cors_origins: Some(vec![origin.clone()]) };
            if Settings::try_from(settings).is_err() {
                check.refuse(path, "must be an origin such as `https://chat.example.org`, or `*`");
            }
            Some(origin)
        }))
    }

    fn refuse_duplicates<'t>(
        &mut self,
        names: impl Iterator<Item = (&'t str, FieldPath)>,
        what: &str,
    ) {
        let mut seen = HashMap::new();
        for (name, path) in names {
            match seen.get(name) {
                Some(first) => self.refuse(&path, format!("`{name}` is already {what}: {first}")),
                None => drop(seen.insert(name, path)),
            }
        }
    }

    /// A served model may have the same id as a provider's, and wins; two of one kind may not.
    fn refuse_duplicate_models(&mut self, models: &[file::Model], providers: &[file::Provider]) {
        let root = FieldPath::default();
        let served = models.iter().enumerate().flat_map(|(at, model)| {
            let path = root.field("models").item(at);
            let aliases = model.aliases.iter().enumerate();
            let aliases = aliases.map(|(at, it)| (it.as_str(), path.field("aliases").item(at)));
            let id = (model.id.as_str(), path.field("id"));
            [id].into_iter().chain(aliases).collect::<Vec<_>>()
        });
        let offered = providers.iter().enumerate().flat_map(|(at, provider)| {
            let path = root.field("providers").item(at);
            let models = provider.models.iter().enumerate().map(|(at, model)| match model {
                file::ProviderModel::Same(id)
                | file::ProviderModel::Renamed(file::RenamedModel { id, .. }) => {
                    (id.as_str(), path.field("models").item(at))
                }
            });
            let rest = provider.catch_all.then(|| ("*", path.field("catchAll")));
            models.chain(rest).collect::<Vec<_>>()
        });
        self.refuse_duplicates(served, "served");
        self.refuse_duplicates(offered, "served");
    }
}

pub(super) fn data_dir(path: Option<&str>, folder: &Path) -> PathBuf {
    within(folder, path.unwrap_or(super::DATA_DIR))
}

/// A path in the file, without needless `./`.
fn within(folder: &Path, path: &str) -> PathBuf {
    folder.join(path).components().collect()
}

/// Whether two listeners cannot have these addresses. Port 0 is a new port each time.
fn conflict(one: &SocketAddr, other: &SocketAddr) -> bool {
    let everywhere = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (one.ip() == other.ip() || everywhere)
}

fn provider_document(name: &str, url: &str) -> document::Provider {
    document::Provider {
        name: name.to_owned(),
        url: url.to_owned(),
        credential: None,
        headers: Vec::new(),
        ca_pem: None,
        timeouts: Timeouts::PROVIDER,
    }
}
