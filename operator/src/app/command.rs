//! What the commands do, and how they fail.

use crate::{
    app::{
        cli::Output,
        config::{InvalidConfig, Options},
        run,
    },
    cluster_state,
    context::Context,
    rbac,
    routes::feed,
};
use comfy_table::{Table, presets};
use kube::Client;
use llm_contract::push::{RedactedTable, Section};
use parking_lot::Mutex;
use std::{
    io::{self, Write},
    time::Duration,
};
use sysexits::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the cluster may take to show everything.
const SEEN_WAIT: Duration = Duration::from_secs(60);

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// See the source.
    #[error("configuration")]
    Config(#[from] InvalidConfig),
    /// Neither a service account nor a kubeconfig.
    #[error("no cluster to connect to: run in a pod, or set KUBECONFIG")]
    Infer(#[from] kube::config::InferConfigError),
    /// See the source.
    #[error("connecting to the cluster")]
    Connect(#[from] kube::Error),
    /// The API server does not answer, or may not be asked.
    #[error("the cluster did not show everything within {} s; see the log above", SEEN_WAIT.as_secs())]
    NotSeen,
    /// See the source.
    #[error(transparent)]
    Run(#[from] run::RunError),
    /// See the source.
    #[error("writing")]
    Write(#[from] io::Error),
    /// See the source.
    #[error("writing")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

impl Failure {
    /// What to exit with.
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Config(_) => ExitCode::DataErr,
            Self::Infer(_)
            | Self::Connect(_)
            | Self::NotSeen
            | Self::Run(run::RunError::Port { .. }) => ExitCode::Unavailable,
            Self::Run(_) | Self::Yaml(_) | Self::Write(_) => ExitCode::Software,
        }
    }
}

/// Runs until told to stop.
///
/// # Errors
/// [`Failure`].
pub async fn run(options: Options) -> Result<(), Failure> {
    let config = options.check(&host())?;
    if config.issuers.is_empty() {
        tracing::warn!("LLM_OIDC_AUDIENCE is not set: no token is accepted at the internal entry");
    }
    let client = client().await?;
    let stop = CancellationToken::new();
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = async {
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
        () = told => Ok(()),
    }
}

/// Prints the table that would be pushed.
///
/// # Errors
/// [`Failure`].
pub async fn table(options: Options, output: Output, out: &mut impl Write) -> Result<(), Failure> {
    let config = options.check(&host())?;
    let client = client().await?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (cluster, events) =
        cluster_state::start(&client, &config.settings, Vec::new(), &tasks, &stop);
    let context = Context::new(&client, config.settings.clone(), cluster, None);
    let documents = Mutex::new(config.fixed_documents());
    let whole = CancellationToken::new();
    let gather = |change, complete| {
        documents.lock().apply(change);
        if complete {
            whole.cancel();
        }
    };
    let seen = tokio::select! {
        () = feed::compile(&context, events, gather) => false,
        () = whole.cancelled() => true,
        () = tokio::time::sleep(SEEN_WAIT) => false,
    };
    stop.cancel();
    if !seen {
        return Err(Failure::NotSeen);
    }
    let documents = documents.into_inner();
    print(&RedactedTable::of(documents.digest(), documents.iter()), output, out)
}

/// Prints what the operator must be allowed to do.
///
/// # Errors
/// [`Failure`].
pub fn rbac(options: Options, out: &mut impl Write) -> Result<(), Failure> {
    let config = options.check(&host())?;
    for object in rbac::objects(&config) {
        writeln!(out, "---\n{}", serde_saphyr::to_string(&object)?.trim_end())?;
    }
    Ok(())
}

fn print(shown: &RedactedTable, output: Output, out: &mut impl Write) -> Result<(), Failure> {
    match output {
        Output::Json => {
            serde_json::to_writer_pretty(&mut *out, shown).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Output::Table => {
            for Section { head, rows } in shown.sections() {
                let mut table = Table::new();
                table.load_style(presets::NOTHING).set_header(head).add_rows(rows);
                writeln!(out, "{table}\n")?;
            }
            writeln!(out, "table {}", shown.digest)?;
        }
    }
    Ok(())
}

async fn client() -> Result<Client, Failure> {
    let config = kube::Config::infer().await?;
    Ok(Client::try_from(config)?)
}

fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}
