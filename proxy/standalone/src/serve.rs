//! `llm-gateway serve`: runs until it is told to stop.

use crate::{
    cli::{DataArgs, ServeArgs},
    command::{Failure, keys},
    config::{self, Config, Loaded},
    follow::{Follower, Read},
    http,
    node::{Node, Started},
    signals::Signals,
    welcome::Welcome,
};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// Starts a gateway and serves until it is told to stop.
///
/// # Errors
/// [`Failure`]; nothing was served then.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    http::install_crypto();
    let mut signals = Signals::catch()?;
    let loading = load(&args);
    let (loaded, read) = tokio::select! {
        loaded = loading => loaded?,
        () = signals.next() => return Ok(()),
    };
    let Started { node, keys: known, first_key } =
        Node::start(&loaded.config, loaded.certificate.as_ref()).await?;
    let models = loaded.config.model_ids();
    let (key, data_dir) = (first_key.as_ref(), &loaded.config.data_dir);
    let is_found = keys::data_dir(DataArgs::default()).is_ok_and(|folder| folder == *data_dir);
    Welcome {
        listen: node.listen,
        is_tls: node.is_tls,
        models: &models,
        key,
        data_dir: (!is_found).then_some(data_dir),
    }
    .print(&mut io::stdout())?;
    drop(first_key);
    let mut follower = Follower::new(&node, loaded, known, read);
    tokio::select! {
        () = follower.run(&node) => {}
        () = signals.next() => {}
    }
    node.stop(follower.config.drain, &mut signals).await;
    Ok(())
}

/// The configuration to start with, and how to read it anew if it is in a file.
async fn load(args: &ServeArgs) -> Result<(Loaded, Option<Read>), Failure> {
    let overrides = Overrides::from(args);
    if let Some(upstream) = &args.upstream {
        let mut config = upstream.config().await?;
        overrides.apply(&mut config);
        return Ok((Loaded { config, certificate: None, files: Vec::new() }, None));
    }
    let file = args.config.clone();
    if !file.exists() {
        return Err(Failure::NoConfig { file });
    }
    let read: Read = Box::new(move || overrides.load(&file));
    Ok((read()?, Some(read)))
}

/// What the command line says against the configuration.
struct Overrides {
    data_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
}

impl From<&ServeArgs> for Overrides {
    fn from(args: &ServeArgs) -> Self {
        Self { data_dir: args.data_dir.clone(), listen: args.listen, admin: args.admin }
    }
}

impl Overrides {
    fn load(&self, file: &Path) -> Result<Loaded, Failure> {
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
