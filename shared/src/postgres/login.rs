//! A bare, authenticated stream to the pinned server, for programs that bring a protocol of their own.
//!
//! The same way in as every session has: the pinned address, the same TLS, the same password, channel binding where
//! the server offers it. Nothing of that reaches the program on the other side.

use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding as Binding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};

use super::dsn::{ChannelBinding, Place};
use super::error::{from_handshake, from_io, from_tls};
use super::route::{Address, KEEPALIVE_IDLE, KEEPALIVE_INTERVAL, KEEPALIVE_RETRIES, Route};
use super::tls::ends;
use crate::error::{Error, Result};

/// Longest message of the start of a session: names and settings, never rows.
const MAX_GREETING_BYTES: usize = 64 * 1024;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection to the server, encrypted as pinned, on which nothing of a session was said yet.
pub(super) struct Wire {
    pub stream: BufReader<Box<dyn Duplex>>,
    /// What SCRAM may bind to: the hash of the server's certificate.
    endpoint: Option<Vec<u8>>,
}

/// One message of the server.
pub(super) struct Message {
    pub tag: u8,
    pub body: Vec<u8>,
}

impl Message {
    /// As it stood on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let length = self.body.len() as u32 + 4;
        [&[self.tag][..], &length.to_be_bytes(), &self.body].concat()
    }
}

/// How the server took the authentication.
pub(super) enum Answer {
    /// Let in; the session's parameters follow.
    Welcome,
    /// Refused, with the server's own error for whoever wanted the session.
    Refused(Message),
}

impl Wire {
    /// Connects and encrypts as the route says; kinds of errors as for any connection.
    pub async fn open(route: &Route) -> Result<Self> {
        match &route.endpoint.address {
            Address::Socket(directory) => {
                let path = directory.join(format!(".s.PGSQL.{}", route.endpoint.host.port));
                Ok(Self::plain(UnixStream::connect(path).await.map_err(|e| from_io(&e))?))
            }
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await.map_err(|e| from_io(&e))?;
                keep_alive(&stream).map_err(|e| from_io(&e))?;
                if route.endpoint.encrypted { Self::encrypted(route, stream).await } else { Ok(Self::plain(stream)) }
            }
        }
    }

    fn plain(stream: impl Duplex + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)), endpoint: None }
    }

    async fn encrypted(route: &Route, mut stream: TcpStream) -> Result<Self> {
        let mut request = bytes::BytesMut::new();
        frontend::ssl_request(&mut request);
        stream.write_all(&request).await.map_err(|e| from_io(&e))?;
        // Byte by byte: what follows the answer belongs to the handshake.
        if stream.read_u8().await.map_err(|e| from_io(&e))? != b'S' {
            return Err(from_tls("server does not support TLS"));
        }
        let name = match &route.endpoint.host.place {
            Place::Network { name, .. } => name.as_str(),
            Place::Socket(_) => "",
        };
        let connector = tokio_native_tls::TlsConnector::from(route.tls.clone());
        let stream = connector.connect(name, stream).await.map_err(|e| from_handshake(&e))?;
        let endpoint = stream.get_ref().tls_server_end_point().ok().flatten();
        route.certificate_until.get_or_init(|| ends(&stream.get_ref().peer_certificate().ok()??.to_der().ok()?));
        Ok(Self { stream: BufReader::new(Box::new(stream)), endpoint })
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await.map_err(|e| from_io(&e))?;
        self.stream.flush().await.map_err(|e| from_io(&e))
    }

    /// The server's next message while the session begins.
    pub async fn receive(&mut self) -> Result<Message> {
        let tag = self.stream.read_u8().await.map_err(|e| from_io(&e))?;
        let length = self.stream.read_u32().await.map_err(|e| from_io(&e))? as usize;
        let body_bytes = length
            .checked_sub(4)
            .filter(|bytes| *bytes <= MAX_GREETING_BYTES)
            .ok_or_else(|| Error::database("the server does not speak PostgreSQL's protocol"))?;
        let mut body = vec![0; body_bytes];
        self.stream.read_exact(&mut body).await.map_err(|e| from_io(&e))?;
        Ok(Message { tag, body })
    }

    /// Answers the server's demands after a startup message was sent. `before` gets what is neither demand nor answer.
    pub async fn authenticate(&mut self, route: &Route, before: &mut Vec<u8>) -> Result<Answer> {
        loop {
            let message = self.receive().await?;
            match message.tag {
                b'R' => {
                    let (demand, rest) = demand(&message.body)?;
                    match demand {
                        OK => {
                            require_bound(route, false)?;
                            return Ok(Answer::Welcome);
                        }
                        CLEARTEXT => self.say_password(password(route)?).await?,
                        MD5 => {
                            let salt = rest.try_into().map_err(|_| unknown_method())?;
                            let user = route.dsn.user().as_bytes();
                            self.say_password(md5_hash(user, password(route)?, salt).as_bytes()).await?;
                        }
                        SASL => match self.scram(route, rest).await? {
                            None => return self.final_answer().await,
                            Some(refusal) => return Ok(Answer::Refused(refusal)),
                        },
                        _ => return Err(unknown_method()),
                    }
                }
                b'E' => return Ok(Answer::Refused(message)),
                _ => before.extend(message.bytes()),
            }
        }
    }

    async fn say_password(&mut self, password: &[u8]) -> Result<()> {
        let mut message = bytes::BytesMut::new();
        frontend::password_message(password, &mut message).map_err(|_| unusable_password())?;
        self.send(&message).await
    }

    /// The SCRAM exchange; gives the server's error where it refuses.
    async fn scram(&mut self, route: &Route, mechanisms: &[u8]) -> Result<Option<Message>> {
        let offers = |name: &str| mechanisms.split(|b| *b == 0).any(|offer| offer == name.as_bytes());
        let usable = self.endpoint.take().filter(|_| route.dsn.channel_binding() != ChannelBinding::Disable);
        let (binding, mechanism) = match usable {
            Some(endpoint) if offers(SCRAM_SHA_256_PLUS) => {
                (Binding::tls_server_end_point(endpoint), SCRAM_SHA_256_PLUS)
            }
            _ if !offers(SCRAM_SHA_256) => return Err(unknown_method()),
            // Says "I could have bound", so that whoever took the stronger offer away is found out.
            Some(_) => (Binding::unrequested(), SCRAM_SHA_256),
            None => (Binding::unsupported(), SCRAM_SHA_256),
        };
        require_bound(route, mechanism == SCRAM_SHA_256_PLUS)?;
        let mut scram = ScramSha256::new(password(route)?, binding);
        let mut message = bytes::BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut message).map_err(|_| unusable_password())?;
        self.send(&message).await?;

        let challenge = self.receive().await?;
        if challenge.tag == b'E' {
            return Ok(Some(challenge));
        }
        scram.update(sasl_data(&challenge, SASL_CONTINUE)?).map_err(|_| failed_exchange())?;
        let mut message = bytes::BytesMut::new();
        frontend::sasl_response(scram.message(), &mut message).map_err(|_| unusable_password())?;
        self.send(&message).await?;

        let proof = self.receive().await?;
        if proof.tag == b'E' {
            return Ok(Some(proof));
        }
        scram.finish(sasl_data(&proof, SASL_FINAL)?).map_err(|_| failed_exchange())?;
        Ok(None)
    }

    async fn final_answer(&mut self) -> Result<Answer> {
        let message = self.receive().await?;
        match message.tag {
            b'R' if demand(&message.body)?.0 == OK => Ok(Answer::Welcome),
            b'E' => Ok(Answer::Refused(message)),
            _ => Err(failed_exchange()),
        }
    }
}

const OK: u32 = 0;
const CLEARTEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

fn demand(body: &[u8]) -> Result<(u32, &[u8])> {
    let (code, rest) = body.split_first_chunk().ok_or_else(unknown_method)?;
    Ok((u32::from_be_bytes(*code), rest))
}

fn sasl_data(message: &Message, expected: u32) -> Result<&[u8]> {
    match demand(&message.body)? {
        (code, data) if message.tag == b'R' && code == expected => Ok(data),
        _ => Err(failed_exchange()),
    }
}

fn password(route: &Route) -> Result<&[u8]> {
    let password = route
        .password
        .as_ref()
        .ok_or_else(|| Error::configuration("the server asks for a password and the connection has none"))?;
    Ok(password.expose_secret().as_bytes())
}

fn require_bound(route: &Route, bound: bool) -> Result<()> {
    if route.dsn.channel_binding() == ChannelBinding::Require && !bound {
        return Err(Error::configuration("the server did not use channel binding, which the connection requires"));
    }
    Ok(())
}

fn unknown_method() -> Error {
    Error::configuration("the server asks for a method of authentication that is not supported")
        .hint("use scram-sha-256 for this role in pg_hba.conf")
}

fn unusable_password() -> Error {
    Error::configuration("the password holds a character that the protocol cannot carry")
}

fn failed_exchange() -> Error {
    Error::configuration("authentication failed: the server's side of the exchange is not valid")
}

/// As for every other session: relays through load balancers go silent too.
fn keep_alive(stream: &TcpStream) -> std::io::Result<()> {
    use rustix::net::sockopt;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_RETRIES)?;
    Ok(())
}
