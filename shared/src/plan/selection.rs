//! Which tables somebody means: `orders`, `public.orders`, `audit.*`, `log_????`.

use crate::error::{Error, Result};
use crate::model::TableName;

/// A pattern for tables. `*` stands for any text, `?` for one character; without a dot it holds for every schema. Double
/// quotes make everything between them literal, dots and stars too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    schema: Option<Vec<Token>>,
    name: Vec<Token>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Literal(char),
    Any,
    One,
}

impl Pattern {
    /// Errors: `Usage` for an empty pattern, one with two dots or an open quote.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Err(Error::usage(format!("{text:?} is not a table pattern: {why}"))
                .hint("write table, schema.table, schema.* or \"Odd.Schema\".\"odd table\""))
        };
        let mut parts: Vec<Vec<Token>> = vec![Vec::new()];
        let mut quoted = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let token = match c {
                '"' if quoted && chars.peek() == Some(&'"') => {
                    chars.next();
                    Token::Literal('"')
                }
                '"' => {
                    quoted = !quoted;
                    continue;
                }
                '.' if !quoted => {
                    parts.push(Vec::new());
                    continue;
                }
                '*' if !quoted => Token::Any,
                '?' if !quoted => Token::One,
                c => Token::Literal(c),
            };
            parts.last_mut().expect("never empty").push(token);
        }
        if quoted {
            return bad("a quote is not closed");
        }
        if parts.iter().any(Vec::is_empty) {
            return bad("a name is empty");
        }
        let name = parts.pop().expect("never empty");
        let schema = parts.pop();
        if !parts.is_empty() {
            return bad("it has more than one dot outside quotes");
        }
        Ok(Self { text: text.to_owned(), schema, name })
    }

    pub fn parse_all(texts: &[String]) -> Result<Vec<Self>> {
        texts.iter().map(|text| Self::parse(text)).collect()
    }

    pub fn matches(&self, table: &TableName) -> bool {
        self.schema.as_ref().is_none_or(|schema| matches(schema, &table.schema)) && matches(&self.name, &table.name)
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Greedy with one point of return: linear in practice, at most quadratic.
fn matches(pattern: &[Token], text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(Token::Any) => {
                star = Some((p, t));
                p += 1;
            }
            Some(Token::One) => (p, t) = (p + 1, t + 1),
            Some(Token::Literal(c)) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|token| *token == Token::Any)
}

/// Whether any of the patterns means this table.
pub fn any_matches(patterns: &[Pattern], table: &TableName) -> bool {
    patterns.iter().any(|pattern| pattern.matches(table))
}

/// Refuses a pattern that means no table at all: most likely a typing error, and a backup without the table it was for.
///
/// Errors: `NotFound` naming the pattern and the nearest table.
pub fn require_matches<'a>(patterns: &[Pattern], tables: impl Iterator<Item = &'a TableName> + Clone) -> Result<()> {
    for pattern in patterns {
        if !tables.clone().any(|table| pattern.matches(table)) {
            let near = tables
                .map(ToString::to_string)
                .max_by(|a, b| strsim::jaro(a, pattern.as_str()).total_cmp(&strsim::jaro(b, pattern.as_str())));
            let error = Error::not_found(format!("no table matches {:?}", pattern.as_str()));
            return Err(match near {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint("the database has no tables that could be meant"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn means(pattern: &str, schema: &str, name: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(&TableName::new(schema, name))
    }

    #[test]
    fn patterns_mean_what_people_write() {
        assert!(means("orders", "public", "orders"));
        assert!(means("audit.*", "audit", "log.2026"));
        assert!(!means("audit.*", "audit2", "log"));
        assert!(means("p*_20??", "x", "part_of_2026"));
        assert!(means("\"a.b\".\"c*\"", "a.b", "c*"));
        assert!(!means("\"c*\"", "a", "cc"));
        assert!(means("\"say \"\"hi\"\"\"", "s", "say \"hi\""));
        for bad in ["", ".", "a.", ".b", "a.b.c", "\"open"] {
            assert!(Pattern::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_pattern_or_an_error_and_stars_match_everything(text in "\\PC{0,20}", schema in "\\PC{1,9}", name in "\\PC{1,9}") {
            let table = TableName::new(schema, name);
            if let Ok(pattern) = Pattern::parse(&text) {
                let _ = pattern.matches(&table);
            }
            let quoted = format!("\"{}\".\"{}\"", table.schema.replace('"', "\"\""), table.name.replace('"', "\"\""));
            prop_assert!(Pattern::parse(&quoted).unwrap().matches(&table));
            prop_assert!(Pattern::parse("*.*").unwrap().matches(&table));
        }
    }
}
