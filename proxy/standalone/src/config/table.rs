//! The route table of a configuration; pure.

use super::{Config, Issuer, Model, Provider};
use llm_contract::{Access, Entries, Group, ModelId, Secret, Table, document};
use std::collections::BTreeSet;

impl Config {
    /// All groups with access to a model, each once.
    pub fn groups(&self) -> Vec<Group> {
        let models = self.models.iter().map(|model| &model.access);
        let providers = self.providers.iter().map(|provider| &provider.access);
        let groups: BTreeSet<_> = models
            .chain(providers)
            .flat_map(|access| match access {
                Access::Public => &[],
                Access::Groups(groups) => groups.as_slice(),
            })
            .collect();
        groups.into_iter().cloned().collect()
    }

    /// All models by name, served ones first.
    pub fn model_ids(&self) -> Vec<&ModelId> {
        let served = self.models.iter().map(|model| &model.id);
        let offered = self.providers.iter().flat_map(|provider| &provider.models);
        served.chain(offered.map(|model| &model.id)).collect()
    }

    pub fn table(&self, keys: Vec<document::KeyRecord>, revision: u64) -> document::Table {
        let served = self.models.iter().map(served_route);
        let offered = self.providers.iter().flat_map(provider_routes);
        document::Table {
            version: Table::VERSION,
            revision,
            providers: self.providers.iter().map(provider).collect(),
            routes: served.chain(offered).collect(),
            keys,
            issuers: self.issuers.iter().map(issuer).collect(),
            settings: document::Settings { cors_origins: self.cors_origins.clone() },
        }
    }
}

fn served_route(model: &Model) -> document::Route {
    let Model { id, aliases, endpoints, access: who, concurrency, api_key, timeouts } = model;
    document::Route {
        model: Some(id.clone()),
        aliases: aliases.clone(),
        access: access(who),
        entries: Entries::ALL,
        upstream: document::Upstream::Served(document::Served {
            endpoints: endpoints.clone(),
            // The servers know only this id, whichever alias a client used.
            model: Some(id.clone()),
            api_key: api_key.clone(),
            timeouts: *timeouts,
        }),
        limits: document::RequestLimits { concurrency: *concurrency },
    }
}

fn provider_routes(provider: &Provider) -> Vec<document::Route> {
    let route = |model: Option<&ModelId>, upstream: Option<&ModelId>| document::Route {
        model: model.cloned(),
        aliases: Vec::new(),
        access: access(&provider.access),
        entries: Entries::ALL,
        upstream: document::Upstream::Provider {
            name: provider.name.clone(),
            model: upstream.cloned(),
        },
        limits: document::RequestLimits { concurrency: provider.concurrency },
    };
    let named = provider.models.iter().map(|it| route(Some(&it.id), it.upstream.as_ref()));
    named.chain(provider.catch_all.then(|| route(None, None))).collect()
}

fn provider(provider: &Provider) -> document::Provider {
    let credential = provider.credential.as_ref();
    document::Provider {
        name: provider.name.clone(),
        url: provider.url.clone(),
        credential: credential.map(|(header, secret)| document::Credential {
            header: *header,
            secret: secret.clone(),
        }),
        headers: Vec::new(),
        ca_pem: pem(provider.ca.as_ref()),
        timeouts: provider.timeouts,
    }
}

fn issuer(issuer: &Issuer) -> document::Issuer {
    let Issuer { url, audiences, groups_claim, username_claim, ca } = issuer;
    document::Issuer {
        issuer: url.clone(),
        audiences: audiences.clone(),
        groups_claim: groups_claim.clone(),
        username_claim: username_claim.clone(),
        ca_pem: pem(ca.as_ref()),
    }
}

fn pem(certificates: Option<&Secret>) -> Option<String> {
    certificates.map(|pem| pem.reveal().to_owned())
}

fn access(access: &Access) -> document::Access {
    match access {
        Access::Public => document::Access { groups: Vec::new(), public: true },
        Access::Groups(groups) => document::Access { groups: groups.clone(), public: false },
    }
}
