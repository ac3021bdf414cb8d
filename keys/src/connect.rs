//! The cluster that is meant, as kubectl finds it.

use crate::cli::ClusterArgs;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use std::{io, time::Duration};

/// How long the API server may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why no cluster can be asked. What these hold tells its own cause.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a file nor a pod.
    #[error(
        "which cluster? There is no kubeconfig, and this is no pod; name one with --kubeconfig"
    )]
    NoCluster,
    /// The file is damaged, is not there, or lacks the context.
    #[error("the kubeconfig cannot be used: {0}; mend it, or name another with --kubeconfig")]
    Kubeconfig(KubeconfigError),
    /// Its certificates or credentials make no client.
    #[error("the kubeconfig makes no client: {0}; mend it, or name another with --kubeconfig")]
    Client(Box<kube::Error>),
}

/// A client for the cluster that is meant, and the namespace that is.
///
/// # Errors
/// [`ConnectError`].
pub(crate) async fn connect(args: ClusterArgs) -> Result<(Client, String), ConnectError> {
    let ClusterArgs { namespace, kubeconfig, context } = args;
    let named = kubeconfig.is_some() || context.is_some();
    let file = kubeconfig.map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    let mut config = match file {
        Ok(file) => {
            let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(ConnectError::Kubeconfig)?
        }
        Err(error) if !named && is_missing(&error) => {
            Config::incluster().map_err(|_no_pod| ConnectError::NoCluster)?
        }
        Err(error) => return Err(ConnectError::Kubeconfig(error)),
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(ANSWER_TIMEOUT);
    config.write_timeout = Some(ANSWER_TIMEOUT);
    // A request that is repeated unseen could make a key twice.
    config.default_retry = false;
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| ConnectError::Client(error.into()))?;
    Ok((client, namespace))
}

fn is_missing(error: &KubeconfigError) -> bool {
    if let KubeconfigError::ReadConfig(error, _) = error {
        return error.kind() == io::ErrorKind::NotFound;
    }
    matches!(error, KubeconfigError::FindPath)
}
