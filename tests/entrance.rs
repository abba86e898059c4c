//! Getting into the console, and out of it: the set-up link, passwords, sessions, what a browser must bring to change
//! anything, and what each role may do.

mod guest;
mod login;
mod roles;
mod setup;
mod verbs;

use guest::Guest;

use crate::support::server::Server;

/// A server that browsers reach.
fn server() -> Server {
    Server::builder().args(&["--web-listen", "127.0.0.1:0"]).start()
}

/// The demonstration, which browsers reach.
fn demonstration() -> Server {
    Server::builder().verb("demo").args(&["--web-listen", "127.0.0.1:0"]).start()
}
