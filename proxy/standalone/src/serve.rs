//! `llm-gateway serve`: runs a gateway until it is stopped.

use crate::{
    banner::Banner,
    cli::{DataArgs, Overrides, ServeArgs},
    command::data_dir,
    config::{self, Config, LoadedConfig},
    error::CliError,
    http_client,
    reload::{LoadConfig, Reloader},
    running::{RunningGateway, Started},
    signals::ShutdownSignals,
};
use std::{io, path::Path};

pub async fn run(args: ServeArgs) -> Result<(), CliError> {
    http_client::install_crypto();
    let mut signals = ShutdownSignals::install()?;
    let (loaded, reload) = tokio::select! {
        loaded = load(&args) => loaded?,
        () = signals.recv() => return Ok(()),
    };
    let Started { gateway, keys, first_key } = RunningGateway::start(&loaded.config).await?;
    let models = loaded.config.model_ids();
    let (key, data_dir) = (first_key.as_ref(), &loaded.config.data_dir);
    let is_found = data_dir::find(DataArgs::default()).is_ok_and(|folder| folder == *data_dir);
    Banner {
        listen: gateway.listen,
        is_tls: gateway.is_tls,
        models: &models,
        key,
        data_dir: (!is_found).then_some(data_dir),
    }
    .print(&mut io::stdout())?;
    drop(first_key);
    let mut reloader = Reloader::new(&gateway, loaded, keys, reload);
    tokio::select! {
        () = reloader.run(&gateway) => {}
        () = signals.recv() => {}
    }
    gateway.stop(reloader.config.drain, &mut signals).await;
    Ok(())
}

/// Loads the configuration. The function, if there is a file, loads it again.
async fn load(args: &ServeArgs) -> Result<(LoadedConfig, Option<LoadConfig>), CliError> {
    let overrides = args.overrides.clone();
    if let Some(server) = &args.upstream {
        let mut config = server.config().await?;
        overrides.apply(&mut config);
        return Ok((LoadedConfig { config, files: Vec::new() }, None));
    }
    let file = args.config.clone();
    if !file.exists() {
        return Err(CliError::NoConfig { file });
    }
    let load: LoadConfig = Box::new(move || overrides.load(&file));
    Ok((load()?, Some(load)))
}

impl Overrides {
    fn load(&self, file: &Path) -> Result<LoadedConfig, CliError> {
        let mut loaded = config::load(file, &|name| std::env::var(name).ok())?;
        self.apply(&mut loaded.config);
        Ok(loaded)
    }

    fn apply(&self, config: &mut Config) {
        if let Some(folder) = &self.data_dir {
            config.data_dir.clone_from(folder);
        }
        config.listen.external = self.listen.unwrap_or(config.listen.external);
        config.listen.admin = self.admin.unwrap_or(config.listen.admin);
    }
}
