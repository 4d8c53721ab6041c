//! Metrics and traces of a running node, and the endpoint that serves them. The recorder belongs to the process: one test.
#![allow(clippy::disallowed_methods, reason = "real sockets, and threads behind them")]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use stormproof_engine::{
    driver::{
        Options, open,
        telemetry::{self, serve},
    },
    memory::{Config, Draft, Engine, Op, RecordId, Reply, RetryId, Transaction},
};
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Keeps spans and events as lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0 = format!("{} {}={value:?}", self.0, field.name());
    }
}

impl Subscriber for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut words = Words(format!("span {}", span.metadata().name()));
        span.record(&mut words);
        self.0.lock().expect("no panic").push(words.0);
        Id::from_u64(1)
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words("event".into());
        event.record(&mut words);
        self.0.lock().expect("no panic").push(words.0);
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).expect("it listens");
    let _ = connection.write_all(request);
    let _ = connection.shutdown(std::net::Shutdown::Write);
    let mut answer = String::new();
    let _ = connection.read_to_string(&mut answer);
    answer
}

#[test]
fn what_a_node_does_can_be_watched() {
    let lines = Lines::default();
    tracing::subscriber::set_global_default(lines.clone()).unwrap();
    let metrics = telemetry::install().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = Config { dim: 2, flush_records: 4, ..Config::default() };
    let options = Options { observer: Some(telemetry::observer()), ..Options::default() };
    let store = open(&Engine, &config, dir.path(), options).unwrap();
    let client = store.client();
    for id in 0..5 {
        let upserts = vec![Draft::new(RecordId(id), vec![id as f32, 1.0])];
        let reply = client.call(Op::Commit(Transaction { upserts, ..Transaction::new(RetryId(id.into())) }));
        assert!(matches!(reply, Ok(Reply::Committed { .. })), "{reply:?}");
    }
    client.call(Op::search(vec![0.0, 1.0], 1)).unwrap();
    // It is flushed beside commits: of four records, or of five.
    let is_flushed = || metrics.render().contains("stormproof_flushed_records_total");
    for _ in (0..1000).take_while(|_| !is_flushed()) {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(is_flushed());
    store.stop();
    assert!(client.call(Op::Count).is_err());

    let endpoint = serve("127.0.0.1:0".parse().unwrap(), metrics).unwrap();
    // Says nothing for as long as it can.
    let silent = TcpStream::connect(endpoint.address()).expect("it listens");
    let text = ask(endpoint.address(), b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    drop(silent);
    for line in [
        "stormproof_request_seconds_count{kind=\"commit\"} 5",
        "stormproof_request_seconds_count{kind=\"search\"} 1",
        "stormproof_request_seconds_count{kind=\"count\"} 1",
        "stormproof_notes_total{name=\"commit.batch\"} 5",
        "stormproof_batch_transactions_sum 5",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
    assert!(ask(endpoint.address(), b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(ask(endpoint.address(), b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    assert!(ask(endpoint.address(), b"").starts_with("HTTP/1.1 405"));
    // Longer than is read: whatever becomes of it, the next one is served.
    ask(endpoint.address(), &vec![b'x'; 1 << 20]);
    assert!(ask(endpoint.address(), b"GET /metrics HTTP/1.0\r\n\r\n").starts_with("HTTP/1.1 200"));
    let address = endpoint.address();
    drop(endpoint);
    TcpStream::connect(address).expect_err("nobody listens any more");

    let lines = lines.0.lock().unwrap();
    let spans: Vec<_> = lines.iter().filter(|line| line.starts_with("span request")).collect();
    assert_eq!(spans.len(), 7, "{spans:?}");
    let request = spans[0].split(' ').find(|word| word.starts_with("request=")).unwrap();
    let answered = |line: &&String| line.starts_with("event") && line.contains(request) && line.contains("commit");
    assert_eq!(lines.iter().filter(answered).count(), 1, "the span and the event name one request: {lines:?}");
}
