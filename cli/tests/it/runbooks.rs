//! The runbooks, as they are written: their commands are run, one after the other, after the disaster that each is for.

use std::path::PathBuf;

use lifeboat_tests::{Bed, TestDb};

use crate::shell::{Shell, small_database};

/// A command or a statement of a runbook.
#[derive(Debug)]
struct Step {
    is_sql: bool,
    exit_code: i32,
    text: String,
}

/// The fenced blocks that are to be run: `sh` and `sql`, with `exit=8` where that is how the command should end.
fn steps(runbook: &str) -> Vec<Step> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/runbooks").join(runbook);
    let text = std::fs::read_to_string(path).unwrap();
    let mut steps = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let (language, exit) = info.split_once(' ').unwrap_or((info, "exit=0"));
        if ["sh", "sql"].contains(&language) {
            let exit_code = exit.strip_prefix("exit=").unwrap().parse().unwrap();
            steps.push(Step { is_sql: language == "sql", exit_code, text: block.join("\n") });
        }
    }
    assert!(!steps.is_empty(), "{runbook} has nothing to run");
    steps
}

struct Scene {
    shell: Shell,
    database: TestDb,
    made: Vec<String>,
}

impl Scene {
    /// A database with orders, and a backup of it.
    async fn new() -> Self {
        let database = small_database().await;
        database.sql("ALTER TABLE orders ADD PRIMARY KEY (id)").await;
        let mut shell = Shell::with_vault(&database).await;
        let programs = PathBuf::from(env!("CARGO_BIN_EXE_lifeboat")).parent().unwrap().to_owned();
        shell.set("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()));
        shell.backup(&["--verify", "full"]);
        Self { shell, database, made: Vec::new() }
    }

    async fn follow(&self, runbook: &str) {
        for step in steps(runbook) {
            let text = step.text.replace("shop", self.database.name());
            if step.is_sql {
                self.database.sql(&text).await;
                continue;
            }
            let mut command = std::process::Command::new("sh");
            command.args(["-euc", &text]).env_clear().envs(self.shell.variables()).current_dir(self.shell.path(""));
            let output = command.output().unwrap();
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.status.code(), Some(step.exit_code), "{runbook}: {text}\n{out}\n{err}");
        }
    }

    async fn orders(&self, database: &str) -> i64 {
        let client = self.database.server().client(database).await;
        client.query_one("SELECT count(*) FROM orders WHERE note = md5(id::text)", &[]).await.unwrap().get(0)
    }

    /// What a runbook made is dropped with the test.
    async fn adopt(&mut self, suffix: &str) -> String {
        let name = format!("{}{suffix}", self.database.name());
        self.made.push(name.clone());
        name
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for name in self.made.drain(..) {
            drop(self.database.server().adopt_database(&name));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_gone_comes_back() {
    let scene = Scene::new().await;
    scene.database.sql("DROP TABLE orders").await;
    scene.follow("a-table-is-gone.md").await;
    assert_eq!(scene.orders(scene.database.name()).await, 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_deleted_come_back_beside_new_ones() {
    let scene = Scene::new().await;
    scene.database.sql("DELETE FROM orders WHERE id > 500; INSERT INTO orders VALUES (9000, md5('9000'))").await;
    scene.follow("rows-are-wrong.md").await;
    assert_eq!(scene.orders(scene.database.name()).await, 2001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_as_it_was_before_the_migration() {
    let scene = Scene::new().await;
    let runbook = steps("a-migration-failed.md");
    assert!(runbook[0].text.contains("backup") && runbook[1].text.contains("restore"), "two commands: {runbook:?}");
    // The migration comes in between; what it broke was right when the first command ran, which runs once more here.
    scene.follow("a-migration-failed.md").await;
    scene.database.sql("SELECT 1").await;
    assert_eq!(scene.orders(scene.database.name()).await, 2000);
    scene.database.sql("UPDATE orders SET note = 'migrated'; DROP TABLE \"Odd one\"").await;
    let arguments = ["restore", "latest", "--tag", "migration=42", "--into", scene.database.name(), "--clean", "--yes"];
    scene.shell.run(&arguments).succeeded();
    assert_eq!(scene.orders(scene.database.name()).await, 2000);
    scene.shell.run(&["restore", "latest", "--tag", "migration=43", "--dry-run"]).failed(9);
    scene.shell.run(&["restore", "2026", "--tag", "migration=42", "--dry-run"]).failed(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_comes_back_on_a_new_server() {
    let mut scene = Scene::new().await;
    let other = Bed::get().server(18).await;
    let name = scene.database.name().to_owned();
    scene.shell.set("NEW_SERVER", other.admin_url());
    scene.shell.set("NEW_DATABASE", other.url(&name, "postgres"));
    scene.follow("the-server-is-lost.md").await;
    drop(other.adopt_database(&name));
}

#[tokio::test(flavor = "multi_thread")]
async fn around_a_damaged_backup_there_is_a_way() {
    let mut scene = Scene::new().await;
    let damaged = scene.shell.backup(&[]);
    scene.shell.set("DAMAGED", damaged);
    scene.shell.damage_a_pack();
    scene.adopt("_rescued").await;
    scene.follow("a-backup-is-damaged.md").await;
    scene.shell.run(&["verify", "latest", "--depth", "full"]).succeeded();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_vault_is_replaced_by_its_copy() {
    let mut scene = Scene::new().await;
    scene.shell.run(&["pull", "latest", "--to", "copy"]).succeeded();
    std::fs::remove_dir_all(scene.shell.path("vault")).unwrap();
    let name = scene.adopt("_from_copy").await;
    scene.follow("the-vault-is-lost.md").await;
    assert_eq!(scene.orders(&name).await, 2000);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_loss_of_the_key_backups_begin_again() {
    let scene = Scene::new().await;
    std::fs::remove_file(scene.shell.path(".config/lifeboat/master.key")).unwrap();
    scene.shell.run(&["list"]).failed(3);
    scene.follow("the-key-is-lost.md").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_region_is_down_work_goes_on_from_a_copy() {
    let mut scene = Scene::new().await;
    scene.shell.run(&["pull", "latest", "--to", "copy"]).succeeded();
    std::fs::remove_dir_all(scene.shell.path("vault")).unwrap();
    let other = Bed::get().server(18).await;
    let name = scene.database.name().to_owned();
    scene.shell.set("NEW_SERVER", other.admin_url());
    scene.shell.set("NEW_DATABASE", other.url(&name, "postgres"));
    scene.follow("the-region-is-down.md").await;
    let adopted = other.adopt_database(&name);
    let found = adopted.client().await.query_one("SELECT count(*) FROM orders", &[]).await.unwrap();
    assert_eq!(found.get::<_, i64>(0), 2000);
}

/// The script of a composite action.
fn script(action: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../infra/github").join(action).join("action.yml");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, script) = text.split_once("      run: |\n").unwrap();
    script.lines().map(|line| format!("{}\n", line.trim_start_matches("        "))).collect()
}

impl Scene {
    /// As a runner does it: with these inputs as variables, and files for outputs. Gives the exit code.
    fn act(&self, action: &str, inputs: &[(&str, &str)]) -> Option<i32> {
        let mut command = std::process::Command::new("bash");
        command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &script(action)]);
        command.env_clear().envs(self.shell.variables()).current_dir(self.shell.path(""));
        command.envs([("GITHUB_OUTPUT", "outputs"), ("GITHUB_STEP_SUMMARY", "summary")]);
        command.envs(inputs.iter().copied()).output().unwrap().status.code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_actions_back_up_before_a_migration_and_put_it_back() {
    let scene = Scene::new().await;
    let backup =
        [("MIGRATION", "77-1"), ("DATABASE", ""), ("TIER", "migration"), ("VERIFY", "full"), ("DEADLINE", "5m")];
    assert_eq!(scene.act("backup", &backup), Some(0));
    let outputs = std::fs::read_to_string(scene.shell.path("outputs")).unwrap();
    let id = outputs.strip_prefix("id=").unwrap().trim();
    scene.shell.run(&["show", id]).succeeded();
    scene.database.sql("UPDATE orders SET note = 'migrated'").await;
    let into = [("MIGRATION", "77-1"), ("DATABASE", ""), ("INTO", scene.database.name())];
    assert_eq!(scene.act("rollback", &into), Some(0));
    assert_eq!(scene.orders(scene.database.name()).await, 2000);
    assert_eq!(scene.act("rollback", &[("MIGRATION", "78-1"), into[1], into[2]]), Some(9));
    let out_of_time = [backup[0], backup[1], backup[2], backup[3], ("DEADLINE", "1ms")];
    assert_ne!(scene.act("backup", &out_of_time), Some(0), "the job ends before the migration");
}
