//! `lifeboat push`

use lifeboat::Result;
use lifeboat::model::Operation;

use super::pull::{What, copy_all};
use crate::answer::Answer;
use crate::context::Context;

/// Copy backups from a folder into the vault
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  lifeboat push latest --from /backups/shop         /backups/shop → s3://…
  lifeboat push latest --from /backups/shop --vault s3://new-bucket/lifeboat

Direction: from the folder, which a `pull` made, to the vault that --vault or the configuration names;
if nothing is there, it becomes one. `pull` is the other way. Only what the vault does not have is
copied. Run again, a push that was cut off copies what is missing.")]
pub struct Args {
    #[command(flatten)]
    what: What,

    /// Where from: a folder that is a copy of the vault; or s3://bucket/prefix
    #[arg(long, value_name = "FOLDER")]
    from: String,
}

pub async fn run(args: Args, context: &Context) -> Result<Answer> {
    let folder = context.vault_at(&args.from).await?;
    let place = context.config.open_store(&context.aws).await?;
    copy_all(&folder, place, &args.what, Operation::Push, context).await
}
