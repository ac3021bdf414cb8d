//! Connecting to the cluster that kubectl would use.

use crate::cli::ClusterArgs;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};
use std::{io, time::Duration};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The messages contain their causes, because those of `kube` repeat their own.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error("which cluster? There is no kubeconfig here, and no pod; pass --kubeconfig")]
    NoCluster,
    /// The file is damaged or missing, or lacks the context.
    #[error("cannot use the kubeconfig: {0}; fix it, or choose another with --kubeconfig")]
    Kubeconfig(KubeconfigError),
    #[error(
        "cannot use the credentials in the kubeconfig: {0}; fix it, or choose another with \
         --kubeconfig"
    )]
    Client(Box<kube::Error>),
}

/// Returns a client and the namespace to use.
pub(crate) async fn connect(args: ClusterArgs) -> Result<(Client, String), ConnectError> {
    let ClusterArgs { namespace, kubeconfig, context } = args;
    let is_explicit = kubeconfig.is_some() || context.is_some();
    let file = kubeconfig.map_or_else(Kubeconfig::read, Kubeconfig::read_from);
    let mut config = match file {
        Ok(file) => {
            let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
            Config::from_custom_kubeconfig(file, &options)
                .await
                .map_err(ConnectError::Kubeconfig)?
        }
        Err(error) if !is_explicit && is_missing(&error) => {
            Config::incluster().map_err(|_no_pod| ConnectError::NoCluster)?
        }
        Err(error) => return Err(ConnectError::Kubeconfig(error)),
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(RESPONSE_TIMEOUT);
    config.write_timeout = Some(RESPONSE_TIMEOUT);
    // A request that `kube` repeats by itself could create a key twice.
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
