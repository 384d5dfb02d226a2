//! PostgreSQL: how to connect, what to read, and how to make a database again.
//!
//! A [`Dsn`] says where and how to connect; [`Connector::open`] turns it into one pinned server, and every [`Session`]
//! it opens later is proven to be with that same server. Errors of the server reach the engine through
//! [`error::from_postgres`] only, which knows what may be shown.

pub mod archive;
pub mod catalog;
pub mod check;
pub mod chunker;
pub mod connect;
pub mod copy_in;
pub mod copy_out;
pub mod dsn;
pub mod dump;
pub mod error;
pub mod identity;
mod joined_rows;
mod login;
pub mod pg_dump;
pub mod pooler;
pub mod preflight;
pub mod provider;
mod proxy;
pub mod quote;
pub mod restore_schema;
pub mod role_names;
mod route;
pub mod schema_sql;
pub mod session;
pub mod snapshot;
pub mod sql_text;
mod tls;
mod tls_stream;

pub use connect::{Connector, Endpoint, Session};
pub use dsn::{Dsn, Environment};
pub use error::from_postgres;
pub use identity::Identity;

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// A server converts a statement to the database's encoding, comments included, and refuses what it cannot convert.
    #[test]
    fn statements_in_files_can_be_sent_to_a_database_of_any_encoding() {
        fn sql_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.extension() {
                    _ if path.is_dir() => sql_files(&path, found),
                    Some(extension) if extension == "sql" => found.push(path),
                    _ => {}
                }
            }
        }
        let mut files = Vec::new();
        sql_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        assert!(files.len() > 5);
        for file in files {
            assert!(std::fs::read(&file).unwrap().is_ascii(), "{}", file.display());
        }
    }
}
