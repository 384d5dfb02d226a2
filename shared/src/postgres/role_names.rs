//! Where the SQL of a schema archive names roles, and how to give them other names.
//!
//! `pg_dump` writes roles in few places, each with a grammar that it fills in itself: owners (a field of the entry),
//! privileges, default privileges, policies and user mappings. These are read token by token, so that a name inside a
//! string, a comment or another identifier is never touched. Roles inside function bodies, rules and expressions are text
//! to the server too, and stay as they are.
//!
//! Privileges given by somebody else than the owner come as `SET SESSION AUTHORIZATION grantor; GRANT …; RESET SESSION
//! AUTHORIZATION`, which only superusers may run. The grantor is recorded from the current role alone, so `SET ROLE` does
//! the same for everyone who is a member of the grantor.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::archive::Entry;
use super::sql_text::{Token, quoted, statements, tokens};

/// New names for roles; all others keep theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleMap(BTreeMap<String, String>);

impl RoleMap {
    /// The role's name in the target.
    pub fn target<'a>(&'a self, role: &'a str) -> &'a str {
        self.0.get(role).map_or(role, String::as_str)
    }
}

impl FromIterator<(String, String)> for RoleMap {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

/// Every role that the entry's definition names; its owner is none of them for that alone.
pub fn named_roles(entry: &Entry) -> BTreeSet<String> {
    Places::of(entry).roles.into_iter().map(|(_, role)| role).collect()
}

/// The entry's definition with the target's names for roles, and grantors by `SET ROLE`.
pub fn with_target_roles(entry: &Entry, map: &RoleMap) -> String {
    let places = Places::of(entry);
    let renamed = places.roles.into_iter().map(|(at, role)| (at, quoted(map.target(&role))));
    let mut edits: Vec<(Range<usize>, String)> =
        renamed.chain(places.session_authorizations.into_iter().map(|at| (at, "ROLE".to_owned()))).collect();
    edits.sort_by_key(|(at, _)| at.start);
    let mut sql = String::with_capacity(entry.definition.len());
    let mut end = 0;
    for (at, replacement) in edits {
        sql.push_str(&entry.definition[end..at.start]);
        sql.push_str(&replacement);
        end = at.end;
    }
    sql.push_str(&entry.definition[end..]);
    sql
}

/// A script of privileges cut into pieces that stand alone: one `GRANT` or `REVOKE` each, with its grantor around it.
pub fn privilege_pieces(sql: &str) -> Vec<String> {
    let tokens = tokens(sql);
    let mut pieces: Vec<String> = Vec::new();
    let mut open = false;
    for statement in statements(&tokens) {
        let (Some(first), Some(last)) = (statement.first(), statement.last()) else { continue };
        let text = format!("{};\n", &sql[first.at.start..last.at.end]);
        match pieces.last_mut().filter(|_| open) {
            Some(piece) => piece.push_str(&text),
            None => pieces.push(text),
        }
        open = (open || first.is("SET")) && !first.is("RESET");
    }
    pieces
}

/// What to change in a definition.
#[derive(Default)]
struct Places {
    roles: Vec<(Range<usize>, String)>,
    /// `SESSION AUTHORIZATION` in `SET` and `RESET`.
    session_authorizations: Vec<Range<usize>>,
}

impl Places {
    fn of(entry: &Entry) -> Self {
        let mut places = Self::default();
        if !matches!(entry.desc.as_str(), "ACL" | "ACL LANGUAGE" | "DEFAULT ACL" | "POLICY" | "USER MAPPING") {
            return places;
        }
        let tokens = tokens(&entry.definition);
        for statement in statements(&tokens) {
            match entry.desc.as_str() {
                "POLICY" => places.policy(statement),
                "USER MAPPING" => places.role(statement.get(4)),
                _ => places.privileges(statement),
            }
        }
        places
    }

    /// `PUBLIC` is no role.
    fn role(&mut self, token: Option<&Token<'_>>) {
        let Some((token, role)) = token.filter(|t| !t.is("PUBLIC")).and_then(|t| Some((t, t.identifier()?))) else {
            return;
        };
        self.roles.push((token.at.clone(), role));
    }

    /// `GRANT … TO role`, `REVOKE … FROM role`, both also after `ALTER DEFAULT PRIVILEGES FOR ROLE role`, and `SET SESSION
    /// AUTHORIZATION role`. `TO` and `FROM` are reserved: as names they are quoted.
    fn privileges(&mut self, statement: &[Token<'_>]) {
        if let [verb, session, authorization, ..] = statement
            && (verb.is("SET") || verb.is("RESET"))
            && session.is("SESSION")
            && authorization.is("AUTHORIZATION")
        {
            self.session_authorizations.push(session.at.start..authorization.at.end);
            self.role(statement.get(3));
            return;
        }
        if statement.first().is_some_and(|verb| verb.is("ALTER")) {
            self.role(statement.get(5));
        }
        self.role(after(statement, |token| token.is("TO") || token.is("FROM")).first());
    }

    /// `CREATE POLICY … TO role, role USING …`.
    fn policy(&mut self, statement: &[Token<'_>]) {
        let head = statement.split(|token| token.is("USING") || token.is("WITH")).next().unwrap_or_default();
        for role in after(head, |token| token.is("TO")).split(|token| token.is_symbol(',')) {
            self.role(role.first());
        }
    }
}

/// What follows the first token, outside parentheses, that is meant.
fn after<'t, 'a>(statement: &'t [Token<'a>], meant: impl Fn(&Token<'a>) -> bool) -> &'t [Token<'a>] {
    let mut depth = 0_i32;
    for (n, token) in statement.iter().enumerate() {
        depth += i32::from(token.is_symbol('(')) - i32::from(token.is_symbol(')'));
        if depth == 0 && meant(token) {
            return &statement[n + 1..];
        }
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::super::archive::tests::entry;
    use super::*;
    use proptest::prelude::*;

    fn defined(desc: &str, definition: &str) -> Entry {
        Entry { definition: definition.to_owned(), ..entry(1, desc, "t", &[]) }
    }

    fn map() -> RoleMap {
        [("app", "App 2"), ("to", "x\"y")].into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    }

    fn mapped(desc: &str, definition: &str) -> String {
        with_target_roles(&defined(desc, definition), &map())
    }

    fn roles(desc: &str, definition: &str) -> Vec<String> {
        named_roles(&defined(desc, definition)).into_iter().collect()
    }

    #[test]
    fn grantees_get_their_new_names_and_objects_keep_theirs() {
        assert_eq!(
            mapped(
                "ACL",
                "REVOKE ALL ON TABLE app.app FROM PUBLIC;\n\
                 GRANT SELECT(\"to\"),UPDATE(app) ON TABLE \"to\".app TO app WITH GRANT OPTION;\n\
                 GRANT ALL ON FUNCTION app.f(app, \"to\") TO \"to\";\n"
            ),
            "REVOKE ALL ON TABLE app.app FROM PUBLIC;\n\
             GRANT SELECT(\"to\"),UPDATE(app) ON TABLE \"to\".app TO \"App 2\" WITH GRANT OPTION;\n\
             GRANT ALL ON FUNCTION app.f(app, \"to\") TO \"x\"\"y\";\n"
        );
    }

    #[test]
    fn another_grantor_is_taken_on_by_set_role() {
        assert_eq!(
            mapped("ACL", "SET SESSION AUTHORIZATION app;\nGRANT ALL ON TYPE t TO b;\nRESET SESSION AUTHORIZATION;\n"),
            "SET ROLE \"App 2\";\nGRANT ALL ON TYPE t TO \"b\";\nRESET ROLE;\n"
        );
    }

    #[test]
    fn default_privileges_name_a_role_twice() {
        let sql = "ALTER DEFAULT PRIVILEGES FOR ROLE app IN SCHEMA app GRANT SELECT ON TABLES TO reader;\n";
        assert_eq!(roles("DEFAULT ACL", sql), ["app", "reader"]);
        assert!(mapped("DEFAULT ACL", sql).contains("FOR ROLE \"App 2\" IN SCHEMA app GRANT"));
    }

    #[test]
    fn a_policys_roles_are_found_and_its_expressions_left_alone() {
        let sql =
            "CREATE POLICY app ON s.app AS RESTRICTIVE FOR SELECT TO app, \"Odd, Role\" USING ((app = 'TO app'));\n";
        assert_eq!(roles("POLICY", sql), ["Odd, Role", "app"]);
        assert_eq!(mapped("POLICY", sql), sql.replace("TO app, ", "TO \"App 2\", "));
        assert!(roles("POLICY", "CREATE POLICY p ON t USING ((a = cast(b AS app)));\n").is_empty());
    }

    #[test]
    fn a_user_mapping_names_one_role_or_public() {
        let options = "OPTIONS (password 'FOR app;')";
        assert_eq!(roles("USER MAPPING", &format!("CREATE USER MAPPING FOR app SERVER app {options};\n")), ["app"]);
        assert!(roles("USER MAPPING", "CREATE USER MAPPING FOR public SERVER app;\n").is_empty());
    }

    #[test]
    fn other_definitions_name_no_roles() {
        assert!(roles("TABLE", "CREATE TABLE t (a text DEFAULT 'x' TO app);").is_empty());
    }

    #[test]
    fn privileges_are_cut_into_pieces_with_their_grantors() {
        let sql = "REVOKE ALL ON TABLE \"a;b\" FROM PUBLIC;\nSET ROLE g;\nGRANT ALL ON TABLE t TO a;\n\
                   GRANT ALL ON TABLE t TO b WITH GRANT OPTION;\nRESET ROLE;\nGRANT ALL ON TABLE t TO c;\n";
        let pieces = privilege_pieces(sql);
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces.concat(), sql);
    }

    proptest! {
        #[test]
        fn renaming_and_renaming_back_changes_nothing(object in "[^\0]{1,20}", role in "[^\0]{1,20}", new in "[^\0]{1,20}") {
            prop_assume!(role != new);
            let sql = format!("GRANT ALL ON TABLE {} TO {};\n", quoted(&object), quoted(&role));
            let there: RoleMap = [(role.clone(), new.clone())].into_iter().collect();
            let back: RoleMap = [(new, role)].into_iter().collect();
            let renamed = with_target_roles(&defined("ACL", &sql), &there);
            prop_assert_eq!(with_target_roles(&defined("ACL", &renamed), &back), sql);
        }

        #[test]
        fn no_text_breaks_it(desc in "ACL|POLICY|USER MAPPING|DEFAULT ACL", sql in "\\PC*|[GRANTOFROM ;\"'(),]*") {
            let entry = defined(&desc, &sql);
            named_roles(&entry);
            privilege_pieces(&with_target_roles(&entry, &map()));
        }
    }
}
