//! The command `lifeboat` as its users and their scripts meet it: the built binary, real servers, a real vault.

mod archive;
mod audit;
mod copies;
mod cost;
mod drill;
mod exit_codes;
mod help;
mod notify;
mod runbooks;
mod secrets;
mod shell;
mod signals;
mod stats;
mod status;
mod verbs;
