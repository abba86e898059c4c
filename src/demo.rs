//! Simulated vendors over real HTTP: HubSpot and Salesforce as far as a connector sees them.
//!
//! `tributary demo`, the tests and the benchmarks use them. They answer what the vendors document, refuse what the
//! vendors refuse, keep their limits and count every call. Each comes with a control handle for what happens on the
//! other side: records change, tokens are revoked, clocks jump, answers fail.

pub mod business;
pub mod clock;
pub mod company;
mod consent;
mod door;
pub mod fault;
mod http;
pub mod hubspot;
mod random;
pub mod salesforce;
pub mod traffic;

pub use clock::Clock;
pub use company::Size;
pub use fault::Fault;
pub use traffic::{Call, Traffic};
