//! A Unix socket that is the pinned server: what connects to it gets a session there.
//!
//! pg_dump resolves names itself, checks certificates with its own OpenSSL (if it was built with any) and needs the
//! password. Instead it is given this socket, in a directory that only we may enter. For each of its connections we go
//! our own way to the server, with our certificate checks, and log in; then bytes are relayed both ways. The program
//! never sees address, certificate or password.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::connect::Connector;
use super::login::{Answer, Wire};
use super::route::Route;
use crate::error::{Error, Result};

/// The port in the socket's name; no network port is opened.
pub(super) const PORT: u16 = 5432;

const SSL_REQUEST: u32 = 80_877_103;
const GSS_REQUEST: u32 = 80_877_104;
const CANCEL_REQUEST: u32 = 80_877_102;
const MAX_STARTUP_BYTES: usize = 10_000;
const RELAY_BYTES: usize = 64 * 1024;

/// Relays until closed or dropped. What is still running on the server then is cancelled there.
pub(super) struct Proxy {
    directory: TempDir,
    failure: Failure,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// Why a connection could not be made: the program at the socket cannot tell.
type Failure = Arc<Mutex<Option<Error>>>;

impl Proxy {
    /// Listens, on the current runtime.
    pub fn start(connector: &Connector) -> Result<Self> {
        let setting_up = |e: io::Error| Error::configuration("cannot listen on a private socket").because(e);
        let directory = private_directory().map_err(setting_up)?;
        let socket = directory.path().join(format!(".s.PGSQL.{PORT}"));
        let listener = UnixListener::bind(socket).map_err(setting_up)?;
        let stop = CancellationToken::new();
        let failure = Failure::default();
        let tasks = TaskTracker::new();
        let relays = Relays { route: connector.route().clone(), failure: failure.clone(), stop: stop.clone() };
        tasks.spawn(relays.accept(listener, tasks.clone()));
        Ok(Self { directory, failure, tasks, stop: stop.drop_guard() })
    }

    /// The `host` to connect to.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends all relays, and their sessions on the server. Gives why a connection could not be made, if one could not.
    pub async fn close(self) -> Option<Error> {
        drop(self.stop);
        self.tasks.close();
        self.tasks.wait().await;
        self.failure.lock().expect("nobody panics holding it").take()
    }
}

/// A socket's path may have some hundred bytes, which a long `TMPDIR` would exceed.
fn private_directory() -> io::Result<TempDir> {
    const LONGEST_PARENT: usize = 60;
    let mut builder = tempfile::Builder::new();
    let owner_only = std::fs::Permissions::from_mode(0o700);
    builder.prefix("lifeboat-").permissions(owner_only);
    let parent = std::env::temp_dir();
    if parent.as_os_str().len() > LONGEST_PARENT { builder.tempdir_in("/tmp") } else { builder.tempdir_in(parent) }
}

#[derive(Clone)]
struct Relays {
    route: Route,
    failure: Failure,
    stop: CancellationToken,
}

impl Relays {
    async fn accept(self, listener: UnixListener, tasks: TaskTracker) {
        while let Some(Ok((client, _))) = self.stop.run_until_cancelled(listener.accept()).await {
            tasks.spawn(self.clone().relay(client));
        }
    }

    async fn relay(self, client: UnixStream) {
        if let Err(error) = serve(client, &self.route, &self.stop).await {
            *self.failure.lock().expect("nobody panics holding it") = Some(error);
        }
    }
}

async fn serve(mut client: UnixStream, route: &Route, stop: &CancellationToken) -> Result<()> {
    // A program that hangs up before it has said anything is no failure of ours.
    let Ok(Some(startup)) = read_startup(&mut client).await else {
        return Ok(());
    };
    let beginning = begin(route, &startup);
    let Some(begun) = stop.run_until_cancelled(route.in_time(beginning)).await else {
        return Ok(());
    };
    let (mut server, greeting, key) = begun?.map_err(|e| e.context(route.connecting()))?;
    if client.write_all(&greeting).await.is_err() {
        return Ok(());
    }
    let relay = copy_bidirectional_with_sizes(&mut client, &mut server.stream, RELAY_BYTES, RELAY_BYTES);
    // How a relay ends is for the two sides to tell each other.
    if stop.run_until_cancelled(relay).await.is_none() {
        cancel(route, key).await;
    }
    Ok(())
}

/// The startup packet, after declining encryption. `None` is a cancel request: we cancel ourselves.
async fn read_startup(client: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    loop {
        let length = client.read_u32().await?;
        let code = client.read_u32().await?;
        match code {
            SSL_REQUEST | GSS_REQUEST => client.write_all(b"N").await?,
            CANCEL_REQUEST => return Ok(None),
            _ => {
                let rest = (length as usize).checked_sub(8).filter(|bytes| *bytes <= MAX_STARTUP_BYTES);
                let mut packet = [length.to_be_bytes(), code.to_be_bytes()].concat();
                packet.resize(8 + rest.ok_or(io::ErrorKind::InvalidData)?, 0);
                client.read_exact(&mut packet[8..]).await?;
                return Ok(Some(packet));
            }
        }
    }
}

/// Process id and secret of a session, as a cancel request carries them.
type CancelKey = Vec<u8>;

/// Begins a session; gives also all that its client must hear of that, up to the server's first "ready".
async fn begin(route: &Route, startup: &[u8]) -> Result<(Wire, Vec<u8>, CancelKey)> {
    let mut server = Wire::open(route).await?;
    server.send(startup).await?;
    let mut greeting = Vec::new();
    match server.authenticate(route, &mut greeting).await? {
        Answer::Welcome => greeting.extend(AUTHENTICATION_OK),
        Answer::Refused(error) => {
            greeting.extend(error.bytes());
            return Ok((server, greeting, CancelKey::new()));
        }
    }
    let mut key = CancelKey::new();
    loop {
        let message = server.receive().await?;
        greeting.extend(message.bytes());
        match message.tag {
            b'K' => key = message.body,
            // Refused after all (no such database, too many connections) or ready.
            b'E' | b'Z' => return Ok((server, greeting, key)),
            _ => {}
        }
    }
}

const AUTHENTICATION_OK: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 0];

/// Asks the server to stop what the session is doing, such as waiting for a lock. Nobody waits for the outcome.
async fn cancel(route: &Route, key: CancelKey) {
    if key.is_empty() {
        return;
    }
    let length = key.len() as u32 + 8;
    let request = [&length.to_be_bytes()[..], &CANCEL_REQUEST.to_be_bytes(), &key].concat();
    let asking = async {
        let mut server = Wire::open(route).await?;
        server.send(&request).await
    };
    if let Err(error) = route.in_time(asking).await.and_then(|asked| asked) {
        tracing::debug!(%error, "could not cancel the statement of an ended pg_dump");
    }
}
