//! Over TCP, with one connection to each server that lasts for the whole run: madsim's cheapest message path.
//!
//! A flushed write is one message and one timer, so a round trip takes exactly the two latencies.

use crate::{BINDING, address};
use madsim::net::{TcpListener, TcpStream};
use madsim::time::sleep;
use referee_program::{MESSAGE_BYTES, SERVERS, check_reply, request};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub async fn serve(address: SocketAddr) -> io::Result<()> {
    let (mut client, _) = TcpListener::bind(address).await?.accept().await?;
    let mut bytes = [0; MESSAGE_BYTES];
    loop {
        client.read_exact(&mut bytes).await?;
        client.write_all(&bytes).await?;
        client.flush().await?;
    }
}

pub async fn ask(round_trips: u64, pause: Duration) -> io::Result<()> {
    sleep(BINDING).await;
    let mut servers = Vec::new();
    for server in 0..SERVERS {
        servers.push(TcpStream::connect(address(server)).await?);
    }
    let mut bytes = [0; MESSAGE_BYTES];
    for (round_trip, turn) in (0..round_trips).zip((0..servers.len()).cycle()) {
        let server = &mut servers[turn];
        server.write_all(&request(round_trip)).await?;
        server.flush().await?;
        server.read_exact(&mut bytes).await?;
        check_reply(round_trip, &bytes)?;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    Ok(())
}
