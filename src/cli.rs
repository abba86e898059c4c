//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::Settings;
use crate::error::Result;

/// One consistent SQL view of your CRM, HRIS and sheets
#[derive(Debug, Parser)]
#[command(name = "tributary", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Options),
    /// Run the server with a demonstration connection, already synced
    Demo(Options),
    /// Set the password of a login on this machine's state; makes an admin when the login is new
    Password {
        /// Login name
        name: String,
        #[command(flatten)]
        options: Options,
    },
    /// Rebuild a lost state database from the storage
    Recover(Options),
    /// Read every file of the kept releases and list what is damaged
    Check(Options),
    /// Copy state and snapshots while the server runs
    Backup {
        /// A new folder or s3://bucket/prefix
        to: String,
        /// Copy the key that seals secrets too
        #[arg(long)]
        with_key: bool,
        #[command(flatten)]
        options: Options,
    },
    /// Bring a backup back into an empty data folder
    Restore {
        /// Where the backup is
        from: String,
        #[command(flatten)]
        options: Options,
    },
    /// Manifests of source systems
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

#[derive(Debug, Subcommand)]
enum CatalogCommand {
    /// Check a manifest, or every one that the server would know
    Check {
        /// The manifest
        file: Option<PathBuf>,
        /// Folder of further manifests
        #[arg(long, env = "TRIBUTARY_CATALOG")]
        catalog: Option<PathBuf>,
    },
    /// Print the requests that a sync would send, without sending any
    Explain {
        /// The connector
        connector: String,
        /// The object, as `CALL discover(...)` names it
        object: String,
        /// diff or full
        #[arg(long, default_value = "diff")]
        mode: String,
        /// Folder of further manifests
        #[arg(long, env = "TRIBUTARY_CATALOG")]
        catalog: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Options {
    /// Configuration file; ./tributary.toml when there is one
    #[arg(long, env = "TRIBUTARY_CONFIG")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

impl Options {
    fn resolve(self) -> Result<crate::config::Config> {
        let default = PathBuf::from("tributary.toml");
        let file = match self.config {
            Some(path) => Settings::from_file(&path)?,
            None if default.is_file() => Settings::from_file(&default)?,
            None => Settings::default(),
        };
        self.settings.or(file).resolve()
    }
}

impl Cli {
    /// Runs the chosen command to its end.
    pub async fn run(self) -> Result<()> {
        match self.command {
            Command::Serve(options) => crate::server::serve(options.resolve()?, false).await,
            Command::Demo(options) => crate::server::serve(options.resolve()?, true).await,
            Command::Password { name, options } => {
                crate::server::set_password(options.resolve()?, &name).await
            }
            Command::Recover(options) => crate::server::recover(options.resolve()?).await,
            Command::Check(options) => crate::server::check(options.resolve()?).await,
            Command::Backup { to, with_key, options } => {
                crate::server::backup(options.resolve()?, &to, with_key).await
            }
            Command::Restore { from, options } => crate::server::restore(options.resolve()?, &from).await,
            Command::Catalog(CatalogCommand::Check { file, catalog }) => {
                crate::server::check_catalog(file.as_deref(), catalog.as_deref())
            }
            Command::Catalog(CatalogCommand::Explain { connector, object, mode, catalog }) => {
                crate::server::explain(&connector, &object, &mode, catalog.as_deref())
            }
        }
    }
}
