//! The file and the environment, laid over one another: one tree of values, each of which knows where it was written.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};

/// What the names of our environment variables begin with.
pub const PREFIX: &str = "LIFEBOAT_";
/// Between the parts of a nested key in the name of a variable.
const NESTING: &str = "__";

/// Where a value was written, so that an error can say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    File { path: Arc<PathBuf>, line: usize },
    Variable(String),
}

impl Origin {
    /// The folder that relative paths in this value start from; `None` means the working directory.
    pub fn folder(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } => path.parent(),
            Self::Variable(_) => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One value of the tree. It may be a secret that somebody wrote in the wrong place: never printed.
#[derive(Clone)]
pub struct Node {
    pub origin: Origin,
    pub value: Value,
}

#[derive(Clone)]
pub enum Value {
    Text(String),
    Integer(i64),
    /// As it is written: prices are decimal, and a binary fraction is another number.
    Fraction(String),
    Boolean(bool),
    List(Vec<Node>),
    Table(Table),
    /// Something that no key of ours takes: a date.
    Other,
}

pub type Table = BTreeMap<String, Node>;

impl Value {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a whole number",
            Self::Fraction(_) => "a fraction",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a section",
            Self::Other => "a date",
        }
    }
}

/// Errors: `Configuration` with file and line, never with the text of that line: it may hold a secret.
pub fn parse_file(path: &Path, text: &str) -> Result<Table> {
    let file = File { path: Arc::new(path.to_owned()), text };
    match DeTable::parse(text) {
        Ok(document) => Ok(file.table(document.get_ref())),
        Err(error) => {
            let line = error.span().map_or(1, |span| file.line(span.start));
            Err(Error::configuration(format!("{}:{line}: not valid TOML", path.display()))
                .hint("texts stand in quotes, lists in brackets, and each key only once"))
        }
    }
}

struct File<'t> {
    path: Arc<PathBuf>,
    text: &'t str,
}

impl File<'_> {
    fn line(&self, at: usize) -> usize {
        1 + memchr::memchr_iter(b'\n', &self.text.as_bytes()[..at.min(self.text.len())]).count()
    }

    fn table(&self, table: &DeTable<'_>) -> Table {
        let entry = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
            let line = self.line(key.span().start);
            (AsRef::<str>::as_ref(key.get_ref()).to_owned(), self.node(line, value))
        };
        table.iter().map(entry).collect()
    }

    fn node(&self, line: usize, value: &Spanned<DeValue<'_>>) -> Node {
        let value = match value.get_ref() {
            DeValue::String(text) => Value::Text(text.clone().into_owned()),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Other, Value::Integer)
            }
            DeValue::Boolean(is_true) => Value::Boolean(*is_true),
            DeValue::Array(items) => {
                Value::List(items.iter().map(|item| self.node(self.line(item.span().start), item)).collect())
            }
            DeValue::Table(table) => Value::Table(self.table(table)),
            DeValue::Float(number) => Value::Fraction(number.as_str().to_owned()),
            DeValue::Datetime(_) => Value::Other,
        };
        Node { origin: Origin::File { path: Arc::clone(&self.path), line }, value }
    }
}

/// Lays a variable over the tree: `LIFEBOAT_TIERS__DAILY__KEEP_LAST` becomes `tiers.daily.keep_last`.
///
/// Errors: `Configuration` when it puts something below a plain value, or a plain value in a section's place.
pub fn lay_over(tree: &mut Table, name: &str, value: String) -> Result<()> {
    let Some(path) = name.strip_prefix(PREFIX) else { return Ok(()) };
    let origin = Origin::Variable(name.to_owned());
    let (mut table, mut rest) = (tree, path);
    loop {
        let (part, below) = match rest.split_once(NESTING) {
            Some((part, below)) => (part, Some(below)),
            None => (rest, None),
        };
        if part.is_empty() {
            return Err(Error::configuration(format!("{name} names no key: a part of it is empty")));
        }
        let key = spelled_as_in(table, part);
        let Some(below) = below else {
            return put(table, key, Node { origin, value: Value::Text(value) });
        };
        let section = || Node { origin: origin.clone(), value: Value::Table(Table::new()) };
        match &mut table.entry(key).or_insert_with(section).value {
            Value::Table(inner) => (table, rest) = (inner, below),
            other => {
                let kind = other.kind();
                return Err(Error::configuration(format!("{name}: {kind} stands where it needs a section")));
            }
        }
    }
}

/// The key of `table` that a variable's part means. Names of variables have neither lower case nor `-`, so `MY_SHOP`
/// is `my-shop` where there is a `my-shop`.
fn spelled_as_in(table: &Table, part: &str) -> String {
    let key = part.to_lowercase();
    let same = |known: &&String| known.replace('-', "_") == key;
    match table.keys().find(same) {
        Some(known) if !table.contains_key(&key) => known.clone(),
        _ => key,
    }
}

fn put(table: &mut Table, key: String, node: Node) -> Result<()> {
    if let Some(Node { value: Value::Table(_), .. }) = table.get(&key) {
        let Origin::Variable(name) = &node.origin else { return Ok(()) };
        return Err(Error::configuration(format!("{name} is a section, not a value"))
            .hint(format!("name a key in it: {name}{NESTING}…")));
    }
    table.insert(key, node);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'t>(tree: &'t Table, path: &[&str]) -> &'t str {
        let (last, sections) = path.split_last().unwrap();
        let table = sections.iter().fold(tree, |table, part| match &table[*part].value {
            Value::Table(inner) => inner,
            _ => panic!("{part} is not a section"),
        });
        match &table[*last].value {
            Value::Text(text) => text,
            other => other.kind(),
        }
    }

    #[test]
    fn a_variable_wins_over_the_file_and_finds_names_with_dashes() {
        let mut tree = parse_file(Path::new("x.toml"), "vault = 'a'\n[databases.my-shop]\nconnection = 'c'\n").unwrap();
        lay_over(&mut tree, "LIFEBOAT_VAULT", "b".to_owned()).unwrap();
        lay_over(&mut tree, "LIFEBOAT_DATABASES__MY_SHOP__CONNECTION", "d".to_owned()).unwrap();
        lay_over(&mut tree, "LIFEBOAT_DATABASES__NEW__CONNECTION", "e".to_owned()).unwrap();
        assert_eq!(text(&tree, &["vault"]), "b");
        assert_eq!(text(&tree, &["databases", "my-shop", "connection"]), "d");
        assert_eq!(text(&tree, &["databases", "new", "connection"]), "e");
    }

    #[test]
    fn a_value_knows_its_line() {
        let tree = parse_file(Path::new("x.toml"), "\n\nvault = 'a'\n").unwrap();
        assert_eq!(tree["vault"].origin.to_string(), "x.toml:3");
    }

    #[test]
    fn bad_toml_is_refused_with_its_line_and_without_its_text() {
        let error = parse_file(Path::new("x.toml"), "a = 1\nconnection = hunter2\n").err().unwrap();
        assert_eq!(error.message(), "x.toml:2: not valid TOML");
    }

    #[test]
    fn a_variable_cannot_turn_a_value_into_a_section_or_the_reverse() {
        let mut tree = parse_file(Path::new("x.toml"), "vault = 'a'\n[verify]\n").unwrap();
        for name in ["LIFEBOAT_VAULT__X", "LIFEBOAT_VERIFY", "LIFEBOAT_VERIFY__", "LIFEBOAT___X"] {
            assert!(lay_over(&mut tree, name, "b".to_owned()).is_err(), "{name}");
        }
    }
}
