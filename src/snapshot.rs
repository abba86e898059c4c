//! Snapshots: every object is kept as a Delta table of Parquet files, and every sync commits one immutable
//! version of it together with its watermark.
//!
//! The Delta protocol is the format; the hot path is ours. A full sync ([`Table::replace`]) sorts what
//! arrives by key in bounded memory and swaps all files in one commit. A diff ([`Table::upsert`]) finds the
//! old positions of the changed rows through the Parquet page index, and commits one file of new rows and
//! one file of deletion vectors. Every commit is a compare-and-swap on the version: the log entry is created,
//! never overwritten. [`Table::compact`] arranges the same rows in fewer files. A [`Snapshot`] is read as a plain Parquet scan in which a deletion vector is a row
//! selection.

mod any_order;
mod archive;
mod assemble;
mod bucket;
mod check;
mod checksum;
mod columns;
mod compact;
mod delta;
mod difference;
mod disk;
mod dv;
mod erase;
mod failure;
mod fill;
mod find;
mod fsync_store;
mod kept;
mod key_list;
mod keys;
mod lane;
mod leftovers;
mod live;
mod live_exec;
mod log;
mod log_store;
mod lookup;
mod lost;
mod merge;
mod mirror;
mod overlay;
mod pages;
mod parquet_read;
mod parquet_scan;
mod parquet_write;
mod plan;
mod prepared;
mod profile;
mod provider;
mod recast;
mod restore;
mod sorted;
mod spec;
mod spill;
mod squeeze;
mod staged;
mod stats;
mod stores;
mod table;
mod thread;
mod tuning;
mod upsert;
mod vacuum;
mod verified_store;
mod version;
mod warehouse;
mod window;
mod writer;

pub use archive::{Archive, Archived};
pub use check::{Checked, Damage};
pub use compact::{Compacted, Extent};
pub use difference::Revision;
pub use erase::{Erased, Erasure, KeyPart};
pub use kept::KeptRows;
pub use lost::Lost;
pub use overlay::{Cell, Overlay};
pub use prepared::Prepared;
pub use profile::{Profile, Sum};
pub(crate) use spec::schema_of;
pub use spec::{Commit, Counts, WriteSpec};
pub use table::Table;
pub use vacuum::{Garbage, Keep};
pub use version::Snapshot;
pub use warehouse::Warehouse;
pub use writer::Writer;
