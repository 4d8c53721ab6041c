//! Over `Endpoint`, madsim's datagrams, on which its UDP and its RPC stand.
//!
//! Each send and each receive also sleeps inside madsim, and no sleep there is shorter than 1 ms. So a round trip is
//! six timers and 6 ms of virtual time instead of 2, which no setting changes.

use crate::{BINDING, address};
use madsim::net::Endpoint;
use madsim::time::sleep;
use referee_program::{MESSAGE_BYTES, SERVERS, check_reply, request};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Endpoints sort their messages by tag; the program has one kind.
const TAG: u64 = 0;

pub async fn serve(address: SocketAddr) -> io::Result<()> {
    let endpoint = Endpoint::bind(address).await?;
    let mut bytes = [0; MESSAGE_BYTES];
    loop {
        let (length, client) = endpoint.recv_from(TAG, &mut bytes).await?;
        endpoint.send_to(client, TAG, &bytes[..length]).await?;
    }
}

pub async fn ask(round_trips: u64, pause: Duration) -> io::Result<()> {
    let endpoint = Endpoint::bind(address(SERVERS)).await?;
    sleep(BINDING).await;
    let mut bytes = [0; MESSAGE_BYTES];
    for round_trip in 0..round_trips {
        endpoint.send_to(address(round_trip % SERVERS), TAG, &request(round_trip)).await?;
        let (length, _) = endpoint.recv_from(TAG, &mut bytes).await?;
        check_reply(round_trip, &bytes[..length])?;
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    Ok(())
}
