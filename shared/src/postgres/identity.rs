//! Which server and database a session is with.
//!
//! Addresses that balance (reader endpoints, HAProxy, pgpool) give each connection to another server, where an exported
//! snapshot does not exist, or worse, means something else. So every session is compared with the first.

use jiff::Timestamp;
use tokio_postgres::Client;

use super::error::from_postgres;
use crate::error::{Error, Result};

/// What tells one running server, and one database in it, from every other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Drawn at initdb; a standby shares it with its primary.
    pub system_identifier: i64,
    /// To the microsecond: differs between a primary and its standbys, and after each restart.
    pub postmaster_start: Timestamp,
    /// The server's own address for this connection; none over a Unix socket.
    pub server_address: Option<String>,
    pub database_oid: u32,
    pub database: String,
    /// As the server counts: 170004 is 17.4.
    pub server_version_num: u32,
    pub server_version: String,
    pub server_encoding: String,
    /// A standby, replaying another server's WAL.
    pub in_recovery: bool,
    /// Transactions of this session are read-only unless they say otherwise.
    pub read_only: bool,
}

impl Identity {
    pub fn server_major(&self) -> u32 {
        self.server_version_num / 10_000
    }

    /// Fails with kind `Conflict` unless `other` is the same running server.
    pub fn require_same_server(&self, other: &Self) -> Result<()> {
        let different = |what: &str, ours: &dyn std::fmt::Display, theirs: &dyn std::fmt::Display| {
            Err(Error::conflict(format!(
                "two connections reached different servers: {what} {ours} and {theirs}"
            ))
            .hint("the address balances between servers, or the server was restarted meanwhile: connect to one server's own address"))
        };
        if self.system_identifier != other.system_identifier {
            let (ours, theirs) = (self.system_identifier, other.system_identifier);
            return different("system identifier", &ours, &theirs);
        }
        if self.postmaster_start != other.postmaster_start {
            let (ours, theirs) = (self.postmaster_start, other.postmaster_start);
            return different("started at", &ours, &theirs);
        }
        if self.server_address != other.server_address {
            let shown = |i: &Self| i.server_address.clone().unwrap_or("a socket".to_owned());
            return different("address", &shown(self), &shown(other));
        }
        Ok(())
    }

    /// Fails with kind `Conflict` unless `other` is the same running server and the same database, which a drop and
    /// create under the same name is not.
    pub fn require_same_database(&self, other: &Self) -> Result<()> {
        self.require_same_server(other)?;
        if self.database_oid != other.database_oid {
            return Err(Error::conflict(format!("database {} was dropped and created again meanwhile", self.database))
                .hint("start over"));
        }
        Ok(())
    }
}

/// Asks the server at the other end who it is; also its process id for this session, which behind a transaction pooler
/// changes from one transaction to the next.
///
/// Leaves nothing behind in the session: it may belong to a pooler, whose other clients would inherit it.
pub async fn identity(client: &Client) -> Result<(Identity, i32)> {
    const DOING: &str = "asking the server for its identity";
    let rows = client.query_typed(include_str!("sql/identity.sql"), &[]).await.map_err(|e| from_postgres(DOING, e))?;
    let row = rows.first().ok_or_else(|| Error::database(DOING).hint("it knows no current database"))?;
    read(row).map_err(|e| from_postgres(DOING, e))
}

fn read(row: &tokio_postgres::Row) -> Result<(Identity, i32), tokio_postgres::Error> {
    let version: i32 = row.try_get("server_version_num")?;
    let oid: i64 = row.try_get("database_oid")?;
    let started_us: i64 = row.try_get("postmaster_start_us")?;
    let identity = Identity {
        system_identifier: row.try_get("system_identifier")?,
        postmaster_start: Timestamp::from_microsecond(started_us).unwrap_or_default(),
        server_address: row.try_get("server_address")?,
        database_oid: u32::try_from(oid).unwrap_or_default(),
        database: row.try_get("database")?,
        server_version_num: version.unsigned_abs(),
        server_version: row.try_get("server_version")?,
        server_encoding: row.try_get("server_encoding")?,
        in_recovery: row.try_get("in_recovery")?,
        read_only: row.try_get("read_only")?,
    };
    Ok((identity, row.try_get("backend_pid")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn server() -> Identity {
        Identity {
            system_identifier: 7,
            postmaster_start: Timestamp::from_second(1_000_000).unwrap(),
            server_address: Some("10.0.0.7".into()),
            database_oid: 16384,
            database: "shop".into(),
            server_version_num: 170_004,
            server_version: "17.4".into(),
            server_encoding: "UTF8".into(),
            in_recovery: false,
            read_only: false,
        }
    }

    #[test]
    fn a_standby_of_the_same_cluster_is_another_server() {
        let standby =
            Identity { postmaster_start: Timestamp::from_second(1_000_001).unwrap(), in_recovery: true, ..server() };
        let error = server().require_same_server(&standby).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("started at"));
    }

    #[test]
    fn a_recreated_database_is_another_database_on_the_same_server() {
        let recreated = Identity { database_oid: 16999, ..server() };
        assert!(server().require_same_server(&recreated).is_ok());
        assert!(server().require_same_database(&recreated).is_err());
    }

    #[test]
    fn the_same_server_is_the_same_after_a_promotion() {
        let promoted = Identity { in_recovery: true, ..server() };
        assert!(server().require_same_database(&promoted).is_ok());
    }
}
