//! TLS for the sessions: what is decrypted is read a little at a time, what is encrypted in large pieces.
//!
//! tokio-native-tls clears all the room that it is offered before it reads one TLS record, 16 KiB, into it. While a long
//! message arrives, that room is as long as the message: a row of 100 MB would cost hundreds of gigabytes of clearing. So
//! [`ShortReads`], above TLS, offers little.
//!
//! OpenSSL asks for every record twice, its five bytes of header and then the rest, with a system call each. So [`Gathered`],
//! below TLS, takes from the socket as much as has come.
//!
//! tokio-postgres takes every row's message apart by itself, which costs more than the row is worth. So
//! [`Joined`], on top, joins them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use native_tls::TlsConnector;
use postgres_native_tls::{MakeTlsConnector, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};

use super::joined_rows::Joined;

/// Most that is offered to one read of what was decrypted: a TLS record.
const READ_BYTES: usize = 16 << 10;
/// Most that is taken from the socket at once.
const GATHERED_BYTES: usize = 128 << 10;
/// So much in a row without a word of ours is a stream of rows.
const STREAM_BYTES: u64 = 32 << 10;
/// How long a stream is left to come in before it is looked at again.
const NAP: Duration = Duration::from_millis(1);

/// What a session does when nothing has come yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Wakes with the first byte.
    Eager,
    /// In the midst of a stream of rows it sleeps for a millisecond, and then finds many of them: a server that is as fast as
    /// we are wakes us for every few rows otherwise, and both spend their time on that.
    Patient,
}

/// What tokio-postgres speaks to.
pub(super) type Decrypted<S> = Joined<ShortReads<TlsStream<Gathered<S>>>>;

/// Makes TLS connections for tokio-postgres.
#[derive(Clone)]
pub(super) struct MakeTls {
    connector: MakeTlsConnector,
    waiting: Waiting,
}

impl MakeTls {
    pub fn new(connector: TlsConnector, waiting: Waiting) -> Self {
        Self { connector: MakeTlsConnector::new(connector), waiting }
    }
}

impl<S> MakeTlsConnect<S> for MakeTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Decrypted<S>;
    type TlsConnect = Tls;
    type Error = native_tls::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Tls, native_tls::Error> {
        let connector = MakeTlsConnect::<Gathered<S>>::make_tls_connect(&mut self.connector, domain)?;
        Ok(Tls { connector, waiting: self.waiting })
    }
}

/// Makes one TLS connection.
pub(super) struct Tls {
    connector: postgres_native_tls::TlsConnector,
    waiting: Waiting,
}

impl<S> TlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Decrypted<S>;
    type Error = native_tls::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, native_tls::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.connector.connect(Gathered::new(stream, self.waiting));
        let joins = self.waiting == Waiting::Patient;
        Box::pin(async move { Ok(Joined::new(ShortReads(connecting.await?), joins)) })
    }
}

/// A stream of which each read asks for little.
pub(super) struct ShortReads<S>(S);

impl<S: AsyncRead + Unpin> AsyncRead for ShortReads<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut little = ReadBuf::new(room.initialize_unfilled_to(room.remaining().min(READ_BYTES)));
        ready!(Pin::new(&mut self.0).poll_read(cx, &mut little))?;
        let read = little.filled().len();
        room.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ShortReads<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<S: tokio_postgres::tls::TlsStream + Unpin> tokio_postgres::tls::TlsStream for ShortReads<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.0.channel_binding()
    }
}

/// A stream that is read in large pieces, whatever is asked of it.
pub(super) struct Gathered<S> {
    stream: S,
    waiting: Waiting,
    buffer: Box<[u8]>,
    /// What of the buffer was not taken yet.
    taken: usize,
    filled: usize,
    /// Since we said something.
    received_bytes: u64,
    nap: Option<Pin<Box<Sleep>>>,
}

impl<S> Gathered<S> {
    fn new(stream: S, waiting: Waiting) -> Self {
        let buffer = vec![0; GATHERED_BYTES].into_boxed_slice();
        Self { stream, waiting, buffer, taken: 0, filled: 0, received_bytes: 0, nap: None }
    }

    /// Whether more will come by itself. After a buffer that was full it has come already.
    fn should_nap(&self) -> bool {
        self.waiting == Waiting::Patient && self.received_bytes >= STREAM_BYTES && self.filled < GATHERED_BYTES
    }
}

impl<S: AsyncRead + Unpin> Gathered<S> {
    /// Ready once there is something to take, or the stream has ended.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.nap.is_none() && self.should_nap() {
            self.nap = Some(Box::pin(tokio::time::sleep(NAP)));
        }
        if let Some(nap) = &mut self.nap {
            ready!(nap.as_mut().poll(cx));
            self.nap = None;
        }
        let mut room = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        (self.taken, self.filled) = (0, room.filled().len());
        self.received_bytes += self.filled as u64;
        Poll::Ready(Ok(()))
    }
}
impl<S: AsyncRead + Unpin> AsyncRead for Gathered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.taken == self.filled {
            ready!(self.poll_fill(cx))?;
        }
        let end = self.filled.min(self.taken + room.remaining());
        room.put_slice(&self.buffer[self.taken..end]);
        self.taken = end;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Gathered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.received_bytes = 0;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Tells how much room each read was offered.
    struct Offered(Vec<usize>);

    impl AsyncRead for Offered {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            self.0.push(room.remaining());
            room.put_slice(&[7; 10]);
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn however_much_room_there_is_a_read_is_offered_little_of_it() {
        let mut stream = ShortReads(Offered(Vec::new()));
        let mut room = vec![0; 1 << 20];
        assert_eq!(stream.read(&mut room).await.unwrap(), 10);
        assert_eq!(stream.read(&mut room[..20]).await.unwrap(), 10);
        assert_eq!(stream.0.0, [READ_BYTES, 20]);
        assert_eq!(room[..11], [7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever the pieces are in which bytes are sent and asked for, and whoever waits how.
        #[test]
        fn what_was_sent_arrives(
            sent in prop::collection::vec(0usize..300_000, 1..6), asked in 1usize..200_000, is_patient: bool,
        ) {
            let waiting = if is_patient { Waiting::Patient } else { Waiting::Eager };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let all: Vec<u8> = (0..sent.iter().sum::<usize>()).map(|at| (at % 251) as u8).collect();
            let arrived = runtime.block_on(async {
                let (mut far, near) = tokio::io::duplex(70_000);
                let mut near = Gathered::new(near, waiting);
                let send = async {
                    let mut rest = &all[..];
                    for length in sent {
                        let (piece, after) = rest.split_at(length);
                        far.write_all(piece).await.unwrap();
                        tokio::time::sleep(NAP).await;
                        rest = after;
                    }
                    drop(far);
                };
                let receive = async {
                    let (mut arrived, mut room) = (Vec::new(), vec![0; asked]);
                    loop {
                        match near.read(&mut room).await.unwrap() {
                            0 => return arrived,
                            read => arrived.extend_from_slice(&room[..read]),
                        }
                    }
                };
                tokio::join!(send, receive).1
            });
            prop_assert!(arrived == all);
        }
    }

    #[tokio::test]
    async fn only_a_stream_is_left_to_gather_and_an_answer_is_had_at_once() {
        let (mut far, near) = tokio::io::duplex(1 << 20);
        let mut near = Gathered::new(near, Waiting::Patient);
        let mut room = vec![0; GATHERED_BYTES];
        assert!(!near.should_nap());
        far.write_all(&[1; STREAM_BYTES as usize]).await.unwrap();
        near.read_exact(&mut room[..STREAM_BYTES as usize]).await.unwrap();
        assert!(near.should_nap());
        far.write_all(&[2; GATHERED_BYTES]).await.unwrap();
        near.read_exact(&mut room).await.unwrap();
        assert!(!near.should_nap(), "a full buffer has more behind it");
        near.filled = 1;
        near.taken = 1;
        near.write_all(b"another question").await.unwrap();
        assert!(!near.should_nap());
        let mut eager = Gathered::new(tokio::io::empty(), Waiting::Eager);
        eager.received_bytes = STREAM_BYTES;
        assert!(!eager.should_nap());
    }
}
