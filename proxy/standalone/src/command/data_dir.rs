//! Finding the data folder of a gateway.

use crate::{
    cli::{CONFIG, DataArgs},
    config,
    error::CliError,
};
use std::path::PathBuf;

/// The folder from the arguments, else from the configuration there or here, else `./data`.
pub fn find(args: DataArgs) -> Result<PathBuf, CliError> {
    let here = || Some(PathBuf::from(CONFIG)).filter(|file| file.exists());
    match args.data_dir {
        Some(folder) => Ok(folder),
        None => match args.config.or_else(here) {
            Some(file) => Ok(config::data_dir(&file)?),
            None => Ok(config::DATA_DIR.into()),
        },
    }
}

pub fn find_existing(args: DataArgs) -> Result<PathBuf, CliError> {
    let folder = find(args)?;
    if folder.exists() { Ok(folder) } else { Err(CliError::NoDataDir { folder }) }
}
