//! `postgres://user:password@host:port,host:port/database?name=value&…`, libpq's grammar, which is not that of the web:
//! several hosts, sockets as percent-encoded hosts, no fragments.

use super::params::{ENCODE, Params};
use crate::error::{Error, Result};

/// What follows the scheme, if `text` is a PostgreSQL URL.
pub(super) fn without_scheme(text: &str) -> Option<&str> {
    ["postgres://", "postgresql://"].iter().find_map(|scheme| {
        let (head, rest) = text.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

pub(super) fn parse(rest: &str) -> Result<Params> {
    let mut params = Params::default();
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    // The last @, not the first: a host never holds one, a badly encoded password may.
    let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    params.set("user", decode(user)?)?;
    params.set("password", decode(password)?)?;
    set_hosts(&mut params, hosts)?;
    params.set("dbname", database(path)?)?;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair
            .split_once('=')
            .ok_or_else(|| Error::configuration("a parameter of the connection URL has no value").hint(ENCODE))?;
        params.set(&decode(name)?, decode(value)?)?;
    }
    Ok(params)
}

fn database(path: &str) -> Result<String> {
    let name = path.strip_prefix('/').unwrap_or(path);
    if name.contains(['/', '@']) {
        return Err(Error::configuration("the connection URL has a / or @ in the database's place").hint(ENCODE));
    }
    decode(name)
}

fn set_hosts(params: &mut Params, hosts: &str) -> Result<()> {
    if hosts.is_empty() {
        return Ok(());
    }
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = split_port(host)?;
        names.push(decode(name)?);
        ports.push(decode(port)?);
    }
    params.set("host", all_or_nothing(&names))?;
    params.set("port", all_or_nothing(&ports))
}

/// A list in which something is said, or nothing, so that the environment can fill it.
fn all_or_nothing(items: &[String]) -> String {
    if items.iter().all(String::is_empty) {
        return String::new();
    }
    items.join(",")
}

fn split_port(host: &str) -> Result<(&str, &str)> {
    let Some(rest) = host.strip_prefix('[') else {
        return Ok(host.split_once(':').unwrap_or((host, "")));
    };
    let bad = || Error::configuration("an IPv6 address in the connection URL is not [closed]");
    let (name, rest) = rest.split_once(']').ok_or_else(bad)?;
    match rest.strip_prefix(':') {
        Some(port) => Ok((name, port)),
        None if rest.is_empty() => Ok((name, "")),
        None => Err(bad()),
    }
}

fn decode(text: &str) -> Result<String> {
    let bad = || Error::configuration("the connection URL is not correctly percent-encoded").hint(ENCODE);
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) = rest.split_at_checked(2).ok_or_else(bad)?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).map_err(|_| bad())?;
        if byte[0] == 0 {
            return Err(bad());
        }
        bytes.push(byte[0]);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| bad())
}
