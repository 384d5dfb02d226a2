//! Integration tests on real servers. One program, so that they link once and share the bed.

mod aws;
mod backup;
mod bed;
mod check;
mod connect;
mod crowd;
mod damage;
mod data;
mod dump;
mod faults;
mod gate;
mod preflight;
mod program;
mod providers;
mod restore;
mod restore_schema;
mod rig;
mod roles;
mod s3_faults;
mod secrets;
mod store_contract;
mod swap;
mod sweep;
mod traps;
mod under_load;
mod vault_reader;
