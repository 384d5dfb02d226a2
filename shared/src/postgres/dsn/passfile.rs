//! `~/.pgpass`: lines of `host:port:database:user:password`, where `*` matches anything and `\` escapes.

use secrecy::SecretString;

use super::{Host, Place};

/// The password of the first line that fits, as libpq would find it.
pub fn lookup(contents: &str, host: &Host, database: &str, user: &str) -> Option<SecretString> {
    let host_name = match &host.place {
        Place::Network { name, .. } => name.clone(),
        // libpq looks sockets in a default directory up as localhost, any other under the directory's name.
        Place::Socket(directory)
            if super::DEFAULT_SOCKET_DIRECTORIES.iter().any(|d| directory == std::path::Path::new(d)) =>
        {
            "localhost".to_owned()
        }
        Place::Socket(directory) => directory.to_string_lossy().into_owned(),
    };
    let wanted = [host_name.as_str(), &host.port.to_string(), database, user];
    contents.lines().filter(|line| !line.starts_with('#')).find_map(|line| password_if_matching(line, &wanted))
}

fn password_if_matching(line: &str, wanted: &[&str; 4]) -> Option<SecretString> {
    let mut rest = line;
    for want in wanted {
        let (field, after) = field(rest)?;
        if field != Field::Any && field != Field::Exactly((*want).to_owned()) {
            return None;
        }
        rest = after;
    }
    let password = unescape(rest.trim_end_matches('\r'));
    (!password.is_empty()).then(|| SecretString::from(password))
}

#[derive(PartialEq)]
enum Field {
    Any,
    Exactly(String),
}

/// The field at the start of `text`, and what follows its colon.
fn field(text: &str) -> Option<(Field, &str)> {
    if let Some(after) = text.strip_prefix("*:") {
        return Some((Field::Any, after));
    }
    let mut escaped = false;
    let end = text.find(|c| {
        let ends = c == ':' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    Some((Field::Exactly(unescape(&text[..end])), &text[end + 1..]))
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.push(match c {
            '\\' => chars.next().unwrap_or('\\'),
            c => c,
        });
    }
    plain
}
