//! The engine of Lifeboat: PostgreSQL backups that prove themselves.
//!
//! A backup is one consistent snapshot, read in aligned ranges of heap blocks ([`postgres`]), cut into chunks, sealed and
//! packed ([`vault`]), written create-only to an object store ([`store`]) and published by one manifest ([`model`]).
//! What to read, keep, restore or refuse is decided by pure functions ([`plan`]); the operations that people and schedules
//! start are told one per file in [`ops`]; people are told by [`notify`]. `docs/architecture.md` has the picture, `docs/format.md` every byte of a vault.
//!
//! Dependencies point one way: `ops → plan, vault, postgres → store, model → error`. `postgres` never imports `vault`, nor
//! the reverse.

pub mod aws;
pub mod config;
pub mod error;
#[cfg(test)]
mod fuzz;
pub mod model;
pub mod notify;
pub mod ops;
pub mod plan;
pub mod postgres;
pub mod spell;
pub mod store;
pub mod telemetry;
pub mod vault;

pub use error::{Error, ErrorKind, Result};
