//! `lifeboat init`

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lifeboat::model::Operation;
use lifeboat::ops::audit::Intent;
use lifeboat::store::require_create_only;
use lifeboat::vault::Vault;
use lifeboat::{ErrorKind, Result};
use serde_json::json;

use crate::answer::Answer;
use crate::args::duration;
use crate::context::Context;
use crate::master_key::{Key, cannot};
use crate::paint::Paint;

/// Create a vault and, unless one is configured, its master key
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat init --vault /srv/backups
  lifeboat init --vault s3://my-bucket/lifeboat --master-key-file ~/lifeboat.key
  LIFEBOAT_KMS_KEY=alias/lifeboat lifeboat init --vault s3://my-bucket/lifeboat

The master key opens every backup in the vault, and nothing can replace it. It is written to a
file that only you can read, or taken from where the configuration says; it is never printed.
Keep a copy away from this machine.")]
pub struct Args {
    /// Where to keep the new master key [default: ~/.config/lifeboat/master.key]
    #[arg(long, value_name = "FILE")]
    master_key_file: Option<PathBuf>,

    /// How long deleted backups can be brought back, in whole hours; fixed for the life of the vault
    #[arg(long, value_name = "D", value_parser = hours, default_value = "72h")]
    grace: u32,

    /// How long one backup may take, in whole hours, less than half the grace; fixed for the life of the vault
    #[arg(long, value_name = "D", value_parser = hours, default_value = "24h")]
    job_limit: u32,
}

fn hours(text: &str) -> Result<u32, String> {
    let whole =
        |limit: Duration| limit.as_secs().is_multiple_of(3600).then(|| u32::try_from(limit.as_secs() / 3600).ok());
    whole(duration(text)?).flatten().ok_or_else(|| "write whole hours: 36h, 3d".to_owned())
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let store = context.config.open_store(&context.aws).await?;
    require_create_only(&*store).await?;
    let key = Key::find_or_make(args.master_key_file.as_deref(), context).await?;
    let location = store.location();
    match Vault::init(store, key.master, args.grace, args.job_limit).await {
        Ok(vault) => {
            let intent = Intent::to(Operation::Init);
            context.audited(&vault, &context.run(None)?, intent, async { Ok(()) }).await?;
            let answer = json!({
                "vault": location,
                "id": vault.id(),
                "master_key": key.place,
                "master_key_is_new": key.made.is_some(),
            });
            Ok(Answer::new(&answer, page(&vault, &key.place, key.made.as_deref(), context.paint())))
        }
        Err(error) => {
            // Only then is it sure that nothing was wrapped with the new key.
            if let (Some(path), ErrorKind::Conflict | ErrorKind::Usage) = (&key.made, error.kind()) {
                fs::remove_file(path).map_err(|e| cannot("remove", path, e))?;
            }
            Err(error)
        }
    }
}

fn page(vault: &Vault, key: &str, made: Option<&Path>, paint: Paint) -> String {
    let facts = [
        ("id", vault.id().to_string()),
        ("master key", format!("{key}{}", if made.is_some() { " (new)" } else { "" })),
    ];
    let warning = "Whoever has this key can read every backup. Without it nobody can, not even you:\n\
                   losing it loses everything. Keep a copy away from this machine and from the vault.";
    let mut page = format!("{} {}\n\n", paint.good("Created the vault"), vault.store.location());
    page.push_str(&paint.facts(&facts));
    page.push_str(&format!("\n{}\n", paint.warn(warning)));
    page.push_str("\nNext: `lifeboat doctor`, then `lifeboat backup`.\n");
    page
}
