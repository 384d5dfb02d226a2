//! Connections: one server, found once, pinned, and reached the same way every time.
//!
//! [`Connector::open`] resolves the name, tries its addresses and the kinds of encryption that `sslmode` allows, and
//! pins what worked: one address, encrypted or not. Certificates are checked against the name that was asked for, not
//! the address. Every later [`Session`] goes to that address and must find the same running server and database there.

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::dsn::{Dsn, Host, Place, SessionAttrs, passfile};
use super::identity::Identity;
use super::login::Wire;
use super::provider::unreachable_hint;
use super::route::Route;
pub use super::route::{Address, Endpoint};
use super::tls::{is_checked, tls_connector};
use super::tls_stream::Waiting;
use crate::error::{Error, ErrorKind, Result};

/// Opens sessions with one database on one server. Cheap to clone, may cross threads.
#[derive(Clone)]
pub struct Connector(Arc<Pinned>);

struct Pinned {
    route: Route,
    identity: Identity,
}

/// A session of its own on the server. The connection is driven by a task of the runtime that opened it; dropping the
/// session ends both.
pub struct Session {
    client: Client,
    backend_pid: i32,
    driver: JoinHandle<()>,
}

impl Session {
    pub(super) fn new(client: Client, backend_pid: i32, driver: JoinHandle<()>) -> Self {
        Self { client, backend_pid, driver }
    }

    /// The server process, as `pg_stat_activity` shows it.
    pub fn backend_pid(&self) -> i32 {
        self.backend_pid
    }

    /// Ends the session and waits until the server has been told.
    pub async fn close(self) {
        drop(self.client);
        // The driver only ends early by panicking, and then there is nothing left to wait for.
        let _ = self.driver.await;
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

impl Connector {
    /// Finds the server and pins it: the first host and address that answers and has the session attributes asked for.
    ///
    /// Fails with kind `Configuration` when the server refuses us (password, encryption, certificate), `NotFound` when
    /// it has no such database, `Database` when no address answers.
    pub async fn open(dsn: &Dsn) -> Result<Self> {
        let mut unreachable = None;
        for wanted in rounds(dsn.session_attrs()) {
            for host in dsn.hosts() {
                match Self::open_host(dsn, host, *wanted).await {
                    Err(error) if error.kind() == ErrorKind::Database => unreachable = Some(error),
                    done => return done,
                }
            }
        }
        let error = unreachable.unwrap_or_else(|| Error::configuration("the connection names no host"));
        let known = dsn.hosts().iter().find_map(|host| unreachable_hint(&host.place.to_string()));
        Err(match known {
            Some(hint) => error.hint(hint),
            None => error,
        })
    }

    async fn open_host(dsn: &Dsn, host: &Host, wanted: SessionAttrs) -> Result<Self> {
        let tls = tls_connector(dsn, dsn.sslmode(host)).await?;
        let password = password(dsn, host).await;
        let mut unreachable = None;
        for address in resolve(host, dsn.connect_timeout()).await? {
            let mut route = Route {
                dsn: dsn.clone(),
                endpoint: Endpoint { host: host.clone(), address, encrypted: false },
                tls: tls.clone(),
                password: password.clone(),
                certificate_until: Arc::default(),
            };
            match route.find_encryption().await {
                Ok((session, identity)) => {
                    session.close().await;
                    require_attributes(host, wanted, &identity)?;
                    return Ok(Self(Arc::new(Pinned { route, identity })));
                }
                Err(error) if error.kind() == ErrorKind::Database => unreachable = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(unreachable.unwrap_or_else(|| Error::database(format!("{host} has no address"))))
    }

    /// A new session, proven to be with the pinned server and database. Its connection runs on the current runtime.
    ///
    /// Fails with kind `Conflict` when another server, or a database made anew under the same name, answers.
    pub async fn connect(&self) -> Result<Session> {
        self.connect_waiting(Waiting::Eager).await
    }

    /// The same for who reads many rows and has the current runtime to himself: he may wait a millisecond for more of them.
    pub async fn connect_patient(&self) -> Result<Session> {
        self.connect_waiting(Waiting::Patient).await
    }

    async fn connect_waiting(&self, waiting: Waiting) -> Result<Session> {
        let (session, found) = self.0.route.session(waiting).await?;
        self.0.identity.require_same_database(&found)?;
        Ok(session)
    }

    /// The same for another database of this server.
    pub async fn open_database(&self, database: &str) -> Result<Self> {
        let route = Route { dsn: self.0.route.dsn.with_database(database), ..self.0.route.clone() };
        let (session, identity) = route.session(Waiting::Eager).await?;
        session.close().await;
        self.0.identity.require_same_server(&identity)?;
        Ok(Self(Arc::new(Pinned { route, identity })))
    }

    /// When the server's certificate ends, as pg_dump's connection showed it, or else one made for this. `None` where nothing
    /// depends on that: it is not checked, or there is none.
    pub async fn certificate_until(&self) -> Option<Timestamp> {
        let route = &self.0.route;
        if !route.endpoint.encrypted || !is_checked(&route.dsn, route.dsn.sslmode(&route.endpoint.host)) {
            return None;
        }
        if route.certificate_until.get().is_none()
            && let Err(error) = route.in_time(Wire::open(route)).await.and_then(|opened| opened)
        {
            tracing::debug!(%error, "could not look at the server's certificate");
        }
        route.certificate_until.get().copied().flatten()
    }

    /// Asks the server to stop what `session` is doing. That may come too late, or not at all: nobody is told.
    pub async fn cancel(&self, session: &Session) {
        self.0.route.cancel(session.cancel_token()).await;
    }

    /// The server and database that every session is with.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.0.route.endpoint
    }

    pub fn dsn(&self) -> &Dsn {
        &self.0.route.dsn
    }

    pub(super) fn route(&self) -> &Route {
        &self.0.route
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connector({})", self.0.route.dsn)
    }
}

/// Which servers to accept, one round over all hosts after another.
fn rounds(wanted: SessionAttrs) -> &'static [SessionAttrs] {
    match wanted {
        SessionAttrs::Any => &[SessionAttrs::Any],
        SessionAttrs::ReadWrite => &[SessionAttrs::ReadWrite],
        SessionAttrs::ReadOnly => &[SessionAttrs::ReadOnly],
        SessionAttrs::Primary => &[SessionAttrs::Primary],
        SessionAttrs::Standby => &[SessionAttrs::Standby],
        SessionAttrs::PreferStandby => &[SessionAttrs::Standby, SessionAttrs::Any],
    }
}

fn require_attributes(host: &Host, wanted: SessionAttrs, found: &Identity) -> Result<()> {
    let problem = match wanted {
        SessionAttrs::Primary if found.in_recovery => "is a standby",
        SessionAttrs::Standby if !found.in_recovery => "is not a standby",
        SessionAttrs::ReadWrite if found.in_recovery || found.read_only => "is read-only",
        SessionAttrs::ReadOnly if !found.in_recovery && !found.read_only => "is not read-only",
        _ => return Ok(()),
    };
    Err(Error::database(format!("{host} {problem}")).hint("`target_session_attrs` asks for another kind of server"))
}

async fn resolve(host: &Host, timeout: Duration) -> Result<Vec<Address>> {
    let name = match &host.place {
        Place::Socket(directory) => return Ok(vec![Address::Socket(directory.clone())]),
        Place::Network { address: Some(address), .. } => return Ok(vec![Address::Tcp((*address, host.port).into())]),
        Place::Network { name, .. } => name,
    };
    let failed = |error: io::Error| {
        Error::database(format!("cannot resolve host {name}: {error}"))
            .hint("check the host's name, and that this network can resolve it")
    };
    let lookup = tokio::net::lookup_host((name.as_str(), host.port));
    let found = tokio::time::timeout(timeout, lookup)
        .await
        .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
        .map_err(failed)?;
    Ok(found.map(Address::Tcp).collect())
}

async fn password(dsn: &Dsn, host: &Host) -> Option<SecretString> {
    if let Some(password) = dsn.password() {
        return Some(password.clone());
    }
    let path = dsn.passfile()?;
    let readable_by_others = tokio::fs::metadata(path).await.ok().map(|file| {
        use std::os::unix::fs::PermissionsExt;
        file.permissions().mode() & 0o077 != 0
    })?;
    if readable_by_others {
        tracing::warn!(path = %path.display(), "ignoring a password file that others may read; chmod 600 it");
        return None;
    }
    let contents = tokio::fs::read_to_string(path).await.ok()?;
    passfile::lookup(&contents, host, dsn.database(), dsn.user())
}
