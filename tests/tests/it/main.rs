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
<<<<<<< HEAD
mod traps;
=======
mod sweep;
>>>>>>> 737c7fc (Sweep backup, verify and restore over stores that fail at every call)
mod under_load;
mod vault_reader;
