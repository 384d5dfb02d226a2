//! Confirming a restore from afar, where nobody can type a name: whoever planned it gets a token, and with the token, soon
//! after, the same plan is carried out, once.
//!
//! A token is `r1.{expiry}.{MAC}`. The MAC, under a key derived from the database's, covers the expiry and everything that the plan
//! says and is bound to: the backup, the options, the server, and the very database that is replaced. If any of it differs
//! when the token comes back, it was given for another plan. The first to use a token notes that in the vault, create-only.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::RestorePlan;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Claim;
use crate::store::Put;
use crate::vault::DatabaseVault;

/// How long a token can be used.
pub const VALID_FOR: Duration = Duration::from_secs(15 * 60);

const VERSION: &str = "r1";

/// A token, and until when it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirmation {
    pub token: String,
    pub expires_at: Timestamp,
}

/// A token for this plan. `now` is the store's time.
pub fn issue(database: &DatabaseVault, plan: &RestorePlan, now: Timestamp) -> Confirmation {
    let expires_at = now + VALID_FOR;
    let mac = database.current_keys().confirmation_mac(&bound(plan, expires_at.as_second()));
    Confirmation { token: format!("{VERSION}.{}.{}", expires_at.as_second(), hex::encode(mac)), expires_at }
}

/// Uses the token up, for `actor` alone: who died of the restore and is started again under the same name may use it again.
///
/// Errors: `Confirmation` for a token that is none, has expired, was given for another plan, or was used by somebody else.
pub async fn redeem(
    database: &DatabaseVault,
    plan: &RestorePlan,
    token: &str,
    actor: &str,
    now: Timestamp,
) -> Result<()> {
    let job = format!("confirm-{}", &hex::encode(Sha256::digest(token))[..32]);
    let key = database.layout.claim(&job, 1);
    if let Some(used) = used(database, &key).await? {
        return require_own(&used, actor);
    }
    check(database, plan, token, now)?;
    let claim = Claim {
        vault: database.vault.id(),
        database: database.name.clone(),
        job,
        number: 1,
        attempt: hex::encode(rand::random::<[u8; 8]>()),
        operation: "restore".to_owned(),
        backup: plan.id.clone(),
        by: actor.to_owned(),
        at: now,
        deadline: database.job_limit(now),
    };
    match database.write_record("claim", &key, &claim).await? {
        Put::Created => Ok(()),
        Put::Exists => require_own(&database.read_record("claim", &key).await?, actor),
    }
}

/// Who used the token, if somebody did.
async fn used(database: &DatabaseVault, key: &str) -> Result<Option<Claim>> {
    match database.read_record("claim", key).await {
        Ok(claim) => Ok(Some(claim)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn require_own(used: &Claim, actor: &str) -> Result<()> {
    if used.by == actor {
        return Ok(());
    }
    Err(refused(format!("the token was used already, at {} by {}", used.at, used.by)))
}

fn check(database: &DatabaseVault, plan: &RestorePlan, token: &str, now: Timestamp) -> Result<()> {
    let Some((expiry, mac)) = parsed(token) else { return Err(refused("that is not a confirmation token")) };
    if !database.current_keys().confirmation_mac_matches(&bound(plan, expiry), &mac) {
        return Err(refused("the token was not given for this plan: something in it, or at the target, has changed"));
    }
    // Only now is the expiry known to be ours.
    if expiry <= now.as_second() {
        return Err(refused(format!("the token has expired: it counts for {} minutes", VALID_FOR.as_secs() / 60)));
    }
    Ok(())
}

fn parsed(token: &str) -> Option<(i64, [u8; 32])> {
    let (expiry, mac) = token.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')?;
    Some((expiry.parse().ok()?, hex::decode(mac).ok()?.try_into().ok()?))
}

fn refused(why: impl Into<String>) -> Error {
    Error::confirmation(why).hint("nothing was changed; ask for the plan again, look at it, and use its new token")
}

/// Everything that makes this plan another one than the next.
fn bound(plan: &RestorePlan, expiry: i64) -> Vec<u8> {
    let internals = &plan.internals;
    let shown = serde_json::to_string(plan).expect("a plan is plain values");
    let identity = internals.server.identity();
    let target = (identity.system_identifier, internals.target_oid, &internals.intent);
    let options = &plan.options;
    format!("{expiry}|{target:?}|{}|{}|{shown}", options.safety_backup, options.skip_damaged).into_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_token_is_read_as_it_was_written_and_anything_else_is_refused(
            text in ".{0,90}",
            expiry in any::<i64>(),
            mac in any::<[u8; 32]>(),
        ) {
            prop_assert_eq!(parsed(&format!("{VERSION}.{expiry}.{}", hex::encode(mac))), Some((expiry, mac)));
            prop_assert_eq!(parsed(&text), None);
        }
    }
}
