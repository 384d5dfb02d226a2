//! Reading one section: whoever asks for keys thereby says which there are, and what nobody asked for is a mistake.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::tree::{Node, Origin, PREFIX, Table, Value};
use crate::error::{Error, Result};

/// A section being read. Every key that exists must be asked for before [`finish`](Self::finish).
pub struct Section {
    /// `databases.shop`, or empty at the top.
    name: String,
    entries: Table,
    known: Vec<&'static str>,
    /// Variables that are no key of the file, spelled as one.
    known_variables: &'static [&'static str],
}

/// A text with where it was written.
pub struct Written {
    pub key: String,
    pub origin: Origin,
    pub text: String,
}

impl Written {
    /// An error about this value, which does not show it.
    pub fn error(&self, problem: impl std::fmt::Display) -> Error {
        Error::configuration(format!("{}: {} {problem}", self.origin, self.key))
    }

    /// A path, from the folder of the file that says it.
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        match self.origin.folder() {
            Some(folder) => folder.join(path),
            None => path.as_ref().to_owned(),
        }
    }
}

impl Section {
    pub fn new(name: impl Into<String>, entries: Table) -> Self {
        Self { name: name.into(), entries, known: Vec::new(), known_variables: &[] }
    }

    /// Names that exist as variables only, for the error about a misspelt one.
    pub fn with_variables(self, known_variables: &'static [&'static str]) -> Self {
        Self { known_variables, ..self }
    }

    /// The key with its section: `databases.shop.jobs`.
    pub fn full_name(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn take(&mut self, key: &'static str) -> Option<Node> {
        self.known.push(key);
        self.entries.remove(key)
    }

    fn wrong_kind(&self, key: &str, node: &Node, wanted: &str) -> Error {
        let (name, found) = (self.full_name(key), node.value.kind());
        Error::configuration(format!("{}: {name} is {found}, but takes {wanted}", node.origin))
    }

    pub fn text(&mut self, key: &'static str) -> Result<Option<Written>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        self.written(key, node).map(Some)
    }

    fn written(&self, key: &str, node: Node) -> Result<Written> {
        match node.value {
            Value::Text(text) => Ok(Written { key: self.full_name(key), origin: node.origin, text }),
            _ => Err(self.wrong_kind(key, &node, "a string in quotes")),
        }
    }

    /// A text that `parse` understands. Its error may show the value: not for what may hold a secret.
    pub fn parsed<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        let Some(written) = self.text(key)? else { return Ok(None) };
        parse(&written.text).map(Some).map_err(|error| reworded(&written, &error))
    }

    /// `true` or `false`; what is not said is false.
    pub fn flag(&mut self, key: &'static str) -> Result<bool> {
        let Some(node) = self.take(key) else { return Ok(false) };
        match (&node.value, &node.origin) {
            (Value::Boolean(is_true), _) => Ok(*is_true),
            (Value::Text(text), Origin::Variable(_)) if text == "true" => Ok(true),
            (Value::Text(text), Origin::Variable(_)) if text == "false" => Ok(false),
            _ => Err(self.wrong_kind(key, &node, "true or false")),
        }
    }

    /// A whole number from `least` up; from a variable, its digits.
    pub fn number<T: TryFrom<i64> + FromStr + PartialOrd>(&mut self, key: &'static str, least: T) -> Result<Option<T>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        let number = match (&node.value, &node.origin) {
            (Value::Integer(number), _) => T::try_from(*number).ok(),
            (Value::Text(text), Origin::Variable(_)) => text.parse().ok(),
            _ => return Err(self.wrong_kind(key, &node, "a whole number")),
        };
        match number {
            Some(number) if number >= least => Ok(Some(number)),
            _ => {
                let name = self.full_name(key);
                Err(Error::configuration(format!("{}: {name} is not a number in its range", node.origin)))
            }
        }
    }

    /// A decimal number, in quotes or not, that `parse` understands.
    pub fn decimal<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T>) -> Result<Option<T>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        let text = match node.value {
            Value::Text(text) | Value::Fraction(text) => text,
            Value::Integer(number) => number.to_string(),
            _ => return Err(self.wrong_kind(key, &node, "a decimal number")),
        };
        let written = Written { key: self.full_name(key), origin: node.origin, text };
        parse(&written.text).map(Some).map_err(|error| reworded(&written, &error))
    }

    /// A list of texts; one text alone is a list of one, and from a variable it is cut at commas.
    pub fn list(&mut self, key: &'static str) -> Result<Vec<String>> {
        let Some(node) = self.take(key) else { return Ok(Vec::new()) };
        match (node.value, &node.origin) {
            (Value::Text(text), Origin::Variable(_)) => {
                Ok(text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect())
            }
            (Value::Text(text), Origin::File { .. }) => Ok(vec![text]),
            (Value::List(items), _) => {
                items.into_iter().map(|item| self.written(key, item).map(|written| written.text)).collect()
            }
            (value, origin) => {
                let node = Node { origin: origin.clone(), value };
                Err(self.wrong_kind(key, &node, "a list of strings"))
            }
        }
    }

    /// A list of texts that `parse` understands. Its error may show the value: not for what may hold a secret.
    pub fn parsed_list<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
        let origin = self.entries.get(key).map(|node| node.origin.clone());
        let key_name = self.full_name(key);
        let parsed = |text: String| {
            let written =
                Written { key: key_name.clone(), origin: origin.clone().expect("a list that is there"), text };
            parse(&written.text).map_err(|error| reworded(&written, &error))
        };
        self.list(key)?.into_iter().map(parsed).collect()
    }

    pub fn section(&mut self, key: &'static str) -> Result<Option<Self>> {
        let Some(node) = self.take(key) else { return Ok(None) };
        self.below(key, node).map(Some)
    }

    /// The sections below `key`, by their names: `[databases.shop]`, `[databases.crm]`.
    pub fn named_sections(&mut self, key: &'static str) -> Result<Vec<(Origin, String, Self)>> {
        let Some(parent) = self.section(key)? else { return Ok(Vec::new()) };
        let below = |(name, node): (String, Node)| {
            let origin = node.origin.clone();
            let section = Self::new(parent.name.clone(), Table::new()).below(&name, node)?;
            Ok((origin, name, section))
        };
        parent.entries.into_iter().map(below).collect()
    }

    fn below(&self, key: &str, node: Node) -> Result<Self> {
        match node.value {
            Value::Table(entries) => Ok(Self::new(self.full_name(key), entries)),
            _ => Err(self.wrong_kind(key, &node, "a section")),
        }
    }

    /// Errors: `Configuration` naming the first key that nobody asked for, and the nearest one that exists.
    pub fn finish(self) -> Result<()> {
        let Some((key, node)) = self.entries.iter().next() else { return Ok(()) };
        let mut known = self.known.clone();
        if let Origin::Variable(_) = node.origin {
            known.extend(self.known_variables);
        }
        let error = match &node.origin {
            Origin::Variable(variable) => Error::configuration(format!("{variable} is not a setting of Lifeboat")),
            Origin::File { .. } => {
                let place = if self.name.is_empty() { String::new() } else { format!(" in [{}]", self.name) };
                Error::configuration(format!("{}: unknown key {}{place}", node.origin, printable(key)))
            }
        };
        let spelled = |known: &str| match &node.origin {
            Origin::Variable(_) => format!("{PREFIX}{}", self.full_name(known).replace('.', "__").to_uppercase()),
            Origin::File { .. } => format!("`{known}`"),
        };
        let all: Vec<String> = known.iter().map(|known| spelled(known)).collect();
        Err(error.hint(match nearest(key, known) {
            Some(known) => format!("did you mean {}?", spelled(known)),
            None => format!("known here: {}", all.join(", ")),
        }))
    }
}

/// The same complaint as a problem of the configuration, with its place. It may show the value, unless that is a connection
/// or a password in the wrong place.
fn reworded(written: &Written, error: &Error) -> Error {
    let is_shown = !written.text.contains("://") && !written.text.to_ascii_lowercase().contains("password");
    let reworded = match is_shown {
        true => written.error(format!("is wrong: {}", error.message())),
        false => written.error("is wrong: what looks like a connection does not belong there"),
    };
    match error.hint_text().filter(|_| is_shown) {
        Some(hint) => reworded.hint(hint),
        None => reworded,
    }
}

/// A key as it may be shown: what does not look like one may be a secret in the wrong place.
fn printable(key: &str) -> String {
    let plain = key.len() <= 40 && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain { format!("`{key}`") } else { "that is not a plain word".to_owned() }
}

/// The known name that `text` was probably meant to be.
pub fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let distance = |known: &str| strsim::damerau_levenshtein(text, known);
    let best = known.into_iter().map(|known| (distance(known), known)).min()?;
    (best.0 <= 1 + text.len() / 4).then_some(best.1)
}
