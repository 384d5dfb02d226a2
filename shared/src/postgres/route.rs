//! One way to one server: where to dial, whether to encrypt, and what is needed to be let in.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use native_tls::TlsConnector;
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode as Negotiation;
use tokio_postgres::{AsyncMessage, CancelToken, Client, Config, Connection, NoTls};

use super::connect::Session;
use super::dsn::{ChannelBinding, Dsn, Host, Place, SslMode};
use super::error::{from_postgres, is_about_encryption};
use super::identity::{Identity, identity};
use super::tls_stream::{MakeTls, Waiting};
use crate::error::{Error, Result};

/// What administrators see in `pg_stat_activity`.
pub(super) const APPLICATION_NAME: &str = "lifeboat";

/// A silent peer is given up after about two minutes; load balancers see traffic before they drop a quiet connection.
pub(super) const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
pub(super) const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
pub(super) const KEEPALIVE_RETRIES: u32 = 6;

/// How the server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// As it was asked for; the server's certificate is for this name.
    pub host: Host,
    pub address: Address,
    pub encrypted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    /// The directory of a Unix socket.
    Socket(PathBuf),
}

/// One way to one server, with what is needed to be let in.
#[derive(Clone)]
pub(super) struct Route {
    pub dsn: Dsn,
    pub endpoint: Endpoint,
    pub tls: TlsConnector,
    pub password: Option<SecretString>,
    /// When the server's certificate ends, once a [`Wire`](super::login::Wire) has seen it. Shared by all clones.
    pub certificate_until: Arc<OnceLock<Option<Timestamp>>>,
}

impl Route {
    /// Opens a session with the first kind of encryption that `sslmode` allows and the server accepts, and pins it.
    pub async fn find_encryption(&mut self) -> Result<(Session, Identity)> {
        let attempts: &[bool] = match self.dsn.sslmode(&self.endpoint.host) {
            SslMode::Disable => &[false],
            SslMode::Allow => &[false, true],
            SslMode::Prefer => &[true, false],
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => &[true],
        };
        let (last, earlier) = attempts.split_last().expect("every mode has an attempt");
        for encrypted in earlier {
            self.endpoint.encrypted = *encrypted;
            match self.in_time(self.start(Waiting::Eager)).await? {
                Err(error) if is_about_encryption(&error) => {}
                started => return self.in_time(self.introduce(started)).await?,
            }
        }
        self.endpoint.encrypted = *last;
        self.session(Waiting::Eager).await
    }

    pub async fn session(&self, waiting: Waiting) -> Result<(Session, Identity)> {
        let session = async { self.introduce(self.start(waiting).await).await };
        self.in_time(session).await?
    }

    pub async fn cancel(&self, token: CancelToken) {
        let asking = async {
            if self.endpoint.encrypted {
                token.cancel_query(MakeTls::new(self.tls.clone(), Waiting::Eager)).await
            } else {
                token.cancel_query(NoTls).await
            }
        };
        match self.in_time(asking).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = from_postgres("cancelling", error);
                tracing::debug!(%error, "could not cancel a statement");
            }
            Err(error) => tracing::debug!(%error, "could not cancel a statement"),
        }
    }

    async fn introduce(&self, started: Started) -> Result<(Session, Identity)> {
        let (client, driver) = started.map_err(|e| from_postgres(&self.connecting(), e))?;
        let (identity, backend_pid) = identity(&client).await?;
        Ok((Session::new(client, backend_pid, driver), identity))
    }

    async fn start(&self, waiting: Waiting) -> Started {
        let config = self.config();
        if self.endpoint.encrypted {
            let tls = MakeTls::new(self.tls.clone(), waiting);
            let (client, connection) = config.connect(tls).await?;
            Ok((client, tokio::spawn(drive(connection))))
        } else {
            let (client, connection) = config.connect(NoTls).await?;
            Ok((client, tokio::spawn(drive(connection))))
        }
    }

    /// Gives up on `work` when the connection's timeout has passed.
    pub async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T> {
        let limit = self.dsn.connect_timeout();
        tokio::time::timeout(limit, work).await.map_err(|_| {
            Error::database(format!("no answer within {} s", limit.as_secs()))
                .hint("check host, port, security groups, firewalls and routes; `connect_timeout` changes how long to wait")
                .context(self.connecting())
        })
    }

    /// What is being done, for errors.
    pub fn connecting(&self) -> String {
        let Endpoint { host, address, .. } = &self.endpoint;
        let (database, user) = (self.dsn.database(), self.dsn.user());
        match address {
            Address::Tcp(address) if address.ip().to_string() != host.place.to_string() => {
                format!("connecting to {host}/{database} as {user} ({})", address.ip())
            }
            _ => format!("connecting to {host}/{database} as {user}"),
        }
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .user(self.dsn.user())
            .dbname(self.dsn.database())
            .application_name(APPLICATION_NAME)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .channel_binding(match self.dsn.channel_binding() {
                ChannelBinding::Disable => tokio_postgres::config::ChannelBinding::Disable,
                ChannelBinding::Prefer => tokio_postgres::config::ChannelBinding::Prefer,
                ChannelBinding::Require => tokio_postgres::config::ChannelBinding::Require,
            })
            .ssl_mode(if self.endpoint.encrypted { Negotiation::Require } else { Negotiation::Disable })
            .port(self.endpoint.host.port);
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        if let Some(options) = self.dsn.options() {
            config.options(options);
        }
        match (&self.endpoint.address, &self.endpoint.host.place) {
            (Address::Tcp(address), Place::Network { name, .. }) => config.host(name).hostaddr(address.ip()),
            (Address::Tcp(address), Place::Socket(_)) => config.hostaddr(address.ip()),
            (Address::Socket(directory), _) => config.host_path(directory),
        };
        config
    }
}

/// A client and the task that drives its connection.
type Started = Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

/// Runs a connection until its client is gone. Notices may quote rows: only their codes are logged.
async fn drive<S, T>(mut connection: Connection<S, T>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) => {
                tracing::debug!(
                    severity = notice.severity(),
                    sqlstate = notice.code().code(),
                    "notice from the server"
                );
            }
            Ok(_) => {}
            Err(error) => {
                let error = from_postgres("session ended", error);
                tracing::debug!(%error, "connection to the server lost");
                return;
            }
        }
    }
}
