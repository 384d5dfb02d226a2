//! Drills: restored on the server for restores, reported, and measured.

use lifeboat::model::{BackupId, CheckOutcome, Drill, Operation};
use lifeboat::notify::Severity;
use lifeboat::ops::audit::{Intent, audited};
use lifeboat::ops::drill::{drill, pick_of_each_tier};
use lifeboat::plan::drill::span;
use lifeboat::vault::{DatabaseVault, KeptDrill};
use lifeboat::{Error, Result};
use lifeboat_functions::{Deployment, Invocation, Scope, Unit};

use crate::event::Request;
use crate::{Answer, chosen};

/// One after the other; the first that fails ends it.
pub async fn run(deployment: &Deployment, request: Request, invocation: &Invocation) -> Result<Answer> {
    let vault = deployment.vault().await?;
    let mut wanted = Vec::new();
    if request.each_tier {
        let names = request.database.map_or_else(|| deployment.databases(), |named| vec![named]);
        let there = vault.databases().await?;
        for name in names.into_iter().filter(|name| there.contains(name)) {
            for id in pick_of_each_tier(&vault, &name).await? {
                wanted.push((vault.database(&name).await?, id));
            }
        }
    } else {
        wanted.extend(chosen(deployment, &vault, &request).await?);
    }
    let mut answer = Answer::nothing();
    for (database, id) in wanted {
        answer.drilled.push(rehearse(deployment, &database, &id, invocation).await?);
    }
    Ok(answer)
}

async fn rehearse(
    deployment: &Deployment,
    database: &DatabaseVault,
    id: &BackupId,
    invocation: &Invocation,
) -> Result<KeptDrill> {
    invocation.is_about(&database.name, Some(id));
    let server = deployment.drill_server().await?;
    let options = deployment.config.drill_options(&database.name);
    let scope = Scope { database: Some(&database.name), tier: None };
    let intent = Intent::to(Operation::Drill).database(&database.name).backup(id);
    let drilling = drill(database, id, &server, &options, &invocation.run);
    let drilled = audited(&database.vault, &invocation.run, intent, drilling).await;
    let passed = drilled.as_ref().is_ok_and(|kept| kept.drill.ok);
    deployment.measure(scope, &[("DrillFailed", Unit::Count, if passed { 0.0 } else { 1.0 })]);
    let kept = drilled?;
    measure(deployment, scope, &kept.drill);
    if !passed {
        let failed: Vec<String> = kept.drill.failed().map(ToString::to_string).collect();
        return Err(Error::verification(format!("the drill with {id} failed: {}", failed.join("; ")))
            .hint(format!("its report is kept as {}: lifeboat drill --list", kept.record.object)));
    }
    let title = format!("{}: the restore drill passed", database.name);
    let took = kept.drill.restore_ms.map(span).unwrap_or_default();
    let tolerated = kept.drill.checks.iter().filter(|check| check.outcome == CheckOutcome::Tolerated);
    let text = format!(
        "{id} was restored and proven in {took}. {}",
        tolerated.map(ToString::to_string).collect::<Vec<_>>().join("; ")
    );
    deployment.tell_success(&invocation.alert(deployment, "drill_passed", Severity::Info, title, text)).await;
    Ok(kept)
}

fn measure(deployment: &Deployment, scope: Scope<'_>, drill: &Drill) {
    let scope = Scope { tier: Some(&drill.tier), ..scope };
    let seconds = |ms: u64| ms as f64 / 1000.0;
    let rto = drill.restore_ms.map(|ms| ("RTO", Unit::Seconds, seconds(ms)));
    let rpo = drill.loss_ms.map(|ms| ("RPO", Unit::Seconds, seconds(ms)));
    let metrics: Vec<_> = rto.into_iter().chain(rpo).collect();
    deployment.measure(scope, &metrics);
}
