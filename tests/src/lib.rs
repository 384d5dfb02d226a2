//! The test bed, from Rust: real PostgreSQL servers of every supported version, the client tools and an AWS stand-in.
//!
//! [`Bed`] starts what a test asks for through `tests/bed/bed`, which has the mechanics; what is shared stays up for the
//! next test and the next run. Whatever cannot be provided panics with the bed's own words: a test has no way to go on.

mod bed;
pub mod data;
mod dump;
mod moto;
mod private;
mod server;
mod soak;

pub use bed::{Bed, MAJORS, Tools};
pub use dump::{dump_of, dumped_objects};
pub use moto::Moto;
pub use private::{PrivateServer, Stop};
pub use server::{Server, TestDb};
pub use soak::soak;
