//! The PostgreSQL port: logins, hostile bytes, encryption, protocols, drivers.

mod hostile;
mod login;
mod tls;
