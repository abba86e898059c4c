//! The PostgreSQL port: logins, hostile bytes, encryption, protocols, drivers.

mod driver;
mod hostile;
mod login;
mod notify;
mod protocol;
mod same;
mod settings;
mod siege;
mod tls;
