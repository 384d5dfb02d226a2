//! Servers that belong to one test.

use std::ops::Deref;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Server;
use crate::bed::{call, program};

/// A server that one test may stop, crash and configure; removed with the value. Reads as the [`Server`] it is.
#[derive(Debug)]
pub struct PrivateServer {
    name: String,
    server: Server,
}

/// How a server ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, then the server shuts down in good order.
    Fast,
    /// A crash: the next start recovers.
    Immediate,
}

impl PrivateServer {
    pub(crate) async fn start(major: u32, lines: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("p{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        call(&["remove", &name]).await;
        let major = major.to_string();
        let mut command = vec!["new", &name, &major];
        command.extend(lines);
        let server = Server::described(&call(&command).await);
        Self { name, server }
    }

    pub async fn stop(&self, how: Stop) {
        match how {
            Stop::Fast => drop(call(&["stop", &self.name, "fast"]).await),
            Stop::Immediate => self.crash().await,
        }
    }

    /// At once: by way of the bed it comes seconds later on a busy machine, when there may be nothing left to disturb.
    async fn crash(&self) {
        let pid_file = self.data_dir().join("postmaster.pid");
        let text = std::fs::read_to_string(&pid_file).expect("the server runs");
        let pid = text.lines().next().and_then(|line| line.parse().ok()).and_then(Pid::from_raw);
        kill_process(pid.expect("the file begins with a process id"), Signal::QUIT).expect("the server runs");
        while pid_file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts it again, with `lines` added to its configuration; on the same port unless somebody took that meanwhile.
    pub async fn start_again(&mut self, lines: &[&str]) {
        let mut command = vec!["start", &self.name];
        command.extend(lines);
        self.server = Server::described(&call(&command).await);
    }
}

impl Deref for PrivateServer {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // Best effort: `bed down` removes what is left.
        let _ = std::process::Command::new(program()).args(["remove", &self.name]).status();
    }
}
