//! `lifeboat keys`

use lifeboat::Result;
use lifeboat::model::Operation;
use lifeboat::ops::audit::Intent;
use lifeboat::ops::keys::{self, DataKey};

use crate::answer::Answer;
use crate::context::Context;
use crate::human;
use crate::paint::{Paint, number, text};

/// Show the keys that seal backups, or make a new one
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat keys list
  lifeboat keys rotate --database shop

A database's data key seals its backups, and is kept in the vault, sealed by the master key. After
`rotate` the next backup is sealed by a new key: it reads and stores every row, since nothing is
shared between keys. Older backups stay as they are and stay readable, until retention lets them
go: whoever knows the old key can read those. docs/security.md says when to rotate what.")]
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
    }
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
