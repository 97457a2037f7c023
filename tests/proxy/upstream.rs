//! An upstream that plays what a test asks for by path, over real sockets, and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// How many came before it on its connection.
    pub before: usize,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn query(&self, name: &str) -> Option<String> {
        let query = self.target.split_once('?')?.1;
        url::form_urlencoded::parse(query.as_bytes()).find(|(known, _)| known == name).map(|(_, value)| value.into())
    }
}

#[derive(Default)]
pub struct State {
    pub seen: Mutex<Vec<Seen>>,
    /// Connections accepted, and those whose peer went away in the midst of an answer.
    pub accepted: AtomicUsize,
    pub left: AtomicUsize,
    pub written: AtomicUsize,
    gate: Mutex<bool>,
    opened: Condvar,
    ended: AtomicBool,
}

/// A running upstream; ends when dropped.
pub struct Upstream {
    pub address: SocketAddr,
    pub state: Arc<State>,
}

pub const BIG: usize = 20 << 20;

impl Upstream {
    pub fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.ended.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&shared);
                std::thread::spawn(move || drop(serve(&state, stream)));
            }
        });
        Upstream { address, state }
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.seen().last().cloned().expect("it was asked")
    }

    /// Lets what waits at the gate go on.
    pub fn open_gate(&self) {
        *self.state.gate.lock().unwrap() = true;
        self.state.opened.notify_all();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::SeqCst);
        self.open_gate();
        drop(TcpStream::connect(self.address));
    }
}

impl State {
    fn wait(&self) {
        let gate = self.gate.lock().unwrap();
        drop(self.opened.wait_timeout_while(gate, Duration::from_secs(300), |open| !*open).unwrap());
    }
}

fn serve(state: &State, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    for before in 0.. {
        let Some(mut seen) = head(&mut reader)? else { return Ok(()) };
        seen.before = before;
        let path = seen.target.split('?').next().unwrap_or_default().to_owned();
        if path == "/early" {
            // Answered before the upload has come; then the rest of it is nobody's.
            state.seen.lock().unwrap().push(seen);
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nearly")?;
            return Ok(());
        }
        body(&mut reader, &mut seen)?;
        state.seen.lock().unwrap().push(seen.clone());
        if seen.query("stale").is_some() && before > 0 {
            // The peer believed this connection to be good.
            return stream.shutdown(Shutdown::Both);
        }
        if !answer(state, &seen, &path, &mut stream)? {
            return Ok(());
        }
    }
    Ok(())
}

fn answer(state: &State, seen: &Seen, path: &str, stream: &mut TcpStream) -> std::io::Result<bool> {
    let whole = |stream: &mut TcpStream, head: &str, body: &str| {
        let shown = if seen.method == "HEAD" { "" } else { body };
        write!(stream, "HTTP/1.1 {head}Content-Length: {}\r\n\r\n{shown}", body.len())
    };
    match path {
        "/redirect" => {
            let to = seen.query("to").unwrap_or_default();
            whole(stream, &format!("302 Found\r\nLocation: {to}\r\n"), "moved")?;
        }
        "/cookies" => whole(
            stream,
            "200 OK\r\nSet-Cookie: sid=1; Path=/; Domain=.jd.com; Secure; HttpOnly\r\nSet-Cookie: hopgate_x=1\r\n\
             Set-Cookie: b=2\r\nStrict-Transport-Security: max-age=9\r\nClear-Site-Data: *\r\nAlt-Svc: h3\r\n\
             Service-Worker-Allowed: /\r\nConnection: X-Own\r\nX-Own: 1\r\nHop-Id: forged\r\nX-Kept: 1\r\n",
            "cookies",
        )?,
        "/slow" => {
            // Until the peer gives up.
            let gone = matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_));
            state.left.fetch_add(usize::from(gone), Ordering::SeqCst);
            return Ok(false);
        }
        "/gated" => {
            state.wait();
            whole(stream, "200 OK\r\n", "opened")?;
        }
        "/hang-up" => return stream.shutdown(Shutdown::Both).map(|()| false),
        "/nonsense" => return write!(stream, "SSH-2.0-OpenSSH\r\n\r\n").map(|()| false),
        "/error" => whole(stream, "503 Service Unavailable\r\n", "the upstream's own words")?,
        "/status" => {
            let code = seen.query("code").unwrap_or_default();
            let words = if code == "304" { "" } else { "the upstream's own words" };
            let asks = "WWW-Authenticate: Basic realm=\"shop\"\r\nProxy-Authenticate: Basic realm=\"shop\"\r\n";
            whole(stream, &format!("{code} Status\r\n{asks}"), words)?;
        }
        "/broken" => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}", "a".repeat(100))?;
            return Ok(false);
        }
        "/broken-chunks" => {
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")?;
            return Ok(false);
        }
        "/silent" => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello")?;
            drop(stream.read(&mut [0; 1]));
            return Ok(false);
        }
        "/huge" => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nhello")?;
            return Ok(false);
        }
        "/endless" => {
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = format!("{:x}\r\n{}\r\n", 16_384, "a".repeat(16_384));
            while stream.write_all(chunk.as_bytes()).is_ok() {
                state.written.fetch_add(16_384, Ordering::SeqCst);
            }
            state.left.fetch_add(1, Ordering::SeqCst);
            return Ok(false);
        }
        // The first piece, then what is behind the gate.
        "/big" | "/gated-big" => {
            write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {BIG}\r\nContent-Type: text/html\r\n\r\n")?;
            let mut at = 0;
            while at < BIG {
                let piece: Vec<u8> = (at..(at + 65_536).min(BIG)).map(byte_at).collect();
                if stream.write_all(&piece).is_err() {
                    state.left.fetch_add(1, Ordering::SeqCst);
                    return Ok(false);
                }
                at += piece.len();
                state.written.store(at, Ordering::SeqCst);
                if at == 65_536 && path == "/gated-big" {
                    state.wait();
                }
            }
        }
        "/switch" => {
            write!(stream, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")?;
            return Ok(false);
        }
        _ => {
            let mut text = format!("{} {}\n", seen.method, seen.target);
            text.push_str(&String::from_utf8_lossy(&seen.body));
            whole(stream, "200 OK\r\nContent-Type: text/html\r\nETag: \"a\"\r\nCache-Control: max-age=99\r\n", &text)?;
        }
    }
    Ok(true)
}

/// What stands at a place of the big answer: a pattern that shows anything lost, doubled or out of order.
pub fn byte_at(place: usize) -> u8 {
    (place % 251) as u8 ^ (place >> 13) as u8
}

fn head(reader: &mut BufReader<TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    Ok(Some(Seen { method, target, headers, body: Vec::new(), before: 0 }))
}

fn body(reader: &mut BufReader<TcpStream>, seen: &mut Seen) -> std::io::Result<()> {
    if seen.header("transfer-encoding") == "chunked" {
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let length = usize::from_str_radix(line.trim(), 16).unwrap();
            let mut piece = vec![0; length + 2];
            reader.read_exact(&mut piece)?;
            seen.body.extend_from_slice(&piece[..length]);
            if length == 0 {
                return Ok(());
            }
        }
    }
    let length = seen.header("content-length").parse().unwrap_or(0);
    seen.body = vec![0; length];
    reader.read_exact(&mut seen.body)
}
