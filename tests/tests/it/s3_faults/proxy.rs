//! A proxy before the AWS stand-in that fails as networks and stores do.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one request.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing: it is answered by the stand-in.
    None,
    /// It is lost on its way.
    LoseRequest,
    /// It is carried out, and its answer is lost.
    LoseAnswer,
    /// The answer breaks off in the middle of its body.
    BreakOff,
    /// One bit of the answer's body is flipped.
    FlipBit,
    /// The stand-in never hears of it; this is the answer.
    Answer { status: u16, headers: &'static str, body: String },
}

impl Fault {
    /// An error as S3 words it.
    pub fn error(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>Because of {code}.</Message></Error>");
        Self::Answer { status, headers: "", body }
    }
}

/// A header that every request or answer loses, for stores that do not know it.
#[derive(Debug, Default, Clone)]
pub struct Ignorance {
    pub of_request_header: Option<&'static str>,
    pub of_answer_header: Option<&'static str>,
}

#[derive(Debug, Clone)]
pub struct Message {
    /// The request line or the status line.
    pub first_line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn method(&self) -> &str {
        self.first_line.split(' ').next().unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn content_length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }

    fn without(mut self, header: Option<&str>) -> Self {
        self.headers.retain(|(name, _)| Some(name.as_str()) != header);
        self
    }

    fn head(&self) -> String {
        let headers = self.headers.iter().filter(|(name, _)| name != "connection");
        let headers: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        // Connections are not kept, so that each fault hits one request.
        format!("{}\r\n{headers}connection: close\r\n\r\n", self.first_line)
    }
}

#[derive(Debug)]
pub struct Proxy {
    address: std::net::SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    ignorance: Ignorance,
    faults: Mutex<VecDeque<Fault>>,
    requests: Mutex<Vec<Message>>,
}

impl Proxy {
    pub async fn before(endpoint: &str, ignorance: Ignorance) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: endpoint.trim_start_matches("http://").to_owned(),
            ignorance,
            faults: Mutex::default(),
            requests: Mutex::default(),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests fare like this, later ones well.
    pub fn plan(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.shared.faults.lock().unwrap() = faults.into_iter().collect();
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Message> {
        std::mem::take(&mut *self.shared.requests.lock().unwrap())
    }

    pub fn methods(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.method().to_owned()).collect()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A client that hangs up is its own business.
        tokio::spawn(async move { serve(client, &shared).await.ok() });
    }
}

async fn serve(client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let Some(mut request) = read_head(&mut client).await? else {
        return Ok(());
    };
    request.body = vec![0; request.content_length().unwrap_or(0)];
    client.read_exact(&mut request.body).await?;
    shared.requests.lock().unwrap().push(request.clone());
    let fault = shared.faults.lock().unwrap().pop_front().unwrap_or(Fault::None);
    let answer = match &fault {
        Fault::LoseRequest => return Ok(()),
        Fault::Answer { status, headers, body } => {
            let length = body.len();
            let head =
                format!("HTTP/1.1 {status} Fault\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n");
            let body = if request.method() == "HEAD" { "" } else { body };
            return client.write_all(format!("{head}{body}").as_bytes()).await;
        }
        _ => forward(request, shared).await?,
    };
    let head = answer.head();
    let mut body = answer.body;
    match fault {
        Fault::LoseAnswer => return Ok(()),
        Fault::BreakOff => body.truncate(body.len() / 2),
        Fault::FlipBit => body[0] ^= 1,
        _ => {}
    }
    client.write_all(head.as_bytes()).await?;
    client.write_all(&body).await
}

async fn forward(request: Message, shared: &Shared) -> io::Result<Message> {
    let upstream = TcpStream::connect(&shared.upstream).await?;
    let mut upstream = BufReader::new(upstream);
    let request = request.without(shared.ignorance.of_request_header);
    upstream.write_all(request.head().as_bytes()).await?;
    upstream.write_all(&request.body).await?;
    let answer = read_head(&mut upstream).await?;
    let mut answer = answer.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
    if request.method() != "HEAD" {
        upstream.read_to_end(&mut answer.body).await?;
    }
    Ok(answer.without(shared.ignorance.of_answer_header))
}

/// `None` when the other side closes without a word.
async fn read_head(stream: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Message>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut lines = lines.into_iter();
    let first_line = lines.next().unwrap_or_default();
    let header = |line: String| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    };
    Ok(Some(Message { first_line, headers: lines.filter_map(header).collect(), body: Vec::new() }))
}
