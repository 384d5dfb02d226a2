//! `host=… dbname='…'`: libpq's key=value pairs.

use super::params::Params;
use crate::error::{Error, Result};

pub(super) fn parse(text: &str) -> Result<Params> {
    let mut params = Params::default();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or_else(|| bad("a connection parameter has no `=`"))?;
        let (value, after) = value(after.trim_start())?;
        params.set(name.trim_end(), value)?;
        rest = after.trim_start();
    }
    Ok(params)
}

/// The value at the start of `text`, and what follows it.
fn value(text: &str) -> Result<(String, &str)> {
    let quoted = text.strip_prefix('\'');
    let body = quoted.unwrap_or(text);
    let mut value = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, escaped) = chars.next().ok_or_else(|| bad("a connection parameter ends in a backslash"))?;
                value.push(escaped);
            }
            '\'' if quoted.is_some() => return Ok((value, &body[at + 1..])),
            c if c.is_whitespace() && quoted.is_none() => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    match quoted {
        Some(_) => Err(bad("a quoted connection parameter is not closed")),
        None => Ok((value, "")),
    }
}

fn bad(problem: &str) -> Error {
    Error::configuration(problem).hint("values with spaces or quotes are written 'like \\'this\\''")
}
