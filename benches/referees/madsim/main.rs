//! The program on madsim: one executor for all nodes, which jumps to the next timer when no task is ready.
//!
//! It runs over both of madsim's message paths, because the usual one is not the cheapest: `datagrams` and `streams`.
//! Latency is drawn from a half-open range, here of one nanosecond, which fixes it exactly.

#[cfg(not(madsim))]
compile_error!("build in this package's folder and with RUSTFLAGS unset: its .cargo/config.toml sets --cfg madsim");

mod datagrams;
mod streams;

use madsim::runtime::Runtime;
use madsim::time::TimeHandle;
use referee_program::{LATENCY, Referee, SERVERS};
use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

/// Longer than the servers need to bind; a request before that would find nobody.
const BINDING: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    let default_round_trips = [1_000_000; 2];
    referee_program::main(&[
        Referee {
            name: "madsim",
            default_round_trips,
            run: |round_trips, pause| run(datagrams::serve, datagrams::ask(round_trips, pause)),
        },
        Referee {
            name: "madsim-tcp",
            default_round_trips,
            run: |round_trips, pause| run(streams::serve, streams::ask(round_trips, pause)),
        },
    ])
}

fn run<S, C>(serve: fn(SocketAddr) -> S, client: C) -> Result<Duration, Box<dyn Error>>
where
    S: Future<Output = io::Result<()>> + Send + 'static,
    C: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut config = madsim::Config::default();
    config.net.send_latency = LATENCY..LATENCY + Duration::from_nanos(1);
    let runtime = Runtime::with_seed_and_config(1, config);
    for server in 0..SERVERS {
        runtime.create_node().ip(address(server).ip()).build().spawn(serve(address(server)));
    }
    let node = runtime.create_node().ip(address(SERVERS).ip()).build();
    runtime.block_on(async move {
        node.spawn(client).await??;
        Ok(TimeHandle::current().elapsed())
    })
}

/// Servers are numbered from 0; the client comes after them.
fn address(node: u64) -> SocketAddr {
    let host = u8::try_from(node + 1).expect("a handful of nodes");
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, host)), 7000).into()
}
