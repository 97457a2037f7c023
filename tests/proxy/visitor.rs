//! A visitor who sends what a test writes and reads an answer of any framing, piece by piece.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub struct Visitor {
    pub stream: TcpStream,
    ahead: Vec<u8>,
}

/// An answer; `whole` says whether it ended as its framing promised.
#[derive(Debug)]
pub struct Got {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub whole: bool,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Visitor {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Visitor { stream, ahead: Vec::new() }
    }

    pub fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// A whole exchange.
    pub fn ask(&mut self, method: &str, host: &str, path: &str, more: &[(&str, &str)]) -> Got {
        self.send(&request(method, host, path, more));
        self.read(method == "HEAD")
    }

    /// The head of an answer.
    pub fn head(&mut self) -> Got {
        let end = loop {
            if let Some(end) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if self.more() == 0 {
                panic!("no head: {:?}", String::from_utf8_lossy(&self.ahead));
            }
        };
        let text = String::from_utf8_lossy(&self.ahead[..end]).into_owned();
        self.ahead.drain(..end + 4);
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let headers = text
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Got { status, headers, body: Vec::new(), whole: false }
    }

    pub fn read(&mut self, head_only: bool) -> Got {
        let mut got = self.head();
        if head_only || matches!(got.status, 204 | 304) {
            got.whole = true;
            return got;
        }
        if got.header("transfer-encoding") == "chunked" {
            self.chunks(&mut got);
        } else {
            let length = got.header("content-length").parse().expect("a length or chunks");
            while self.ahead.len() < length && self.more() > 0 {}
            got.whole = self.ahead.len() >= length;
            got.body = self.ahead.drain(..length.min(self.ahead.len())).collect();
        }
        got
    }

    fn chunks(&mut self, got: &mut Got) {
        loop {
            let Some(end) = self.ahead.windows(2).position(|window| window == b"\r\n") else {
                if self.more() == 0 {
                    return;
                }
                continue;
            };
            let length = usize::from_str_radix(std::str::from_utf8(&self.ahead[..end]).unwrap(), 16).unwrap();
            while self.ahead.len() < end + 2 + length + 2 {
                if self.more() == 0 {
                    return;
                }
            }
            got.body.extend_from_slice(&self.ahead[end + 2..end + 2 + length]);
            self.ahead.drain(..end + 2 + length + 2);
            if length == 0 {
                got.whole = true;
                return;
            }
        }
    }

    /// Reads so many bytes of a body.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            assert!(self.more() > 0, "the answer ended after {} of {length}", self.ahead.len());
        }
        self.ahead.drain(..length).collect()
    }

    fn more(&mut self) -> usize {
        let mut buffer = vec![0; 256 << 10];
        match self.stream.read(&mut buffer) {
            Ok(read) => {
                self.ahead.extend_from_slice(&buffer[..read]);
                read
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("reading: {error}"),
        }
    }
}

pub fn request(method: &str, host: &str, path: &str, more: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in more {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head + "\r\n"
}
