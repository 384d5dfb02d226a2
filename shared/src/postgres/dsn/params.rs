//! Connection parameters under libpq's names, whatever spelling they came from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::{ClientCertificate, DEFAULT_PORT, DEFAULT_SOCKET_DIRECTORIES, Environment, Host, Place};
use crate::error::{Error, Result};

/// Parameters that Lifeboat honours, with the variable that stands in for each.
const HONOURED: &[(&str, Option<&str>)] = &[
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("port", Some("PGPORT")),
    ("dbname", Some("PGDATABASE")),
    ("user", Some("PGUSER")),
    ("password", Some("PGPASSWORD")),
    ("passfile", Some("PGPASSFILE")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslkey", Some("PGSSLKEY")),
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("options", Some("PGOPTIONS")),
];

/// Parameters that change nothing about what is read or how safely: accepted and dropped.
const WITHOUT_EFFECT: &[&str] = &[
    "application_name",
    "fallback_application_name",
    "client_encoding",
    "gssencmode",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "load_balance_hosts",
    "sslcompression",
    "sslsni",
    "tcp_user_timeout",
];

/// libpq knows these; dropping them silently could connect less safely, or elsewhere, than was asked.
const UNSUPPORTED: &[&str] = &[
    "gsslib",
    "krbsrvname",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslkeylogfile",
    "sslnegotiation",
    "sslpassword",
];

/// From here on a misspelt name is close enough to a known one that it cannot be a piece of a password.
const CLEARLY_MEANT: f64 = 0.85;

#[derive(Default)]
pub(super) struct Params(BTreeMap<&'static str, String>);

impl Params {
    /// Sets a parameter as libpq does: the last one counts, an empty one is one that was not given.
    pub fn set(&mut self, name: &str, value: String) -> Result<()> {
        if let Some((name, _)) = HONOURED.iter().find(|(known, _)| *known == name) {
            if value.is_empty() {
                self.0.remove(name);
            } else {
                self.0.insert(name, value);
            }
            return Ok(());
        }
        match name {
            // JDBC's way to say it, understood by libpq too.
            "ssl" if value == "true" => self.set("sslmode", "require".to_owned()),
            _ if WITHOUT_EFFECT.contains(&name) => Ok(()),
            _ if UNSUPPORTED.contains(&name) => {
                Err(Error::configuration(format!("the connection parameter `{name}` is not supported"))
                    .hint("remove it from the connection"))
            }
            _ => Err(unknown(name)),
        }
    }

    pub fn fill_from(&mut self, environment: &Environment) {
        for (name, variable) in HONOURED {
            if let Some(value) = variable.and_then(|v| environment.get(v)) {
                self.0.entry(name).or_insert_with(|| value.to_owned());
            }
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub fn take_choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Result<Option<T>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        match choices.iter().find(|(word, _)| *word == value) {
            Some((_, choice)) => Ok(Some(*choice)),
            None => {
                let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
                Err(Error::configuration(format!("`{name}` must be one of {}", words.join(", "))))
            }
        }
    }

    /// Whole seconds; as in libpq zero, negative and missing all mean the default.
    pub fn take_seconds(&mut self, name: &str) -> Result<Option<Duration>> {
        let Some(value) = self.take(name) else {
            return Ok(None);
        };
        let seconds: i32 =
            value.parse().map_err(|_| Error::configuration(format!("`{name}` must be a whole number of seconds")))?;
        Ok(u64::try_from(seconds).ok().filter(|s| *s > 0).map(Duration::from_secs))
    }

    pub fn take_client_certificate(&mut self) -> Result<Option<ClientCertificate>> {
        match (self.take("sslcert"), self.take("sslkey")) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => {
                Ok(Some(ClientCertificate { certificate: certificate.into(), key: key.into() }))
            }
            _ => Err(Error::configuration("`sslcert` and `sslkey` must be given together")),
        }
    }

    pub fn take_hosts(&mut self) -> Result<Vec<Host>> {
        let names = self.take_list("host");
        let addresses = parse_addresses(&self.take_list("hostaddr"))?;
        let ports = parse_ports(&self.take_list("port"))?;
        let places = places(names, addresses)?;
        if ports.len() > 1 && ports.len() != places.len() {
            return Err(Error::configuration("`port` must name one port, or as many as there are hosts"));
        }
        let port_of = |i: usize| *ports.get(i).or(ports.first()).unwrap_or(&DEFAULT_PORT);
        Ok(places.into_iter().enumerate().map(|(i, place)| Host { place, port: port_of(i) }).collect())
    }

    fn take_list(&mut self, name: &str) -> Vec<String> {
        self.take(name).map(|list| list.split(',').map(|item| item.trim().to_owned()).collect()).unwrap_or_default()
    }
}

fn places(names: Vec<String>, addresses: Vec<Option<IpAddr>>) -> Result<Vec<Place>> {
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err(Error::configuration("`hostaddr` must have as many entries as `host`"));
    }
    if names.is_empty() && addresses.is_empty() {
        return Ok(default_places());
    }
    let count = names.len().max(addresses.len());
    let mut places = Vec::with_capacity(count);
    for i in 0..count {
        let name = names.get(i).filter(|n| !n.is_empty());
        let address = addresses.get(i).copied().flatten();
        match (name, address) {
            (Some(name), _) if name.starts_with('/') => places.push(Place::Socket(name.into())),
            (Some(name), address) => places.push(network(name, address)?),
            (None, Some(address)) => places.push(network(&address.to_string(), Some(address))?),
            (None, None) => places.extend(default_places()),
        }
    }
    Ok(places)
}

fn network(name: &str, address: Option<IpAddr>) -> Result<Place> {
    let plausible = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if !name.chars().all(plausible) {
        return Err(Error::configuration("`host` is neither a host name, nor an address, nor an absolute directory")
            .hint(ENCODE));
    }
    Ok(Place::Network { name: name.to_owned(), address: address.or_else(|| name.parse().ok()) })
}

pub(super) const ENCODE: &str = "in a URL, characters such as / ? # : @ and % in the user name or password must be percent-encoded (@ is %40, / is %2F)";

fn default_places() -> Vec<Place> {
    DEFAULT_SOCKET_DIRECTORIES.iter().map(|directory| Place::Socket(PathBuf::from(directory))).collect()
}

fn parse_addresses(list: &[String]) -> Result<Vec<Option<IpAddr>>> {
    list.iter()
        .map(|item| match item.as_str() {
            "" => Ok(None),
            address => address.parse().map(Some).map_err(|_| Error::configuration("`hostaddr` must be an IP address")),
        })
        .collect()
}

fn parse_ports(list: &[String]) -> Result<Vec<u16>> {
    list.iter()
        .map(|item| match item.as_str() {
            "" => Ok(DEFAULT_PORT),
            port => port
                .parse()
                .ok()
                .filter(|p| *p != 0)
                .ok_or_else(|| Error::configuration("the port must be a number from 1 to 65535").hint(ENCODE)),
        })
        .collect()
}

fn unknown(name: &str) -> Error {
    let (nearest, likeness) = HONOURED
        .iter()
        .map(|(known, _)| (*known, strsim::jaro_winkler(known, name)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .expect("there are known parameters");
    if likeness >= CLEARLY_MEANT {
        return Error::configuration(format!("`{name}` is not a connection parameter; did you mean `{nearest}`?"));
    }
    let all: Vec<&str> = HONOURED.iter().map(|(known, _)| *known).collect();
    Error::configuration(format!("the connection has an unknown parameter; the nearest known one is `{nearest}`"))
        .hint(format!("known are {}; {ENCODE}", all.join(", ")))
}
