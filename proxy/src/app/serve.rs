//! The `serve` command: runs a proxy until it is stopped.

use super::{
    cli::ServeArgs,
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
    let control = control(&args)?;
    let certificate = args.certificate();
    let certificate = certificate.map(|files| Ok::<_, CliError>((files.load()?, files)));
    let certificate = certificate.transpose()?;
    let tls = || certificate.as_ref().map(|(certificate, _)| certificate.clone());
    let external = servers::bind(args.external, Entry::External, "--external", tls())?;
    let internal = servers::bind(args.internal, Entry::Internal, "--internal", tls())?;
    let admin = servers::bind_admin(args.admin, "--admin").await?;
    let ledger = args.usage.as_deref().map(Ledger::open).transpose()?;

    let (events, written) = mpsc::channel(EVENTS_MAX);
    let pepper = args.pepper.as_deref().map(read_pepper).transpose()?;
    let authenticator = servers::authenticator(pepper)?;
    let (header, body) = (args.header_bytes.get(), args.body_bytes.get());
    let limits = servers::limits(header, body, args.connections.get());
    let shared = Gateway::new(authenticator, limits, args.reach(), events);
    let applier = TableApplier::new(Arc::clone(&shared), Table::BYTES_MAX);
    if let Some(folder) = &args.state {
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
        admin::router(Arc::clone(&shared)).merge(control_plane::router(Arc::clone(&applier)));
    let drain = shared.drain.clone();
    shared.background.spawn(drain.clone().run_until_cancelled_owned(client::run(applier, control)));
    if let Some((certificate, files)) = certificate {
        shared
            .background
            .spawn(drain.run_until_cancelled_owned(files.reload_on_change(certificate)));
    }
    let usage = ledger.map(|ledger| (ledger, written));
    let servers = Servers::start(shared, vec![external, internal], (admin, router), usage);
    signals.recv().await;
    servers.stop(args.drain, &mut signals).await;
    Ok(())
}

fn control(args: &ServeArgs) -> Result<ControlConfig, CliError> {
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
