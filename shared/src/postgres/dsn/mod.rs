//! Where a database is and how to connect to it: the data source name.
//!
//! Three spellings give the same parameters, under libpq's names: a URL ([`url`]), `key=value` pairs ([`conninfo`]) and
//! the JSON of a managed secret ([`secret_json`]). What they leave out comes from `PG*` variables, then from defaults.
//! Parsing touches neither network nor disk, and no error, `Display` or `Debug` ever holds a password or a value that
//! might be a piece of one (a badly encoded URL can put parts of its password anywhere, so values are never echoed).
//!
//! Encryption when nothing is said: `prefer` on this machine (sockets and loopback), `require` over a network, so that
//! rows never travel in the clear without somebody having asked for it; `verify-full` as soon as `sslrootcert` is given.
//! libpq would take `prefer` everywhere, which an attacker on the path turns into no encryption at all.

mod conninfo;
mod params;
pub mod passfile;
mod secret_json;
mod url;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use self::params::Params;
use crate::error::{Error, Result};

const DEFAULT_PORT: u16 = 5432;
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Where servers put their socket when nobody says otherwise: Debian's and Red Hat's place, then PostgreSQL's own.
const DEFAULT_SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// Where and how to connect. `Display` and `Debug` show `host:port/database as user`, nothing else.
#[derive(Clone)]
pub struct Dsn {
    hosts: Vec<Host>,
    user: String,
    database: String,
    password: Option<SecretString>,
    passfile: Option<PathBuf>,
    sslmode: Option<SslMode>,
    roots: Roots,
    client_certificate: Option<ClientCertificate>,
    channel_binding: ChannelBinding,
    connect_timeout: Duration,
    session_attrs: SessionAttrs,
    options: Option<String>,
}

/// One place where the server may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    pub place: Place,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A name or address; `address`, if given, is where to go instead of asking DNS. Certificates are for `name`.
    Network { name: String, address: Option<IpAddr> },
    /// The directory of a Unix socket.
    Socket(PathBuf),
}

/// libpq's `sslmode`, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Whom to trust as issuer of the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// Nothing was said: the system's store, where a certificate is verified at all.
    Unsaid,
    /// `sslrootcert=system`.
    System,
    /// The certificates of this PEM file, and no others.
    File(PathBuf),
}

/// `sslcert` and `sslkey`: PEM files, the key in PKCS #8.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

/// libpq's `target_session_attrs`: which of several servers will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionAttrs {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// The variables that fill what a data source name leaves out. Holds `PGPASSWORD`, so it has no `Debug`.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process that matter here.
    pub fn of_process() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let wanted = |name: &String| name.starts_with("PG") || ["HOME", "USER", "LOGNAME"].contains(&name.as_str());
        Self(pairs.into_iter().map(|(n, v)| (n.into(), v.into())).filter(|(n, _)| wanted(n)).collect())
    }
}

impl Dsn {
    /// Reads a URL, `key=value` pairs or a secret's JSON; the environment fills what `text` leaves out.
    ///
    /// Fails with kind `Configuration`, naming the parameter but never its value.
    pub fn parse(text: &str, environment: &Environment) -> Result<Self> {
        let text = text.trim();
        let params = if let Some(rest) = url::without_scheme(text) {
            url::parse(rest)?
        } else if text.starts_with('{') {
            secret_json::parse(text, environment)?
        } else if text.contains('=') {
            conninfo::parse(text)?
        } else {
            return Err(Error::configuration(
                "the connection is neither a postgres:// URL, nor key=value pairs, nor a secret's JSON",
            )
            .hint("write postgres://user@host:5432/database"));
        };
        Self::from_params(params, environment)
    }

    /// A connection described by `PG*` variables and defaults alone.
    pub fn from_environment(environment: &Environment) -> Result<Self> {
        Self::from_params(Params::default(), environment)
    }

    fn from_params(mut params: Params, environment: &Environment) -> Result<Self> {
        params.fill_from(environment);
        let user = match params.take("user") {
            Some(user) => user,
            None => environment
                .get("USER")
                .or(environment.get("LOGNAME"))
                .map(str::to_owned)
                .ok_or_else(|| Error::configuration("the connection names no user"))?,
        };
        let roots = match params.take("sslrootcert").as_deref() {
            None => Roots::Unsaid,
            Some("system") => Roots::System,
            Some(path) => Roots::File(path.into()),
        };
        Ok(Self {
            hosts: params.take_hosts()?,
            database: params.take("dbname").unwrap_or_else(|| user.clone()),
            user,
            password: params.take("password").map(SecretString::from),
            passfile: params
                .take("passfile")
                .map(PathBuf::from)
                .or_else(|| Some(Path::new(environment.get("HOME")?).join(".pgpass"))),
            sslmode: sslmode_of(&mut params, &roots)?,
            roots,
            client_certificate: params.take_client_certificate()?,
            channel_binding: params.take_choice("channel_binding", CHANNEL_BINDINGS)?.unwrap_or(ChannelBinding::Prefer),
            connect_timeout: params.take_seconds("connect_timeout")?.unwrap_or(DEFAULT_CONNECT_TIMEOUT),
            session_attrs: params.take_choice("target_session_attrs", SESSION_ATTRS)?.unwrap_or(SessionAttrs::Any),
            options: params.take("options"),
        })
    }

    /// Never empty; the first that answers is used.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    pub fn password(&self) -> Option<&SecretString> {
        self.password.as_ref()
    }

    /// The file to look the password up in when the connection itself has none. It need not exist.
    pub fn passfile(&self) -> Option<&Path> {
        self.passfile.as_deref()
    }

    /// The encryption asked for at `host`, or its default.
    pub fn sslmode(&self, host: &Host) -> SslMode {
        match (&host.place, self.sslmode) {
            // As libpq: a socket is this machine, whatever was asked for the network.
            (Place::Socket(_), _) => SslMode::Disable,
            (_, Some(mode)) => mode,
            (_, None) if self.roots != Roots::Unsaid => SslMode::VerifyFull,
            (Place::Network { name, address }, None) if is_loopback(name, *address) => SslMode::Prefer,
            (_, None) => SslMode::Require,
        }
    }

    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    pub fn client_certificate(&self) -> Option<&ClientCertificate> {
        self.client_certificate.as_ref()
    }

    pub fn channel_binding(&self) -> ChannelBinding {
        self.channel_binding
    }

    /// For one attempt at one address, from the first packet to the end of authentication.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    pub fn session_attrs(&self) -> SessionAttrs {
        self.session_attrs
    }

    /// Command-line options for the server process (`-c name=value`), as given.
    pub fn options(&self) -> Option<&str> {
        self.options.as_deref()
    }

    /// The same server, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }
}

const CHANNEL_BINDINGS: &[(&str, ChannelBinding)] =
    &[("disable", ChannelBinding::Disable), ("prefer", ChannelBinding::Prefer), ("require", ChannelBinding::Require)];

const SESSION_ATTRS: &[(&str, SessionAttrs)] = &[
    ("any", SessionAttrs::Any),
    ("read-write", SessionAttrs::ReadWrite),
    ("read-only", SessionAttrs::ReadOnly),
    ("primary", SessionAttrs::Primary),
    ("standby", SessionAttrs::Standby),
    ("prefer-standby", SessionAttrs::PreferStandby),
];

const SSL_MODES: &[(&str, SslMode)] = &[
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

impl SslMode {
    /// libpq's word for it.
    pub fn name(self) -> &'static str {
        SSL_MODES.iter().find(|(_, mode)| *mode == self).expect("every mode has its word").0
    }
}

fn sslmode_of(params: &mut Params, roots: &Roots) -> Result<Option<SslMode>> {
    let mode = params.take_choice("sslmode", SSL_MODES)?;
    match mode {
        // As libpq: trusting every public authority without looking at the name proves nothing.
        Some(mode) if *roots == Roots::System && mode < SslMode::VerifyFull => {
            Err(Error::configuration("`sslrootcert=system` needs `sslmode=verify-full`"))
        }
        mode => Ok(mode),
    }
}

fn is_loopback(name: &str, address: Option<IpAddr>) -> bool {
    match address.or_else(|| name.parse().ok()) {
        Some(address) => address.is_loopback(),
        None => name.eq_ignore_ascii_case("localhost"),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network { name, .. } if name.contains(':') => write!(f, "[{name}]"),
            Self::Network { name, .. } => f.write_str(name),
            Self::Socket(directory) => write!(f, "{}", directory.display()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.place, self.port)
    }
}

impl fmt::Display for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, host) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}", if i == 0 { "" } else { "," })?;
        }
        write!(f, "/{} as {}", self.database, self.user)
    }
}

impl fmt::Debug for Dsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dsn({self})")
    }
}

#[cfg(test)]
mod tests;
