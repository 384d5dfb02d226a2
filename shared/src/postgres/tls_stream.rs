//! TLS that reads a little at a time.
//!
//! tokio-native-tls clears all the room that it is offered before it reads one TLS record, 16 KiB, into it. While a long
//! message arrives, that room is as long as the message: a row of 100 MB would cost hundreds of gigabytes of clearing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use native_tls::TlsConnector;
use postgres_native_tls::{MakeTlsConnector, TlsStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};

/// Most that is offered to one read.
const READ_BYTES: usize = 64 * 1024;

/// Makes TLS connections for tokio-postgres.
#[derive(Clone)]
pub(super) struct MakeTls(MakeTlsConnector);

impl MakeTls {
    pub fn new(connector: TlsConnector) -> Self {
        Self(MakeTlsConnector::new(connector))
    }
}

impl<S> MakeTlsConnect<S> for MakeTls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = ShortReads<TlsStream<S>>;
    type TlsConnect = Tls;
    type Error = native_tls::Error;

    fn make_tls_connect(&mut self, domain: &str) -> Result<Tls, native_tls::Error> {
        MakeTlsConnect::<S>::make_tls_connect(&mut self.0, domain).map(Tls)
    }
}

/// Makes one TLS connection.
pub(super) struct Tls(postgres_native_tls::TlsConnector);

impl<S> TlsConnect<S> for Tls
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = ShortReads<TlsStream<S>>;
    type Error = native_tls::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Stream, native_tls::Error>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connecting = self.0.connect(stream);
        Box::pin(async { connecting.await.map(ShortReads) })
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

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

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
}
