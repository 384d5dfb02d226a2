//! What may be said about a PostgreSQL error.
//!
//! A server's message can quote rows: `invalid input syntax for type integer: "…"`, `Failing row contains (…)`, or
//! whatever a trigger raises. So `detail`, `where`, `hint` and the query are never shown, and the message itself only
//! when its SQLSTATE class is about objects, sessions and resources, and no function of the user was running (`where`
//! is set then). Everything else is told as SQLSTATE, its meaning, and the objects that the server names in fields of
//! their own.

use std::error::Error as _;
use std::io;

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::error::{Error, ErrorKind};

/// The one way of an error from PostgreSQL into the engine: with the kind that fits, a hint where there is something to
/// do, and nothing in it that may be a row, a parameter or a password. `doing` says what was being done, to what.
pub fn from_postgres(doing: &str, error: tokio_postgres::Error) -> Error {
    match error.as_db_error() {
        Some(db) => from_server(db),
        None => from_transport(&error),
    }
    .context(doing)
}

fn from_server(db: &DbError) -> Error {
    let (kind, hint) = kind_and_hint(db.code());
    let error = Error::new(kind, describe(db));
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn describe(db: &DbError) -> String {
    let code = db.code().code();
    let is_fatal = matches!(db.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
    if is_showable(code, db.message(), is_fatal, db.where_().is_some()) {
        return format!("{} (SQLSTATE {code})", db.message());
    }
    let mut text = format!("SQLSTATE {code}");
    if let Some(meaning) = class_meaning(code) {
        text = format!("{text}, {meaning}");
    }
    let table = match (db.schema(), db.table()) {
        (Some(schema), Some(table)) => Some(format!("{schema}.{table}")),
        (None, table) => table.map(str::to_owned),
        (Some(_), None) => None,
    };
    let objects = [
        ("table", table.as_deref()),
        ("column", db.column()),
        ("type", db.datatype()),
        ("constraint", db.constraint()),
    ];
    for (what, name) in objects {
        if let Some(name) = name {
            text = format!("{text}, {what} {name}");
        }
    }
    text
}

/// Classes whose messages, raised by the server itself, speak of objects, sessions and resources, not of rows.
/// Absent on purpose: 21, 22, 23, 44 (data), 34, 38, 39, HV (other languages and servers), P0 (RAISE), XX (anything).
const WITHOUT_ROWS: [&str; 25] = [
    "08", "0A", "0L", "0P", "0Z", "20", "24", "25", "26", "28", "2B", "2D", "3B", "3D", "3F", "40", "42", "53", "54",
    "55", "57", "58", "72", "F0", "27",
];

/// Internal errors that say which storage is damaged or which limit was hit, by the start of the server's own text.
const WITHOUT_ROWS_INTERNAL: [&str; 8] = [
    "cache lookup failed for",
    "could not open relation",
    "could not read block",
    "invalid memory alloc request size",
    "invalid page in block",
    "missing chunk number",
    "tuple concurrently",
    "unexpected chunk",
];

fn is_showable(code: &str, message: &str, is_fatal: bool, inside_a_function: bool) -> bool {
    let class = code.get(..2).unwrap_or_default();
    // A syntax error quotes the offending token, which may be a literal.
    let quotes_source = code == SqlState::SYNTAX_ERROR.code();
    // What ends a session, or never lets it begin, is about the session (poolers use XX000 for that).
    !inside_a_function
        && !quotes_source
        && (is_fatal
            || WITHOUT_ROWS.contains(&class)
            || class == "XX" && WITHOUT_ROWS_INTERNAL.iter().any(|start| message.starts_with(start)))
}

fn class_meaning(code: &str) -> Option<&'static str> {
    Some(match code.get(..2)? {
        "21" => "wrong number of rows",
        "22" => "a value is not valid here",
        "23" => "a constraint is violated",
        "38" | "39" => "a function failed",
        "42" => "the statement is not valid here",
        "44" => "a view's check option is violated",
        "HV" => "a foreign server failed",
        "P0" => "raised by a function",
        "XX" => "internal error of the server",
        _ => return None,
    })
}

fn kind_and_hint(code: &SqlState) -> (ErrorKind, Option<&'static str>) {
    use ErrorKind::{Configuration, Conflict, Database, NotFound};
    match code.code() {
        "28P01" => {
            (Configuration, Some("check user and password; a rotated secret may not have reached this configuration"))
        }
        "28000" => (
            Configuration,
            Some(
                "the server refuses this user, address or kind of encryption: check pg_hba.conf, the role's LOGIN, and `sslmode`",
            ),
        ),
        "3D000" => (NotFound, Some("check the database's name in the connection")),
        "53300" => (
            Database,
            Some(
                "all connection slots are taken: use fewer --jobs, raise max_connections or the role's CONNECTION LIMIT, or retry when it is calmer",
            ),
        ),
        "53100" => (Database, Some("the server's disk is full")),
        "53200" => (
            Database,
            Some("the server is out of memory or locks; for locks raise max_locks_per_transaction or use fewer --jobs"),
        ),
        "42501" => (
            Configuration,
            Some(
                "grant what is missing to the role; infra/sql/backup_role.sql grants all a backup needs, and `lifeboat doctor` lists what is missing",
            ),
        ),
        "25006" => (Configuration, Some("this needs a primary that accepts writes")),
        "57P03" => (Database, Some("the server is starting up or shutting down; retry in a moment")),
        "57P01" | "57P02" | "57P05" | "25P03" | "25P04" => (
            Database,
            Some(
                "the server ended the session: it was restarted, failed over, or a time-out or an administrator stepped in",
            ),
        ),
        "57014" => (Database, Some("somebody cancelled the statement, or a time-out of the server did")),
        "55P03" => (Conflict, Some("another session holds a lock on it; retry when that has finished")),
        "40001" | "40P01" => (Conflict, Some("another session, or replay on a standby, got in the way; retry")),
        "72000" => (Conflict, Some("the snapshot is gone; retry")),
        "XX001" | "XX002" => {
            (Database, Some("the server's own storage is damaged: look at its log, and keep the last good backup"))
        }
        "42P05" | "26000" => (Database, Some("if a pooler stands in between, connect to the server itself")),
        _ => (Database, None),
    }
}

fn from_transport(error: &tokio_postgres::Error) -> Error {
    if let Some(io) = io_cause(error) {
        return from_io(io);
    }
    let text = error.to_string();
    match text.as_str() {
        "error performing TLS handshake" => from_tls(&cause_text(error)),
        "authentication error" => Error::configuration(format!("authentication failed: {}", cause_text(error)))
            .hint("check the password, and `channel_binding` if it is set"),
        "invalid configuration" => Error::configuration("the server asks for a password and the connection has none")
            .hint("give one in the connection, PGPASSWORD or ~/.pgpass (which only its owner may read)"),
        "connection closed" => lost(),
        "timeout waiting for server" => Error::database("the server did not answer in time"),
        // The rest are about our own use of the protocol and hold positions and names of columns only.
        _ => Error::bug(text),
    }
}

pub(super) fn lost() -> Error {
    Error::database("the connection was lost")
        .hint("the server restarted or failed over, or something on the way drops long connections; retry")
}

/// An operating system's error; its own text holds an address at most.
pub(super) fn from_io(error: &io::Error) -> Error {
    use io::ErrorKind::*;
    let hint = match error.kind() {
        ConnectionRefused => {
            "nothing listens there: check host and port, and that the server runs and listens on that address"
        }
        NotFound => "no socket there: the server is down or uses another unix_socket_directories or port",
        PermissionDenied => "this user may not open the socket",
        TimedOut | HostUnreachable => "nothing answers: check host, security groups, firewalls and routes",
        NetworkUnreachable => {
            "no route to that address; a host with only an IPv6 address cannot be reached from an IPv4 network"
        }
        ConnectionReset | ConnectionAborted | BrokenPipe | UnexpectedEof => return lost(),
        _ => return Error::database(error.to_string()),
    };
    Error::database(error.to_string()).hint(hint)
}

/// What OpenSSL says about a handshake, with the way out.
pub(super) fn from_tls(said: &str) -> Error {
    if said.contains("does not support TLS") {
        return Error::configuration("the server does not offer TLS")
            .hint("switch it on at the server (ssl = on); on a network you trust entirely, `sslmode=prefer` accepts an unencrypted connection");
    }
    if said.contains("unexpected EOF") {
        return lost();
    }
    let error = Error::configuration(format!("TLS failed: {said}"));
    if said.contains("hostname mismatch") || said.contains("IP address mismatch") {
        return error.hint(
            "the certificate is for another name: connect by the name in the certificate, or use `sslmode=verify-ca`",
        );
    }
    if said.contains("certificate verify failed") {
        return error.hint("the certificate's issuer is not trusted, or it has expired: give the issuer's certificate as `sslrootcert` (for RDS the region's bundle)");
    }
    error
}

fn cause_text(error: &tokio_postgres::Error) -> String {
    error.source().map(ToString::to_string).unwrap_or_default()
}

/// A server that goes away in the middle of a handshake is a lost connection, however deep the driver buries that.
fn io_cause(error: &tokio_postgres::Error) -> Option<&io::Error> {
    const ABOUT_THE_WIRE: [&str; 3] =
        ["error connecting to server", "error communicating with the server", "error performing TLS handshake"];
    if !ABOUT_THE_WIRE.contains(&error.to_string().as_str()) {
        return None;
    }
    io_within(error.source()?)
}

fn io_within<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a io::Error> {
    std::iter::successors(Some(error), |&cause| cause.source()).find_map(|cause| cause.downcast_ref())
}

/// Why a handshake failed.
pub(super) fn from_handshake(error: &(dyn std::error::Error + 'static)) -> Error {
    io_within(error).map_or_else(|| from_tls(&error.to_string()), from_io)
}

/// Whether another kind of encryption may work where this one was refused.
pub(super) fn is_about_encryption(error: &tokio_postgres::Error) -> bool {
    error.to_string() == "error performing TLS handshake"
        || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_may_quote_rows_are_not_shown() {
        for (code, message) in [
            ("22P02", "invalid input syntax for type integer: \"4111-1111\""),
            ("23505", "duplicate key value violates unique constraint"),
            ("P0001", "balance of Ann is 7"),
            ("XX000", "parse error near POINT(1 2)"),
            ("42601", "syntax error at or near \"'hunter2'\""),
            ("HV000", "remote said: Ann"),
            ("", "Ann"),
        ] {
            assert!(!is_showable(code, message, false, false), "{code}");
        }
    }

    #[test]
    fn what_a_function_of_the_user_raises_is_not_shown_whatever_its_code() {
        assert!(is_showable("42501", "permission denied for table t", false, false));
        assert!(!is_showable("42501", "Ann may not see 7", false, true));
    }

    #[test]
    fn why_a_session_ends_is_shown_whatever_its_code() {
        assert!(is_showable("XX000", "Tenant or user not found", true, false));
        assert!(!is_showable("XX000", "Tenant or user not found", false, false));
    }

    #[test]
    fn damage_and_limits_inside_the_server_are_shown() {
        assert!(is_showable("XX001", "missing chunk number 0 for toast value 5 in pg_toast_1", false, false));
        assert!(is_showable("XX000", "invalid memory alloc request size 1073741824", false, false));
    }

    #[test]
    fn kinds_follow_what_can_be_done_about_it() {
        let kind = |code: &str| kind_and_hint(&SqlState::from_code(code)).0;
        assert_eq!(kind("28P01"), ErrorKind::Configuration);
        assert_eq!(kind("3D000"), ErrorKind::NotFound);
        assert_eq!(kind("53300"), ErrorKind::Database);
        assert_eq!(kind("55P03"), ErrorKind::Conflict);
        assert_eq!(kind("42501"), ErrorKind::Configuration);
        assert_eq!(kind("57P01"), ErrorKind::Database);
    }

    #[test]
    fn a_certificate_problem_names_its_way_out() {
        let untrusted = from_tls("certificate verify failed (self-signed certificate in certificate chain)");
        assert!(untrusted.hint_text().unwrap().contains("sslrootcert"));
        let other_name = from_tls("certificate verify failed: hostname mismatch");
        assert!(other_name.hint_text().unwrap().contains("verify-ca"));
    }
}
