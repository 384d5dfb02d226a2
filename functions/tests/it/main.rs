//! The functions as Lambda runs them: the real programs, on a Lambda Runtime API, against real PostgreSQL servers and an AWS
//! stand-in.

mod backup;
mod events;
mod http;
mod metrics;
mod others;
mod restore;
mod sandbox;
mod stack;
mod validate;
