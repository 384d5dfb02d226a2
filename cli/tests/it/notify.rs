//! Telling people from a shell.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};

use serde_json::Value;

use crate::shell::{Shell, small_database};

/// Takes whatever is posted, one after the other.
pub fn receiver() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (sender, posted) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            if sender.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, posted)
}

#[tokio::test]
async fn what_is_wrong_is_told_once_and_a_broken_channel_is_told_on_the_other() {
    let database = small_database().await;
    let mut shell = Shell::with_vault(&database).await;
    let (url, posted) = receiver();
    shell.set("HOOK", url);
    shell.set("SLACK", "http://127.0.0.1:1/services/T0/secret");
    shell.run(&["notify", "test"]).failed(3);
    shell.write("lifeboat.toml", "[notify]\nsource = 'acme'\n[notify.webhook]\nurl = 'env:HOOK'\nkey = 'env:HOOK'\n");
    let tried = shell.run(&["notify", "test", "--json"]).succeeded().json();
    assert_eq!(tried["sent"], serde_json::json!(["webhook"]));
    assert_eq!(posted.recv().unwrap()["kind"], "test");

    shell.backup(&["--verify", "full"]);
    shell.run(&["status", "--notify"]).succeeded();
    database.sql("DELETE FROM orders WHERE id > 100").await;
    shell.backup(&["--verify", "full"]);
    for _ in 0..2 {
        shell.run(&["status", "--notify"]).succeeded();
    }
    let told = posted.recv().unwrap();
    assert_eq!(
        (&told["kind"], &told["occasion"], &told["source"]),
        (&"rows_lost".into(), &"opened".into(), &"acme".into())
    );
    shell.backup(&["--verify", "full"]);
    shell.run(&["status", "--notify"]).succeeded();
    assert_eq!(posted.recv().unwrap()["occasion"], "resolved", "once, and then that it is over");

    shell.write("lifeboat.toml", "[notify.webhook]\nurl = 'env:HOOK'\n[notify.slack]\nurl = 'env:SLACK'\n");
    let tried = shell.run(&["notify", "test"]).failed(3);
    assert!(tried.stdout.contains("Slack cannot be reached") && !tried.all().contains("T0/secret"), "{tried:?}");
    assert_eq!(posted.recv().unwrap()["kind"], "test");
    assert_eq!(posted.recv().unwrap()["kind"], "channel_failed");
    assert!(posted.try_recv().is_err());
}
