//! Just enough of SQL's lexical rules to find names in statements that `pg_dump` wrote, and to write names safely.

use std::ops::Range;

/// `name` as a quoted identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `schema.name`, both quoted; only the name where there is no schema.
pub fn qualified(schema: Option<&str>, name: &str) -> String {
    match schema {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(name)),
        None => quoted(name),
    }
}

/// A string literal that means the same whatever `standard_conforming_strings` says.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A keyword or an unquoted identifier.
    Word,
    QuotedIdentifier,
    /// A string of any quoting.
    Text,
    /// One character of anything else.
    Symbol,
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'a> {
    pub at: Range<usize>,
    text: &'a str,
    kind: Kind,
}

impl<'a> Token<'a> {
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Whether this is the unquoted `keyword`.
    pub fn is(&self, keyword: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(keyword)
    }

    pub fn is_symbol(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol && self.text.starts_with(symbol)
    }

    /// The name that this stands for, if it can be one: unquoted words are folded to lower case.
    pub fn identifier(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_ascii_lowercase()),
            Kind::QuotedIdentifier => {
                let inside = self.text.strip_prefix('"').unwrap_or(self.text);
                Some(inside.strip_suffix('"').unwrap_or(inside).replace("\"\"", "\""))
            }
            Kind::Text | Kind::Symbol => None,
        }
    }
}

/// The tokens of `sql` without white space and comments. What is not closed reaches to the end.
pub fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let (length, kind) = match first {
            _ if first.is_ascii_whitespace() => (first.len_utf8(), None),
            '-' if rest.starts_with("--") => (rest.find('\n').unwrap_or(rest.len()), None),
            '/' if rest.starts_with("/*") => (block_comment(rest), None),
            '\'' => (delimited(rest, '\'', false), Some(Kind::Text)),
            'e' | 'E' if rest[1..].starts_with('\'') => (1 + delimited(&rest[1..], '\'', true), Some(Kind::Text)),
            '"' => (delimited(rest, '"', false), Some(Kind::QuotedIdentifier)),
            '$' => dollar_quoted(rest).map_or((1, Some(Kind::Symbol)), |length| (length, Some(Kind::Text))),
            _ if starts_word(first) => (word(rest), Some(Kind::Word)),
            _ => (first.len_utf8(), Some(Kind::Symbol)),
        };
        if let Some(kind) = kind {
            tokens.push(Token { at: at..at + length, text: &rest[..length], kind });
        }
        at += length;
    }
    tokens
}

/// The statements that `tokens` hold, each without its semicolon.
pub fn statements<'t, 'a>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = &'t [Token<'a>]> {
    tokens.split(|token| token.is_symbol(';')).filter(|statement| !statement.is_empty())
}

fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

fn word(sql: &str) -> usize {
    sql.find(|c: char| !(starts_word(c) || c.is_ascii_digit() || c == '$')).unwrap_or(sql.len())
}

/// Length of what starts with `quote`; a doubled quote does not end it.
fn delimited(sql: &str, quote: char, backslash_escapes: bool) -> usize {
    let mut chars = sql.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && backslash_escapes {
            chars.next();
        } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
            return at + quote.len_utf8();
        }
    }
    sql.len()
}

fn block_comment(sql: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < sql.len() {
        let rest = &sql.as_bytes()[at..];
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    sql.len()
}

/// Length of `$tag$…$tag$`; `None` when the dollar starts no such string.
fn dollar_quoted(sql: &str) -> Option<usize> {
    let tag_end = 1 + sql[1..].find('$')?;
    let tag = &sql[1..tag_end];
    let mut chars = tag.chars();
    if !(chars.next().is_none_or(starts_word) && chars.all(|c| starts_word(c) || c.is_ascii_digit())) {
        return None;
    }
    let delimiter = &sql[..=tag_end];
    let body = &sql[delimiter.len()..];
    Some(body.find(delimiter).map_or(sql.len(), |end| delimiter.len() + end + delimiter.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::fuzz_text;
    use proptest::prelude::*;

    fn texts(sql: &str) -> Vec<&str> {
        tokens(sql).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_strings_and_quoted_names_hide_what_is_inside() {
        let sql = "a -- ;\n/* ; /* ; */ ; */ 'x;''y' E'\\';' $$;$$ $t$ $$ ;$t$ \"q;\"\"\" ; $1";
        assert_eq!(texts(sql), ["a", "'x;''y'", "E'\\';'", "$$;$$", "$t$ $$ ;$t$", "\"q;\"\"\"", ";", "$", "1"]);
    }

    #[test]
    fn a_literal_is_one_token_whatever_it_says() {
        for text in ["it's", "a\\", "\\'; DROP", "$$"] {
            assert_eq!(tokens(&literal(text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn statements_end_at_semicolons_outside_quotes() {
        let tokens = tokens("GRANT a TO \"x;y\";\nREVOKE b FROM c;\n");
        let lengths: Vec<usize> = statements(&tokens).map(<[_]>::len).collect();
        assert_eq!(lengths, [4, 4]);
    }

    #[test]
    fn unquoted_words_are_folded_and_quoted_ones_are_no_keywords() {
        let tokens = tokens("Public \"PUBLIC\"");
        assert_eq!(tokens[0].identifier().as_deref(), Some("public"));
        assert_eq!(tokens[1].identifier().as_deref(), Some("PUBLIC"));
        assert!(tokens[0].is("PUBLIC") && !tokens[1].is("PUBLIC"));
    }

    #[test]
    fn sql_with_anything_changed_is_cut_into_tokens_in_order() {
        let samples = [
            "GRANT SELECT ON TABLE \"a\"\"b\".c TO PUBLIC; -- it's\n/* /* ; */ */ REVOKE ALL ON x FROM \"é\";\n",
            "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $_$ SELECT E'\\'' || $$;$$ || U&\"d\" $_$;\n",
        ];
        fuzz_text(&samples, |sql| {
            let tokens = tokens(sql);
            assert!(tokens.iter().all(|token| sql[token.at.clone()] == *token.text()));
            assert!(tokens.is_sorted_by(|before, after| before.at.end <= after.at.start));
            statements(&tokens).flatten().for_each(|token| drop(token.identifier()));
        });
    }

    proptest! {
        #[test]
        fn a_quoted_name_is_one_token_and_means_itself(name in "[^\0]{1,40}") {
            let sql = qualified(Some(&name), &name);
            let tokens = tokens(&sql);
            prop_assert_eq!(tokens.len(), 3);
            prop_assert_eq!(tokens[0].identifier(), Some(name.clone()));
            prop_assert_eq!(tokens[2].identifier(), Some(name));
        }

        #[test]
        fn any_text_is_cut_into_tokens_in_order(sql in "\\PC*|[-/*'\"$a;Ee\\\\ \n]*") {
            let mut end = 0;
            for token in tokens(&sql) {
                prop_assert!(token.at.start >= end && token.at.end > token.at.start);
                prop_assert_eq!(&sql[token.at.clone()], token.text);
                end = token.at.end;
            }
        }
    }
}
