//! A running PostgreSQL server and the databases that tests make on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;
use tokio_postgres::{Client, Config, NoTls};
use url::Url;

use crate::bed::text;

/// A running server. Over TCP it wants a password (SCRAM) and offers TLS, which it demands of the role `tls_only`;
/// over its socket it trusts everyone. Every role that the bed makes has the password of [`Server::password`].
#[derive(Debug, Clone)]
pub struct Server(Arc<Description>);

#[derive(Debug)]
struct Description {
    major: u32,
    port: u16,
    password: String,
    socket_dir: PathBuf,
    data_dir: PathBuf,
    ca_path: PathBuf,
    other_ca_path: PathBuf,
    has_ipv6: bool,
}

impl Server {
    pub(crate) fn described(value: &Value) -> Self {
        let number = |key: &str| value[key].as_u64().expect("the bed tells numbers");
        let path = |key: &str| PathBuf::from(text(&value[key]));
        Self(Arc::new(Description {
            major: number("major") as u32,
            port: number("port") as u16,
            password: text(&value["password"]),
            socket_dir: path("socket_dir"),
            data_dir: path("data_dir"),
            ca_path: path("ca"),
            other_ca_path: path("other_ca"),
            has_ipv6: value["addresses"].as_array().is_some_and(|all| all.iter().any(|address| address == "::1")),
        }))
    }

    pub fn major(&self) -> u32 {
        self.0.major
    }

    /// Listens on 127.0.0.1, and on ::1 where the machine [has it](Self::has_ipv6).
    pub fn port(&self) -> u16 {
        self.0.port
    }

    pub fn has_ipv6(&self) -> bool {
        self.0.has_ipv6
    }

    pub fn socket_dir(&self) -> &Path {
        &self.0.socket_dir
    }

    pub fn data_dir(&self) -> &Path {
        &self.0.data_dir
    }

    /// The authority that signed the server's certificate, which is for `localhost`, `127.0.0.1` and `::1`.
    pub fn ca_path(&self) -> &Path {
        &self.0.ca_path
    }

    /// An authority that did not.
    pub fn other_ca_path(&self) -> &Path {
        &self.0.other_ca_path
    }

    pub fn password(&self) -> &str {
        &self.0.password
    }

    /// A URL over TCP, with TLS verified in full.
    pub fn url(&self, database: &str, user: &str) -> String {
        let mut url = Url::parse("postgresql://localhost").expect("a constant");
        url.set_port(Some(self.port())).expect("URL has a host");
        url.set_username(user).expect("URL has a host");
        url.set_password(Some(self.password())).expect("URL has a host");
        url.path_segments_mut().expect("URL has a path").push(database);
        url.query_pairs_mut()
            .append_pair("sslmode", "verify-full")
            .append_pair("sslrootcert", &self.ca_path().to_string_lossy());
        url.into()
    }

    /// A superuser's URL of the database `postgres`.
    pub fn admin_url(&self) -> String {
        self.url("postgres", "postgres")
    }

    /// How to connect over the socket, without password or TLS.
    pub fn socket_config(&self, database: &str, user: &str) -> Config {
        let mut config = Config::new();
        config.host_path(self.socket_dir()).port(self.port()).dbname(database).user(user);
        config
    }

    /// A superuser's session.
    pub async fn client(&self, database: &str) -> Client {
        self.client_as(database, "postgres").await
    }

    pub async fn client_as(&self, database: &str, user: &str) -> Client {
        let (client, connection) = self
            .socket_config(database, user)
            .connect(NoTls)
            .await
            .unwrap_or_else(|error| panic!("connecting to {database} as {user}: {error:?}"));
        tokio::spawn(connection);
        client
    }

    /// Runs statements as superuser; panics with the server's complaint.
    pub async fn sql(&self, database: &str, statements: &str) {
        self.client(database)
            .await
            .batch_execute(statements)
            .await
            .unwrap_or_else(|error| panic!("in {database}: {error:?}\n{statements}"));
    }

    /// Runs statements as superuser while no other test does so through this function: for what belongs to the whole
    /// server, like roles, where concurrent statements fail.
    pub async fn sql_exclusively(&self, database: &str, statements: &str) {
        // Advisory locks are a database's own, so the lock is taken where all can meet.
        let gate = self.client("postgres").await;
        gate.batch_execute("SELECT pg_advisory_lock(1)").await.expect("an advisory lock can be taken");
        self.sql(database, statements).await;
    }

    /// The role that reads backups, made and granted by `infra/sql/backup_role.sql` in this database.
    pub async fn backup_role(&self, database: &str) -> &'static str {
        self.role(database, "lifeboat", include_str!("../../infra/sql/backup_role.sql")).await
    }

    /// The role that restores, made and granted by `infra/sql/restore_role.sql` in this database.
    pub async fn restore_role(&self, database: &str) -> &'static str {
        self.role(database, "lifeboat_restore", include_str!("../../infra/sql/restore_role.sql")).await
    }

    async fn role(&self, database: &str, name: &'static str, script: &str) -> &'static str {
        let password = format!("\nALTER ROLE {name} PASSWORD '{}';", self.password());
        self.sql_exclusively(database, &(script.to_owned() + &password)).await;
        name
    }

    /// A new empty database with a name of its own, dropped with the value.
    pub async fn create_database(&self) -> TestDb {
        self.create_database_with("").await
    }

    /// The same with options of `CREATE DATABASE`, for example `ENCODING 'LATIN1' LOCALE 'C'`.
    pub async fn create_database_with(&self, options: &str) -> TestDb {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // A run before ours may have had our process id and died before it tidied up.
        drop_database(self, &name).await;
        self.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0 {options}")).await;
        TestDb { server: self.clone(), name }
    }

    /// Adopts a database that the code under test made, to drop it with the value.
    pub fn adopt_database(&self, name: &str) -> TestDb {
        TestDb { server: self.clone(), name: name.to_owned() }
    }
}

/// A database that lives as long as this value.
#[derive(Debug)]
pub struct TestDb {
    server: Server,
    name: String,
}

impl TestDb {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// A superuser's URL.
    pub fn url(&self) -> String {
        self.url_as("postgres")
    }

    pub fn url_as(&self, user: &str) -> String {
        self.server.url(&self.name, user)
    }

    /// A superuser's session.
    pub async fn client(&self) -> Client {
        self.server.client(&self.name).await
    }

    pub async fn client_as(&self, user: &str) -> Client {
        self.server.client_as(&self.name, user).await
    }

    /// Runs statements as superuser; panics with the server's complaint.
    pub async fn sql(&self, statements: &str) {
        self.server.sql(&self.name, statements).await;
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let server = self.server.clone();
        let name = std::mem::take(&mut self.name);
        // A thread, because the test's runtime is busy or gone; joined, because the process may end with the test.
        let tidying = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built")
                .block_on(drop_database(&server, &name));
        });
        if tidying.join().is_err() {
            // What is left is dropped with the server; a second panic would hide the test's own.
        }
    }
}

/// Best effort: a database that stays costs disk until `bed down`.
async fn drop_database(server: &Server, name: &str) {
    let Ok((client, connection)) = server.socket_config("postgres", "postgres").connect(NoTls).await else {
        return;
    };
    tokio::spawn(connection);
    let quoted = format!("\"{}\"", name.replace('"', "\"\""));
    let drop = format!("DROP DATABASE IF EXISTS {quoted} WITH (FORCE)");
    if client.batch_execute(&drop).await.is_err() {
        drop_subscriptions(server, name).await;
        let _ = client.batch_execute(&drop).await;
    }
}

/// A database with subscriptions refuses to be dropped; ours never had a slot on the other side.
async fn drop_subscriptions(server: &Server, name: &str) {
    let Ok((client, connection)) = server.socket_config(name, "postgres").connect(NoTls).await else {
        return;
    };
    tokio::spawn(connection);
    let list = "SELECT format('ALTER SUBSCRIPTION %1$I DISABLE', subname), \
                format('ALTER SUBSCRIPTION %1$I SET (slot_name = NONE)', subname), \
                format('DROP SUBSCRIPTION %1$I', subname) FROM pg_subscription \
                WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())";
    for row in client.query(list, &[]).await.unwrap_or_default() {
        for statement in 0..3 {
            let _ = client.batch_execute(row.get(statement)).await;
        }
    }
}
