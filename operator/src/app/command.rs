//! What the commands do, and their errors.

use crate::{
    app::{
        config::{InvalidConfig, Options},
        run,
    },
    cluster_state,
    context::Context,
    rbac,
    routes::feed,
};
use kube::Client;
use llm_cli::{OutputFormat, ProgramError, print_route_table};
use llm_contract::push::RedactedTable;
use parking_lot::Mutex;
use std::{
    io::{self, Write},
    time::Duration,
};
use sysexits::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the first list of all resources may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("configuration")]
    Config(#[from] InvalidConfig),
    #[error("no cluster to connect to: run in a pod, or set KUBECONFIG")]
    NoCluster(#[from] kube::config::InferConfigError),
    #[error("cannot connect to the cluster")]
    Connect(#[from] kube::Error),
    /// The API server does not answer, or denies some of the lists.
    #[error(
        "not all resources could be listed within {} s; see the log above",
        LIST_TIMEOUT.as_secs()
    )]
    ListTimeout,
    #[error(transparent)]
    Run(#[from] run::RunError),
    #[error("cannot write the output")]
    Write(#[from] io::Error),
    #[error("cannot write YAML")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

impl ProgramError for CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::DataErr,
            Self::NoCluster(_)
            | Self::Connect(_)
            | Self::ListTimeout
            | Self::Run(run::RunError::Port { .. }) => ExitCode::Unavailable,
            Self::Run(_) | Self::Yaml(_) | Self::Write(_) => ExitCode::Software,
        }
    }
}

/// Runs the operator until it is stopped.
pub async fn run(options: Options) -> Result<(), CliError> {
    let config = options.check(&host())?;
    if config.issuers.is_empty() {
        tracing::warn!("LLM_OIDC_AUDIENCE is not set: the internal entry accepts no tokens");
    }
    let client = client().await?;
    let stop = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stopped = async {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        ended = run::run(config, client, stop.clone()) => Ok(ended?),
        () = stopped => Ok(()),
    }
}

/// Prints the table that would be pushed.
pub async fn table(
    options: Options,
    output: OutputFormat,
    out: &mut impl Write,
) -> Result<(), CliError> {
    let config = options.check(&host())?;
    let client = client().await?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (cluster, events) =
        cluster_state::start(&client, &config.settings, Vec::new(), &tasks, &stop);
    let context = Context::new(&client, config.settings.clone(), cluster, None);
    let documents = Mutex::new(config.fixed_documents());
    let listed = CancellationToken::new();
    let collect = |change, complete| {
        documents.lock().apply(change);
        if complete {
            listed.cancel();
        }
    };
    let is_complete = tokio::select! {
        () = feed::compile(&context, events, collect) => false,
        () = listed.cancelled() => true,
        () = tokio::time::sleep(LIST_TIMEOUT) => false,
    };
    stop.cancel();
    if !is_complete {
        return Err(CliError::ListTimeout);
    }
    let documents = documents.into_inner();
    let table = RedactedTable::of(documents.digest(), documents.iter());
    Ok(print_route_table(&table, output, out)?)
}

/// Prints the permissions that the operator needs.
pub fn rbac(options: Options, out: &mut impl Write) -> Result<(), CliError> {
    let config = options.check(&host())?;
    for object in rbac::objects(&config) {
        writeln!(out, "---\n{}", serde_saphyr::to_string(&object)?.trim_end())?;
    }
    Ok(())
}

async fn client() -> Result<Client, CliError> {
    let config = kube::Config::infer().await?;
    Ok(Client::try_from(config)?)
}

fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
