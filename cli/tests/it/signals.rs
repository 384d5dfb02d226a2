//! Ctrl-C and SIGTERM stop cleanly, twice stops at once.

use std::io::{BufRead, BufReader};
use std::process::Child;

use lifeboat_tests::TestDb;
use rustix::process::{Pid, Signal, kill_process};

use crate::shell::{Said, Shell, small_database};

/// A backup that takes minutes, in the middle of reading rows.
fn slow_backup(shell: &Shell) -> Child {
    let mut child = shell.command(&["backup", "--max-rate", "1kB", "--json"]).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("rows") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended before it read rows");
    }
    child.stderr = Some(stderr.into_inner());
    child
}

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).unwrap();
}

async fn database() -> TestDb {
    let database = small_database().await;
    database.sql("INSERT INTO orders SELECT i, repeat('x', 200) FROM generate_series(1, 20000) i").await;
    database
}

#[tokio::test]
async fn a_signal_stops_a_backup_cleanly_and_the_next_one_succeeds() {
    let database = database().await;
    let shell = Shell::with_vault(&database).await;
    for signal in [Signal::INT, Signal::TERM] {
        let child = slow_backup(&shell);
        send(&child, signal);
        let said = Said::of(child.wait_with_output().unwrap()).failed(11);
        assert_eq!(said.json()["error"]["kind"], "out_of_time");
        assert_eq!(shell.run(&["list", "--json"]).succeeded().json().as_array().unwrap().len(), 0);
    }
    let id = shell.backup(&[]);
    shell.run(&["verify", &id]).succeeded();
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let database = database().await;
    let shell = Shell::with_vault(&database).await;
    let child = slow_backup(&shell);
    send(&child, Signal::INT);
    send(&child, Signal::INT);
    Said::of(child.wait_with_output().unwrap()).failed(11);
}
