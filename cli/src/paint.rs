//! Colour, where somebody looks.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use tabled::builder::Builder;
use tabled::settings::object::Columns;
use tabled::settings::{Alignment, Padding, Style as Frame};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set or TERM is `dumb`.
    #[default]
    #[value(help = None::<&str>)]
    Auto,
    Always,
    Never,
}

/// Writes with colours or without, for one stream.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

impl Paint {
    pub fn for_stream(choice: ColorChoice, stream: &impl IsTerminal) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let on = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => stream.is_terminal() && !set("NO_COLOR") && !dumb,
        };
        Self { on }
    }

    pub fn is_on(self) -> bool {
        self.on
    }

    fn styled(self, style: Style, text: &str) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub fn bold(self, text: &str) -> String {
        self.styled(Style::new().bold(), text)
    }

    pub fn dim(self, text: &str) -> String {
        self.styled(Style::new().dimmed(), text)
    }

    pub fn good(self, text: &str) -> String {
        self.styled(AnsiColor::Green.on_default(), text)
    }

    pub fn bad(self, text: &str) -> String {
        self.styled(AnsiColor::Red.on_default().bold(), text)
    }

    pub fn warn(self, text: &str) -> String {
        self.styled(AnsiColor::Yellow.on_default(), text)
    }

    /// A table without lines: a header, columns two spaces apart, numbers to the right.
    pub fn table(self, columns: &[Column], rows: Vec<Vec<String>>) -> String {
        let mut builder = Builder::default();
        builder.push_record(columns.iter().map(|column| self.bold(column.title)));
        rows.into_iter().for_each(|row| builder.push_record(row));
        let mut table = builder.build();
        table.with(Frame::empty()).with(Padding::new(0, 2, 0, 0));
        for (at, column) in columns.iter().enumerate().filter(|(_, column)| column.is_number) {
            debug_assert!(!column.title.is_empty());
            table.modify(Columns::one(at), Alignment::right());
        }
        table.to_string().lines().map(|line| format!("{}\n", line.trim_end())).collect()
    }

    /// `  name   value` lines, names in one column.
    pub fn facts(self, facts: &[(&str, String)]) -> String {
        let width = facts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let line = |(name, value): &(&str, String)| {
            let gap = " ".repeat(width - name.chars().count() + 2);
            format!("  {}{gap}{value}\n", self.dim(name))
        };
        facts.iter().map(line).collect()
    }
}

/// A column of a [`table`](Paint::table).
pub struct Column {
    title: &'static str,
    is_number: bool,
}

pub const fn text(title: &'static str) -> Column {
    Column { title, is_number: false }
}

pub const fn number(title: &'static str) -> Column {
    Column { title, is_number: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Paint = Paint { on: false };

    #[test]
    fn a_table_aligns_numbers_to_the_right_and_ends_no_line_with_spaces() {
        let rows = vec![
            vec!["a".to_owned(), "1".to_owned(), String::new()],
            vec!["bc".to_owned(), "10".to_owned(), "x".to_owned()],
        ];
        let table = PLAIN.table(&[text("NAME"), number("ROWS"), text("NOTE")], rows);
        assert_eq!(table, "NAME  ROWS  NOTE\na        1\nbc      10  x\n");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let columns = [text("NAME"), text("NOTE")];
        let rows = |paint: Paint| vec![vec![paint.bad("ab"), paint.good("x")], vec!["abcd".to_owned(), "y".to_owned()]];
        let strip = |text: &str| {
            let mut plain = String::new();
            let mut rest = text;
            while let Some((before, escape)) = rest.split_once('\u{1b}') {
                plain.push_str(before);
                rest = escape.split_once('m').map_or("", |(_, after)| after);
            }
            plain + rest
        };
        let coloured = Paint { on: true };
        let trimmed = |text: String| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        let painted = strip(&coloured.table(&columns, rows(coloured)));
        assert_eq!(trimmed(painted), trimmed(PLAIN.table(&columns, rows(PLAIN))));
    }

    #[test]
    fn facts_stand_in_two_columns() {
        assert_eq!(
            PLAIN.facts(&[("rows", "1".to_owned()), ("took", "2 s".to_owned()), ("id", "x".to_owned())]),
            "  rows  1\n  took  2 s\n  id    x\n"
        );
    }
}
