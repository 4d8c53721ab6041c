//! A place where Prometheus finds the metrics: `GET /metrics`, one connection at a time. It is as much of HTTP as that takes.
//!
//! Whoever connects is not trusted: a request is read up to a bound and a time-out, and nothing of it is kept.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusHandle;

const REQUEST_BYTES_MAX: usize = 8 << 10;
const PATIENCE: Duration = Duration::from_secs(2);

/// An endpoint that listens until it is dropped.
pub struct Endpoint {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Serves the metrics of a handle at an address; port 0 takes any that is free. Nothing guards it: use a loopback address,
/// unless the network is trusted.
pub fn serve(address: SocketAddr, metrics: PrometheusHandle) -> io::Result<Endpoint> {
    let listener = TcpListener::bind(address)?;
    let (address, stopping) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&stopping);
    let thread = thread::Builder::new().name("metrics".into()).spawn(move || {
        for connection in listener.incoming() {
            if stop.load(Ordering::Acquire) {
                return;
            }
            // One that breaks off is its own loss.
            let _ = connection.and_then(|connection| answer(connection, &metrics));
        }
    })?;
    Ok(Endpoint { address, stopping, thread: Some(thread) })
}

fn answer(mut connection: TcpStream, metrics: &PrometheusHandle) -> io::Result<()> {
    connection.set_read_timeout(Some(PATIENCE))?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let request = read_head(&mut connection)?;
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, body) = match line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] {
        [b"GET", b"/metrics", _] => ("200 OK", metrics.render()),
        [b"GET", ..] => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET /metrics\n".to_owned()),
    };
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())
}

/// The first bytes of a request, up to the empty line that ends its head.
fn read_head(connection: &mut TcpStream) -> io::Result<Vec<u8>> {
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while head.len() < REQUEST_BYTES_MAX && !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match connection.read(&mut piece)? {
            0 => break,
            n => head.extend_from_slice(&piece[..n]),
        }
    }
    Ok(head)
}

impl Endpoint {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Wakes the thread, which waits for the next connection.
        let _ = TcpStream::connect_timeout(&self.address, PATIENCE);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
