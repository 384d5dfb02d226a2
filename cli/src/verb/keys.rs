//! `lifeboat keys`

use lifeboat::Result;
use lifeboat::config::MasterKeySource;
use lifeboat::model::Operation;
use lifeboat::ops::audit::Intent;
use lifeboat::ops::keys::{self, DataKey};
use lifeboat::vault::Rewrapped;
use serde_json::json;

use crate::answer::Answer;
use crate::context::Context;
use crate::human;
use crate::master_key::Key;
use crate::paint::{Paint, number, text};

/// Show the keys that seal backups, make a new one, or change the master key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat keys list
  lifeboat keys rotate --database shop
  lifeboat keys rewrap --new-master-key file:/root/new.key

A database's data key seals its backups, and is kept in the vault, sealed by the master key. After
`rotate` the next backup is sealed by a new key: it reads and stores every row, since nothing is
shared between keys. Older backups stay as they are and stay readable, until retention lets them
go: whoever knows the old key can read those. docs/security.md says when to rotate what.

After `rewrap` every backup opens with the new master key, too; nothing is read or stored again.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show each key: how old it is, and how many backups it sealed
    List,
    /// Make a new data key, for all backups from now on
    Rotate,
    /// Seal all keys of the vault by another master key, too
    Rewrap(Rewrap),
}

#[derive(Debug, clap::Args)]
struct Rewrap {
    /// Where the new master key is: file:PATH (made if there is none), secret:NAME, env:NAME or kms:ARN
    #[arg(long, value_name = "REFERENCE")]
    new_master_key: String,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let vault = context.vault().await?;
    match args.what {
        What::List => {
            let keys = keys::list(&vault, context.named_database()?.as_ref()).await?;
            Ok(Answer::new(&keys, table(&keys, context.paint())))
        }
        What::Rotate => {
            let (db, run) = (context.database(&vault).await?, context.run(None)?);
            let intent = Intent::to(Operation::RotateKey).database(&db.name);
            let key = context.audited(&vault, &run, intent, keys::rotate(&db)).await?;
            let text = format!("{}: backups from now on are sealed by the new key {}\n", key.database, key.key);
            Ok(Answer::new(&key, text))
        }
        What::Rewrap(Rewrap { new_master_key }) => {
            let source = MasterKeySource::reference(&new_master_key, context.home.as_deref())?;
            let key = Key::open_or_make(source, context).await?;
            let intent = Intent::to(Operation::RewrapKeys);
            let done = context.audited(&vault, &context.run(None)?, intent, vault.rewrap(&key.master)).await?;
            for problem in &done.unreadable {
                context.warn(&format!("a key stays as it is, since this master key does not open it: {problem}"));
            }
            let answer = json!({
                "master_key": key.place,
                "master_key_is_new": key.made.is_some(),
                "wrapped": done.wrapped,
                "wrapped_before": done.wrapped_before,
                "unreadable": done.unreadable,
            });
            Ok(Answer::new(&answer, rewrapped(&done, &key, context.paint())))
        }
    }
}

fn rewrapped(done: &Rewrapped, key: &Key, paint: Paint) -> String {
    let facts = [
        ("new master key", format!("{}{}", key.place, if key.made.is_some() { " (new)" } else { "" })),
        ("data keys", (done.wrapped + done.wrapped_before).to_string()),
    ];
    let warning = "Keep a copy of it away from this machine and from the vault: losing it loses everything.";
    format!(
        "{}\n\n{}\n{}\n\nNext: configure the new master key wherever Lifeboat runs. Until then the one before goes on to open the\n\
         vault; it makes no new keys any more. Whoever has it and a copy of the vault can go on to read backups.\n",
        paint.good("Every backup opens with the new master key"),
        paint.facts(&facts),
        paint.warn(warning),
    )
}

fn table(keys: &[DataKey], paint: Paint) -> String {
    if keys.is_empty() {
        return "No keys: nothing was backed up yet.\n".to_owned();
    }
    let row = |key: &DataKey| {
        let is_current = if key.is_current { paint.good("yes") } else { paint.dim("no") };
        let newest = key.newest_backup.as_ref().map_or_else(String::new, ToString::to_string);
        let database = key.database.to_string();
        vec![database, key.key.to_string(), human::time(key.created_at), is_current, key.backups.to_string(), newest]
    };
    let columns =
        [text("DATABASE"), text("KEY"), text("MADE"), text("CURRENT"), number("BACKUPS"), text("NEWEST BACKUP")];
    paint.table(&columns, keys.iter().map(row).collect())
}
