//! The command `lifeboat` as its users and their scripts meet it: the built binary, real servers, a real vault.

mod archive;
mod copies;
mod cost;
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
