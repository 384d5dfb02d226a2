//! Joins the messages in which a server sends rows.
//!
//! A server sends each row of a COPY in a message of its own, and tokio-postgres takes each apart by itself: some eight
//! counted references, copies and wake-ups per row, two fifths of what receiving rows cost. Where a row ends is in the rows, and
//! the protocol lets messages be cut anywhere, so what comes together is made one message here.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsStream};

/// The most that is joined.
const BUFFER_BYTES: usize = 32 << 10;
/// A message's tag, and its length without the tag.
const HEADER_BYTES: usize = 5;
const COPY_DATA: u8 = b'd';

/// A stream of messages of a server, in which adjacent messages with rows are one.
pub(super) struct Joined<S> {
    stream: S,
    /// `None` passes everything on as it comes.
    joiner: Option<Joiner>,
}

impl<S> Joined<S> {
    /// `stream` begins where a message does.
    pub fn new(stream: S, joins: bool) -> Self {
        Self { stream, joiner: joins.then(Joiner::new) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Joined<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { stream, joiner } = &mut *self;
        let mut stream = Pin::new(stream);
        let Some(joiner) = joiner else { return stream.poll_read(cx, room) };
        if joiner.is_given() {
            ready!(joiner.poll_fill(cx, stream.as_mut()))?;
        }
        joiner.give(room);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Joined<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S: TlsStream + Unpin> TlsStream for Joined<S> {
    fn channel_binding(&self) -> ChannelBinding {
        self.stream.channel_binding()
    }
}

/// A buffer that holds, in this order: what was given, what can be given, and the beginning of a message that is not whole.
struct Joiner {
    buffer: Box<[u8]>,
    given: usize,
    /// Up to here it can be given.
    ready: usize,
    filled: usize,
    /// The last message that can be given, where it is one that more can be joined to.
    open: Option<usize>,
    /// So much is still to come of a message that does not fit in here: it is given in pieces.
    passing_bytes: usize,
    /// What went wrong after there was something to give.
    failed: Option<io::Error>,
}

impl Joiner {
    fn new() -> Self {
        let buffer = vec![0; BUFFER_BYTES].into_boxed_slice();
        Self { buffer, given: 0, ready: 0, filled: 0, open: None, passing_bytes: 0, failed: None }
    }

    fn is_given(&self) -> bool {
        self.given == self.ready
    }

    /// Takes what is left to give as far as there is room.
    fn give(&mut self, room: &mut ReadBuf<'_>) {
        let end = self.ready.min(self.given + room.remaining());
        room.put_slice(&self.buffer[self.given..end]);
        self.given = end;
    }

    /// Ready once something can be given, or the stream has ended. Takes more than that if it has come already.
    fn poll_fill(&mut self, cx: &mut Context<'_>, mut stream: Pin<&mut impl AsyncRead>) -> Poll<io::Result<()>> {
        if let Some(error) = self.failed.take() {
            return Poll::Ready(Err(error));
        }
        self.buffer.copy_within(self.ready..self.filled, 0);
        (self.filled, self.given, self.ready, self.open) = (self.filled - self.ready, 0, 0, None);
        while self.filled < self.buffer.len() {
            let mut room = ReadBuf::new(&mut self.buffer[self.filled..]);
            match stream.as_mut().poll_read(cx, &mut room) {
                Poll::Ready(Ok(())) => {}
                Poll::Pending if self.ready == 0 => return Poll::Pending,
                Poll::Pending => break,
                Poll::Ready(Err(error)) if self.ready == 0 => return Poll::Ready(Err(error)),
                Poll::Ready(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
            }
            let read = room.filled().len();
            if read == 0 {
                // Whoever reads it will see that it is not whole.
                self.ready = self.filled;
                break;
            }
            self.filled += read;
            self.join();
        }
        Poll::Ready(Ok(()))
    }

    /// Makes of what came what can be given.
    fn join(&mut self) {
        let mut at = self.ready;
        while at < self.filled {
            let come = self.filled - at;
            if self.passing_bytes > 0 {
                let piece = come.min(self.passing_bytes);
                self.passing_bytes -= piece;
                self.keep(&mut at, piece);
                continue;
            }
            let Some((tag, message)) = header(&self.buffer[at..self.filled]) else { break };
            match message {
                Some(length) if length <= come => match self.open.filter(|_| tag == COPY_DATA) {
                    Some(open) => {
                        at += HEADER_BYTES;
                        self.keep(&mut at, length - HEADER_BYTES);
                        let joined = u32::try_from(self.ready - open - 1).expect("the buffer is shorter");
                        self.buffer[open + 1..open + HEADER_BYTES].copy_from_slice(&joined.to_be_bytes());
                    }
                    None => {
                        self.open = (tag == COPY_DATA).then_some(self.ready);
                        self.keep(&mut at, length);
                    }
                },
                Some(length) if length <= self.buffer.len() => break,
                // One that has no length is passed on with all that follows: whoever reads it will say so.
                length => {
                    self.open = None;
                    self.passing_bytes = length.unwrap_or(usize::MAX);
                }
            }
        }
        self.buffer.copy_within(at..self.filled, self.ready);
        self.filled -= at - self.ready;
    }

    /// Moves so many bytes behind what can be given.
    fn keep(&mut self, at: &mut usize, bytes: usize) {
        self.buffer.copy_within(*at..*at + bytes, self.ready);
        *at += bytes;
        self.ready += bytes;
    }
}

/// The tag and the length, tag included, of the message that begins here. No length where it says an impossible one, and
/// nothing where its header is not whole.
fn header(bytes: &[u8]) -> Option<(u8, Option<usize>)> {
    let (tag, length) = bytes.first_chunk::<HEADER_BYTES>()?.split_first()?;
    let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
    let length = usize::try_from(length).ok().map(|length| length + 1).filter(|length| *length >= HEADER_BYTES);
    Some((*tag, length))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    fn message(tag: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len() + 4).unwrap();
        [&[tag][..], &length.to_be_bytes(), payload].concat()
    }

    fn parse(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut messages = Vec::new();
        while let Some((tag, length)) = header(bytes) {
            let (message, rest) = bytes.split_at(length.unwrap());
            messages.push((tag, message[HEADER_BYTES..].to_vec()));
            bytes = rest;
        }
        assert!(bytes.is_empty());
        messages
    }

    /// One message of each run of messages with rows.
    fn joined(messages: Vec<(u8, Vec<u8>)>) -> Vec<(u8, Vec<u8>)> {
        let mut runs: Vec<(u8, Vec<u8>)> = Vec::new();
        for (tag, payload) in messages {
            match runs.last_mut() {
                Some((COPY_DATA, run)) if tag == COPY_DATA => run.extend(payload),
                _ => runs.push((tag, payload)),
            }
        }
        runs
    }

    /// Gives one piece, or one error, after the other, and then its end.
    struct Pieces(VecDeque<io::Result<Vec<u8>>>);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            if let Some(piece) = self.0.pop_front() {
                let piece = piece?;
                let (now, later) = piece.split_at(piece.len().min(room.remaining()));
                room.put_slice(now);
                if !later.is_empty() {
                    self.0.push_front(Ok(later.to_vec()));
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    /// What comes of bytes that are sent in pieces, and are asked for in others.
    fn received(sent: &[u8], piece: usize, asked: usize) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let pieces = Pieces(sent.chunks(piece).map(|piece| Ok(piece.to_vec())).collect());
            let mut stream = Joined::new(pieces, true);
            let (mut all, mut room) = (Vec::new(), vec![0; asked]);
            loop {
                match stream.read(&mut room).await.unwrap() {
                    0 => return all,
                    read => all.extend_from_slice(&room[..read]),
                }
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn nothing_but_the_ends_of_messages_with_rows_is_lost(
            messages in prop::collection::vec(
                (prop::sample::select(vec![b'd', b'd', b'd', b'd', b'C', b'Z', b'N']), prop_oneof![9 => 0usize..300, 1 => 0usize..100_000]),
                0..80,
            ),
            piece in 1usize..50_000,
            asked in 1usize..50_000,
        ) {
            let payload = |(at, (tag, length)): (usize, &(u8, usize))| {
                (*tag, (0..*length).map(|byte| (at * 31 + byte) as u8).collect::<Vec<u8>>())
            };
            let messages: Vec<(u8, Vec<u8>)> = messages.iter().enumerate().map(payload).collect();
            let sent: Vec<u8> = messages.iter().flat_map(|(tag, payload)| message(*tag, payload)).collect();
            let parsed = parse(&received(&sent, piece, asked));
            prop_assert!(parsed.len() <= messages.len());
            prop_assert!(joined(parsed) == joined(messages));
        }

        #[test]
        fn bytes_that_are_no_messages_do_no_harm(
            bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1usize..50,
        ) {
            let received = received(&bytes, piece, 1000);
            prop_assert!(received.len() <= bytes.len());
        }
    }

    #[test]
    fn rows_that_come_together_are_one_message() {
        let rows: Vec<u8> = (0..100).flat_map(|row| message(COPY_DATA, format!("{row}\n").as_bytes())).collect();
        let sent = [message(b'H', b"\0\0\0"), rows, message(b'c', b""), message(b'Z', b"T")].concat();
        let messages = parse(&received(&sent, sent.len(), 1000));
        assert_eq!(messages.iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), *b"HdcZ");
        assert!(messages[1].1.ends_with(b"98\n99\n"));
    }

    #[test]
    fn a_stream_that_breaks_off_ends_where_it_did() {
        let sent = [message(COPY_DATA, b"1\n"), message(COPY_DATA, b"2\n")].concat();
        for kept in 0..sent.len() {
            let received = received(&sent[..kept], 3, 1000);
            assert_eq!(received.last(), sent[..kept].last());
        }
        let impossible = [message(b'd', b"1"), vec![b'd', 0, 0, 0, 3, 7, 7]].concat();
        assert_eq!(received(&impossible, 100, 1000), impossible);
    }

    #[tokio::test]
    async fn what_came_before_an_error_is_given_first() {
        let row = message(COPY_DATA, b"1\n");
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let mut stream = Joined::new(Pieces([Ok(row.clone()), Err(reset)].into()), true);
        let mut room = [0; 100];
        assert_eq!(stream.read(&mut room).await.unwrap(), row.len());
        assert_eq!(stream.read(&mut room).await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    }
}
