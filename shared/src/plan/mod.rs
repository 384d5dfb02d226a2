//! Decisions only: values in, values with reasons out. Property-tested; nothing here touches the world.

pub mod alerts;
pub mod audit;
pub mod batch;
pub mod cost;
mod dependencies;
pub mod digest;
pub mod drill;
mod exclusions;
pub mod health;
pub mod read;
pub mod restore;
pub mod retention;
pub mod rhythm;
pub mod schedule;
pub mod selection;
pub mod stats;
pub mod table_closure;
pub mod thaw;
pub mod unread;
