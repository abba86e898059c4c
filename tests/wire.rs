//! The PostgreSQL port: logins, hostile bytes, encryption, protocols, drivers.

mod driver;
mod hostile;
mod login;
mod protocol;
mod same;
mod tls;
