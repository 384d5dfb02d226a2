//! One file per verb: parse, run the operation, word its answer.

pub mod audit;
pub mod backup;
pub mod check;
pub mod cleanup;
pub mod completions;
pub mod cost;
pub mod delete;
pub mod doctor;
pub mod drill;
pub mod hold;
pub mod init;
pub mod keys;
pub mod list;
pub mod notify;
pub mod pull;
pub mod push;
pub mod restore;
pub mod show;
pub mod stats;
pub mod status;
pub mod thaw;
pub mod verify;
