//! Settings that every reading session pins, so that a row is the same text on every server, on every day, whatever the
//! database, the role or the provider has configured (design §4.3).

use std::time::Duration;

use tokio_postgres::Client;

use super::error::from_postgres;
use super::identity::Identity;
use super::quote::literal;
use crate::error::Result;

/// How far a setting reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `SET LOCAL`: until the transaction ends. The only scope to use until [`pooler::probe`](super::pooler::probe) has
    /// proven that the session is ours alone.
    Transaction,
    /// `SET SESSION`: through a transaction pooler this would leak into other clients' sessions.
    Session,
}

/// A setting and its value, in order.
pub type Settings = Vec<(&'static str, String)>;

/// What changes the text of rows, on both ends of a copy. The client's encoding is the server's own: nothing is
/// converted, so nothing can fail to convert.
pub fn text_settings(identity: &Identity) -> Settings {
    let mut settings = fixed(&[
        ("datestyle", "ISO, YMD"),
        ("intervalstyle", "postgres"),
        ("timezone", "UTC"),
        ("extra_float_digits", "3"),
        ("bytea_output", "hex"),
        ("lc_monetary", "C"),
        ("xmloption", "content"),
        ("quote_all_identifiers", "off"),
        ("search_path", ""),
        ("row_security", "off"),
    ]);
    settings.push(("client_encoding", identity.server_encoding.clone()));
    settings
}

/// What keeps a long session alive: providers and administrators set time-outs that would end it.
pub fn timeout_settings(identity: &Identity, lock_timeout: Duration) -> Settings {
    let mut settings = fixed(&[
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
        ("idle_session_timeout", "0"),
    ]);
    if identity.server_version_num >= 170_000 {
        settings.push(("transaction_timeout", "0".to_owned()));
    }
    settings.push(("lock_timeout", lock_timeout.as_millis().to_string()));
    settings
}

/// Everything a reader pins: text, time-outs, plans that read a range of blocks and nothing else, in the order of the
/// heap, and no views or foreign tables that could run somebody's code.
pub fn reader_settings(identity: &Identity, lock_timeout: Duration) -> Settings {
    let mut settings = text_settings(identity);
    settings.extend(timeout_settings(identity, lock_timeout));
    settings.extend(fixed(&[
        ("enable_seqscan", "off"),
        ("jit", "off"),
        ("max_parallel_workers_per_gather", "0"),
        ("synchronize_seqscans", "off"),
    ]));
    if knows_restrict_relation_kind(identity.server_version_num) {
        settings.push(("restrict_nonsystem_relation_kind", "view, foreign-table".to_owned()));
    }
    settings
}

/// Pins `settings`. With [`Scope::Transaction`] the caller is inside a transaction; outside one nothing would be set.
pub async fn apply(client: &Client, settings: &Settings, scope: Scope) -> Result<()> {
    client
        .batch_execute(&statement(settings, scope))
        .await
        .map_err(|e| from_postgres("pinning the session's settings", e))
}

/// One statement that pins them all, for callers that send it together with their own.
pub fn statement(settings: &Settings, scope: Scope) -> String {
    let local = scope == Scope::Transaction;
    let calls: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("set_config('{name}', '{}', {local})", value.replace('\'', "''")))
        .collect();
    format!("SELECT {}", calls.join(", "))
}

/// The same as `SET LOCAL` statements: unlike a SELECT they take no snapshot, so locks may come after them. The client's
/// encoding stays what the driver speaks; COPY names the encoding of its rows itself.
pub fn set_local(settings: &Settings) -> String {
    set("SET LOCAL", settings)
}

/// The same as `SET SESSION` statements.
pub fn set_session(settings: &Settings) -> String {
    set("SET SESSION", settings)
}

fn set(how: &str, settings: &Settings) -> String {
    let pinned = settings.iter().filter(|(name, _)| *name != "client_encoding");
    let statements = pinned.map(|(name, value)| format!("{how} {name} = {}", literal(value)));
    statements.collect::<Vec<_>>().join("; ")
}

/// Came with 17 and, as a fix, with minor versions of older branches.
fn knows_restrict_relation_kind(server_version_num: u32) -> bool {
    match server_version_num {
        170_000.. => true,
        160_000.. => server_version_num >= 160_004,
        150_000.. => server_version_num >= 150_008,
        _ => server_version_num >= 140_013,
    }
}

fn fixed(settings: &[(&'static str, &str)]) -> Settings {
    settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_statement_pins_every_setting_in_the_scope_asked_for() {
        let settings = vec![("search_path", String::new()), ("timezone", "UTC".to_owned())];
        assert_eq!(
            statement(&settings, Scope::Transaction),
            "SELECT set_config('search_path', '', true), set_config('timezone', 'UTC', true)"
        );
        assert!(statement(&settings, Scope::Session).contains("'UTC', false)"));
    }

    #[test]
    fn a_server_is_not_asked_for_settings_it_does_not_know() {
        assert!(!knows_restrict_relation_kind(140_012));
        assert!(knows_restrict_relation_kind(140_013));
        assert!(!knows_restrict_relation_kind(150_007));
        assert!(!knows_restrict_relation_kind(160_003));
        assert!(knows_restrict_relation_kind(160_014));
        assert!(knows_restrict_relation_kind(180_000));
    }
}
