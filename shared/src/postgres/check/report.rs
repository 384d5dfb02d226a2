//! What a check found, and what to do about it.

use serde::Serialize;

use crate::model::TableName;
use crate::postgres::preflight::{Finding, Severity};
use crate::postgres::quote::{literal, qualified};
use crate::postgres::sql_text::quoted;

/// The health of a database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    pub database: String,
    pub server_version: String,
    pub tables: Vec<TableRows>,
    pub constraints: Vec<UncheckedConstraint>,
    pub orphans: Vec<Orphans>,
    pub indexes: Vec<UnusableIndex>,
    pub sequences: Vec<SequenceBehind>,
    /// What could not be asked, for want of a privilege or because row-level security hides rows.
    pub unreadable: Vec<String>,
}

/// How many rows a table holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRows {
    pub table: TableName,
    /// `None`: unreadable, or estimated without ever having been analyzed.
    pub rows: Option<u64>,
    pub exact: bool,
}

/// A constraint that existing rows may violate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UncheckedConstraint {
    /// A table or domain.
    pub object: TableName,
    pub is_domain: bool,
    pub constraint: String,
    pub state: ConstraintState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConstraintState {
    NotValid,
    NotEnforced,
}

/// Rows without the row that they refer to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Orphans {
    pub table: TableName,
    pub constraint: String,
    pub references: TableName,
    pub rows: u64,
}

/// An index that does not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnusableIndex {
    pub table: TableName,
    pub index: String,
    pub is_unique: bool,
    pub state: IndexState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IndexState {
    /// Left over from a concurrent build that failed.
    Invalid,
    BeingBuilt,
}

/// A sequence whose next value is one that its column has already passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SequenceBehind {
    pub sequence: TableName,
    pub table: TableName,
    pub column: String,
    pub is_descending: bool,
    /// How far to move it, at least.
    pub behind_by: u64,
}

impl CheckReport {
    /// Whether there is nothing that would break something.
    pub fn is_healthy(&self) -> bool {
        self.findings().iter().all(|finding| finding.severity != Severity::Error)
    }

    /// Everything that is not as it should be, worst first.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = Vec::new();
        findings.extend(self.orphans.iter().map(Orphans::finding));
        findings.extend(self.indexes.iter().map(UnusableIndex::finding));
        findings.extend(self.sequences.iter().map(SequenceBehind::finding));
        findings.extend(self.constraints.iter().map(UncheckedConstraint::finding));
        findings.extend(self.unreadable.iter().map(|object| Finding {
            severity: Severity::Warning,
            check: "unreadable",
            object: Some(object.clone()),
            problem: format!("{object} could not be checked: the role may not read all of it"),
            fix: "use a role with pg_read_all_data and BYPASSRLS".to_owned(),
        }));
        findings.sort_by_key(|finding| finding.severity);
        findings
    }
}

impl Orphans {
    fn finding(&self) -> Finding {
        let Self { table, constraint, references, rows } = self;
        Finding {
            severity: Severity::Error,
            check: "orphans",
            object: Some(table.to_string()),
            problem: format!(
                "{rows} rows of {table} refer to rows of {references} that do not exist (foreign key {constraint})"
            ),
            fix: format!("delete or repair those rows, then validate the key: {}", validate(table, constraint)),
        }
    }
}

impl UnusableIndex {
    fn finding(&self) -> Finding {
        let Self { table, index, is_unique, state } = self;
        let (severity, problem, fix) = match state {
            IndexState::BeingBuilt => {
                (Severity::Info, format!("index {index} of {table} is being built"), "wait until it is done".to_owned())
            }
            IndexState::Invalid => (
                // Nobody keeps the values unique meanwhile.
                if *is_unique { Severity::Error } else { Severity::Warning },
                format!("index {index} of {table} is invalid: it costs writes and serves no query"),
                format!(
                    "REINDEX INDEX CONCURRENTLY {}, or drop it",
                    qualified(&TableName::new(table.schema.clone(), index.clone()))
                ),
            ),
        };
        Finding { severity, check: "indexes", object: Some(table.to_string()), problem, fix }
    }
}

impl SequenceBehind {
    fn finding(&self) -> Finding {
        let Self { sequence, table, column, is_descending, behind_by } = self;
        let last = if *is_descending { "min" } else { "max" };
        let (name, from, column_name) = (literal(&qualified(sequence)), qualified(table), quoted(column));
        Finding {
            severity: Severity::Error,
            check: "sequences",
            object: Some(sequence.to_string()),
            problem: format!("sequence {sequence} is {behind_by} behind {table}.{column}: inserts will collide"),
            fix: format!("SELECT setval({name}, (SELECT {last}({column_name}) FROM {from}))"),
        }
    }
}

impl UncheckedConstraint {
    fn finding(&self) -> Finding {
        let Self { object, is_domain, constraint, state } = self;
        let (severity, problem, fix) = match state {
            ConstraintState::NotValid => (
                Severity::Warning,
                format!("constraint {constraint} of {object} was never checked against the existing rows"),
                if *is_domain {
                    format!("ALTER DOMAIN {} VALIDATE CONSTRAINT {}", qualified(object), quoted(constraint))
                } else {
                    validate(object, constraint)
                },
            ),
            ConstraintState::NotEnforced => (
                Severity::Info,
                format!("constraint {constraint} of {object} is declared, but not enforced"),
                "nothing, if that is intended".to_owned(),
            ),
        };
        Finding { severity, check: "constraints", object: Some(object.to_string()), problem, fix }
    }
}

fn validate(table: &TableName, constraint: &str) -> String {
    format!("ALTER TABLE {} VALIDATE CONSTRAINT {}", qualified(table), quoted(constraint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> CheckReport {
        CheckReport {
            database: "shop".into(),
            server_version: "17.4".into(),
            tables: vec![TableRows { table: orders(), rows: Some(7), exact: true }],
            constraints: Vec::new(),
            orphans: Vec::new(),
            indexes: Vec::new(),
            sequences: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    fn orders() -> TableName {
        TableName::new("public", "orders")
    }

    #[test]
    fn what_breaks_something_comes_first_and_is_not_healthy() {
        assert!(healthy().is_healthy());
        let constraint = UncheckedConstraint {
            object: orders(),
            is_domain: false,
            constraint: "c".into(),
            state: ConstraintState::NotValid,
        };
        let orphans =
            Orphans { table: orders(), constraint: "f".into(), references: TableName::new("public", "p"), rows: 3 };
        let warned = CheckReport { constraints: vec![constraint], unreadable: vec!["s.t".into()], ..healthy() };
        assert!(warned.is_healthy());
        let broken = CheckReport { orphans: vec![orphans], ..warned };
        assert!(!broken.is_healthy());
        let checks: Vec<&str> = broken.findings().iter().map(|f| f.check).collect();
        assert_eq!(checks, ["orphans", "constraints", "unreadable"]);
    }

    #[test]
    fn an_invalid_unique_index_is_worse_than_another() {
        let severity = |is_unique, state| {
            UnusableIndex { table: orders(), index: "i".into(), is_unique, state }.finding().severity
        };
        assert_eq!(severity(true, IndexState::Invalid), Severity::Error);
        assert_eq!(severity(false, IndexState::Invalid), Severity::Warning);
        assert_eq!(severity(true, IndexState::BeingBuilt), Severity::Info);
    }
}
