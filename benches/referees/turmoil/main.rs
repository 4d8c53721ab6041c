//! The program on turmoil: each host is a tokio runtime of its own, and all of them are stepped each millisecond.
//!
//! The message path is turmoil's UDP, which has no connection, segments or listener to simulate; its TCP measured
//! the same. Latency is drawn between a minimum and a maximum; both are set to the program's, which fixes it exactly.
//! The step stays at turmoil's default of 1 ms, the longest that can carry this latency.

use referee_program::{LATENCY, MESSAGE_BYTES, Referee, SERVERS, check_reply, request};
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;
use turmoil::net::UdpSocket;

const PORT: u16 = 7000;

fn main() -> ExitCode {
    referee_program::main(&[Referee { name: "turmoil", default_round_trips: [250_000, 7_000], run }])
}

fn run(round_trips: u64, pause: Duration) -> Result<Duration, Box<dyn Error>> {
    let mut sim = turmoil::Builder::new()
        .rng_seed(1)
        .min_message_latency(LATENCY)
        .max_message_latency(LATENCY)
        .simulation_duration(time_limit(round_trips, pause))
        .build();
    for server in 0..SERVERS {
        sim.host(server_name(server), serve);
    }
    sim.client("client", ask(round_trips, pause));
    sim.run()?;
    Ok(sim.elapsed())
}

/// Twice what the program needs: if a message is lost, the run ends in an error rather than never.
fn time_limit(round_trips: u64, pause: Duration) -> Duration {
    2 * (2 * LATENCY + pause).saturating_mul(u32::try_from(round_trips).unwrap_or(u32::MAX))
}

fn server_name(server: u64) -> String {
    format!("server-{server}")
}

async fn serve() -> turmoil::Result {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let mut bytes = [0; MESSAGE_BYTES];
    loop {
        let (length, client) = socket.recv_from(&mut bytes).await?;
        socket.send_to(&bytes[..length], client).await?;
    }
}

async fn ask(round_trips: u64, pause: Duration) -> turmoil::Result {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    // Looked up once: names are not what is measured.
    let servers: Vec<SocketAddr> =
        (0..SERVERS).map(|server| (turmoil::lookup(server_name(server)), PORT).into()).collect();
    let mut bytes = [0; MESSAGE_BYTES];
    for (round_trip, server) in (0..round_trips).zip(servers.iter().cycle()) {
        socket.send_to(&request(round_trip), *server).await?;
        let (length, _) = socket.recv_from(&mut bytes).await?;
        check_reply(round_trip, &bytes[..length])?;
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
    Ok(())
}
