//! Names and texts as SQL spells them.

use super::sql_text;
pub use super::sql_text::literal;
use crate::model::TableName;

/// `"schema"."name"`.
pub fn qualified(table: &TableName) -> String {
    sql_text::qualified(Some(&table.schema), &table.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_inside_names_and_texts_are_doubled() {
        assert_eq!(qualified(&TableName::new("a\"b", "c.d")), r#""a""b"."c.d""#);
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b"), r"E'a\\b'");
    }
}
