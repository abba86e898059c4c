//! The tributary command.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TRIBUTARY_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,tributary=info"));
    // The parser logs every token, and tokens of `CALL set_secret` are secrets: nobody may turn that on.
    let filter = match "sqlparser=off".parse() {
        Ok(silence) => filter.add_directive(silence),
        Err(_) => tracing_subscriber::EnvFilter::new("warn,tributary=info"),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let cli = tributary::cli::Cli::parse();
    let result = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("tributary-net")
        .build()
        .map_err(|error| tributary::error::Error::internal(format!("cannot start threads: {error}")))
        .and_then(|runtime| {
            let result = runtime.block_on(cli.run());
            // Work that does not watch for the end (a blocking call to a source) must not keep the process.
            runtime.shutdown_timeout(std::time::Duration::from_secs(5));
            result
        });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tributary::server::report(&error);
            ExitCode::FAILURE
        }
    }
}
