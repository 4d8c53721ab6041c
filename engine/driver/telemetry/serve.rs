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
    time::{Duration, Instant},
};

use metrics_exporter_prometheus::PrometheusHandle;

const REQUEST_BYTES_MAX: usize = 8 << 10;
/// For the whole of a request and its answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often is looked whether somebody has come, or it is to stop.
const LOOK: Duration = Duration::from_millis(20);
/// How often the recorder is given time to put together what it was told: else that grows until somebody asks.
const UPKEEP: Duration = Duration::from_secs(5);

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
    listener.set_nonblocking(true)?;
    let (address, stopping) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
    let stop = Arc::clone(&stopping);
    let listen = move || {
        let mut kept_up = Instant::now();
        while !stop.load(Ordering::Acquire) {
            match listener.accept() {
                // One that breaks off is its own loss.
                Ok((connection, _)) => drop(answer(connection, &metrics)),
                Err(_) => thread::sleep(LOOK),
            }
            if kept_up.elapsed() > UPKEEP {
                metrics.run_upkeep();
                kept_up = Instant::now();
            }
        }
    };
    let thread = thread::Builder::new().name("metrics".into()).spawn(listen)?;
    Ok(Endpoint { address, stopping, thread: Some(thread) })
}

fn answer(mut connection: TcpStream, metrics: &PrometheusHandle) -> io::Result<()> {
    connection.set_nonblocking(false)?;
    connection.set_write_timeout(Some(PATIENCE))?;
    let request = read_head(&mut connection, Instant::now() + PATIENCE)?;
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, body) = match line.split(|byte| *byte == b' ').collect::<Vec<_>>()[..] {
        [b"GET", b"/metrics", _] => ("200 OK", metrics.render()),
        [b"GET", ..] => ("404 Not Found", "metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET /metrics\n".to_owned()),
    };
    let (kind, len) = ("text/plain; version=0.0.4; charset=utf-8", body.len());
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n");
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())
}

/// The first bytes of a request, up to the empty line that ends its head, as far as they come in time.
fn read_head(connection: &mut TcpStream, until: Instant) -> io::Result<Vec<u8>> {
    let (mut head, mut piece) = (Vec::new(), [0; 1024]);
    while head.len() < REQUEST_BYTES_MAX && !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let left = until.saturating_duration_since(Instant::now());
        // A time-out of nothing would be none.
        connection.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match connection.read(&mut piece)? {
            0 => break,
            _ if left.is_zero() => return Err(io::ErrorKind::TimedOut.into()),
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
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
