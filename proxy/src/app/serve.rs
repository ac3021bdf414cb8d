//! The `serve` command: runs a proxy until it is stopped.

use super::{
    certificate::CertificateFiles,
    cli::{LimitArgs, OperatorArgs, ServeArgs},
    error::CliError,
    http_client,
    ledger::Ledger,
    servers::{self, EVENTS_MAX, Servers},
    signals::ShutdownSignals,
};
use crate::{
    admin,
    control_plane::{
        self, TableApplier, client,
        config::{ControlConfig, ControlTimeouts},
    },
    gateway::Gateway,
    stage::accept::Entry,
};
use llm_contract::{Pepper, Secret, Table};
use std::{fs, path::Path, sync::Arc};
use tokio::{sync::mpsc, task::block_in_place};

pub async fn run(args: ServeArgs) -> Result<(), CliError> {
    http_client::install_crypto();
    let mut signals = ShutdownSignals::install()?;
    let ServeArgs { operator, listeners, limits, .. } = &args;
    let control = control(operator)?;
    let files = listeners.certificate();
    let certificate = files.as_ref().map(CertificateFiles::load).transpose()?;
    let bind = |address, entry, option| servers::bind(address, entry, option, certificate.clone());
    let external = bind(listeners.external, Entry::External, "--external")?;
    let internal = bind(listeners.internal, Entry::Internal, "--internal")?;
    let admin = servers::bind_admin(listeners.admin, "--admin").await?;
    let ledger = args.usage.as_deref().map(Ledger::open).transpose()?;

    let (events, written) = mpsc::channel(EVENTS_MAX);
    let pepper = args.pepper.as_deref().map(read_pepper).transpose()?;
    let authenticator = servers::authenticator(pepper)?;
    let LimitArgs { header_bytes, body_bytes, connections, drain: drain_time } = *limits;
    let limits = servers::limits(header_bytes.get(), body_bytes.get(), connections.get());
    let gateway = Gateway::new(authenticator, limits, args.address_policy(), events);
    let applier = TableApplier::new(Arc::clone(&gateway), Table::BYTES_MAX);
    if let Some(folder) = &operator.state {
        let unusable = |source| CliError::StateFolder { folder: folder.clone(), source };
        block_in_place(|| applier.enable_cache(folder)).map_err(unusable)?;
    }
    tracing::info!(
        external = %external.address,
        internal = %internal.address,
        admin = %admin.local_addr()?,
        control = %control.address.origin,
        "llm-proxy serves"
    );
    if ledger.is_none() {
        tracing::info!("usage is only counted; to keep a ledger, choose a folder with --usage");
    }
    let router =
        admin::router(Arc::clone(&gateway)).merge(control_plane::router(Arc::clone(&applier)));
    let drain = gateway.drain.clone();
    gateway
        .background
        .spawn(drain.clone().run_until_cancelled_owned(client::run(applier, control)));
    if let Some((certificate, files)) = certificate.zip(files) {
        gateway
            .background
            .spawn(drain.run_until_cancelled_owned(files.reload_on_change(certificate)));
    }
    let usage = ledger.map(|ledger| (ledger, written));
    let servers = Servers::start(gateway, vec![external, internal], (admin, router), usage);
    signals.recv().await;
    servers.stop(drain_time, &mut signals).await;
    Ok(())
}

fn control(args: &OperatorArgs) -> Result<ControlConfig, CliError> {
    let named = args.control_server_name.clone();
    Ok(ControlConfig {
        resolver: args.control.resolver(),
        address: args.control.clone(),
        server_name: named.or_else(|| args.control.server_name()).ok_or(CliError::ServerName)?,
        authorities: args.control_ca.clone(),
        token: args.control_token.clone(),
        proxy: args.name.clone(),
        timeouts: ControlTimeouts::default(),
        bytes_max: Table::BYTES_MAX,
    })
}

fn read_pepper(path: &Path) -> Result<Pepper, CliError> {
    let file = |source| CliError::ReadFile { path: path.to_owned(), source };
    let pepper = Secret::new(fs::read_to_string(path).map_err(file)?);
    if pepper.reveal().trim().is_empty() {
        return Err(CliError::EmptyPepper { path: path.to_owned() });
    }
    Ok(Pepper::new(Secret::new(pepper.reveal().trim())))
}
