//! Binding listeners: one socket per worker on the same port (SO_REUSEPORT), so that the kernel spreads connections and
//! no worker waits for another.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the kernel queues for a listener; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;

/// A listener that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{what} listener: cannot listen on {address}: {error}{mend}")]
pub struct BindError {
    what: &'static str,
    address: SocketAddr,
    error: io::Error,
    mend: &'static str,
}

/// Binds `count` listeners to one address; port 0 takes a free port, the same for all.
///
/// # Errors
/// [`BindError`], which names the address and what to do. A port somebody else listens on is in use even if they too set
/// SO_REUSEPORT.
pub fn bind(what: &'static str, address: SocketAddr, count: usize) -> Result<Vec<TcpListener>, BindError> {
    let fail = |error: io::Error| {
        let mend = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "; another program listens there: stop it, or choose another port (0 takes a free one)"
            }
            io::ErrorKind::PermissionDenied => "; ports below 1024 need the right to bind them",
            io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
            _ => "",
        };
        BindError { what, address, error, mend }
    };
    // Without SO_REUSEPORT first: it would silently share the port with another hopgate of the same user.
    let probe = socket(address, false).map_err(fail)?;
    let bound = probe.local_addr().map_err(fail)?;
    drop(probe);
    (0..count.max(1)).map(|_| socket(bound, true).map_err(fail)).collect()
}

fn socket(address: SocketAddr, share: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    if share {
        socket.listen(BACKLOG)?;
    } else {
        socket.listen(1)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Lets nobody new knock, while those who have may still come in. Without it, whoever completes a handshake between the
/// last accept and the closing of the listener is reset. A refused newcomer tries again, which TCP does by itself, and
/// finds the port closed or the next gateway.
#[cfg(target_os = "linux")]
pub fn refuse_newcomers(listener: &TcpListener) {
    use socket2::SockFilter;
    // A classic packet filter over the TCP header: load the flags, drop what has SYN, keep the rest.
    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_BIT: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    let filter = [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_IF_BIT, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ];
    // Where filters are forbidden, a few newcomers are reset: no reason not to drain.
    if let Err(error) = socket2::SockRef::from(listener).attach_filter(&filter) {
        tracing::debug!(%error, "newcomers cannot be held off while draining");
    }
}

/// Nothing: only Linux has such filters.
#[cfg(not(target_os = "linux"))]
pub fn refuse_newcomers(_: &TcpListener) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_and_strangers_do_not() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let ours = bind("click", any, 3).unwrap();
        let address = ours[0].local_addr().unwrap();
        assert!(ours.iter().all(|listener| listener.local_addr().unwrap() == address));
        let error = bind("click", address, 1).unwrap_err().to_string();
        assert!(error.contains(&address.to_string()) && error.contains("another program listens there"), "{error}");
    }
    #[cfg(target_os = "linux")]
    #[test]
    fn newcomers_are_held_off_and_those_in_the_queue_are_not() {
        use std::io::{Read, Write};
        use std::net::TcpStream;
        use std::time::Duration;

        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = bind("click", any, 1).unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        let mut queued = TcpStream::connect(address).unwrap();
        refuse_newcomers(&listener);
        let newcomer = TcpStream::connect_timeout(&address, Duration::from_millis(150)).unwrap_err();
        assert_eq!(newcomer.kind(), io::ErrorKind::TimedOut, "neither let in nor reset");
        let (mut accepted, _) = listener.accept().unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        queued.write_all(b"ask").unwrap();
        let mut bytes = [0; 3];
        accepted.read_exact(&mut bytes).unwrap();
        accepted.write_all(b"say").unwrap();
        queued.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"say");
    }
}
