//! What the tests share: real servers started on free ports, and clients for them.

pub(crate) mod company;
pub(crate) mod postgres;
pub(crate) mod wire;
