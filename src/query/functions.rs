//! Functions and operators as PostgreSQL has them, where the planner's own differ.

pub(super) mod aggregate;
pub(super) mod arithmetic;
pub(super) mod cast;
pub(super) mod collect;
pub(super) mod datetime;
pub(super) mod division;
pub(super) mod number;
pub(super) mod registry;
pub(super) mod relation;
pub(super) mod rounding;
pub(super) mod rowsets;
mod setting;
pub(super) mod system;
pub(super) mod text;
