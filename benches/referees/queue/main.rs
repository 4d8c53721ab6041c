//! The lower bound: the program on a bare event queue. No faults, no draws, no trace, no checks but the client's own.
//!
//! It pays what no simulator of messages can avoid: an ordered queue, one copy of each message into a buffer of its
//! own, and a dispatch to the node.

use referee_program::{LATENCY, Message, Referee, SERVERS, check_reply, request};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

/// Servers are numbered from 0; the client comes after them.
const CLIENT: u64 = SERVERS;

fn main() -> ExitCode {
    referee_program::main(&[Referee { name: "queue", default_round_trips: [70_000_000; 2], run }])
}

/// The fields' order is the queue's: by time, then by the order of sending. Numbers differ, so no more is compared.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Event {
    at_ns: u64,
    number: u64,
    to: u64,
    what: What,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Message { from: u64, bytes: Box<Message> },
    Timer,
}

#[derive(Default)]
struct World {
    now_ns: u64,
    scheduled: u64,
    queue: BinaryHeap<Reverse<Event>>,
}

impl World {
    fn schedule(&mut self, after: Duration, to: u64, what: What) {
        let after_ns = u64::try_from(after.as_nanos()).expect("milliseconds");
        self.queue.push(Reverse(Event { at_ns: self.now_ns + after_ns, number: self.scheduled, to, what }));
        self.scheduled += 1;
    }

    fn send(&mut self, from: u64, to: u64, bytes: &Message) {
        self.schedule(LATENCY, to, What::Message { from, bytes: Box::new(*bytes) });
    }
}

struct Client {
    round_trip: u64,
    round_trips: u64,
    pause: Duration,
}

impl Client {
    fn ask(&self, world: &mut World) {
        if self.round_trip < self.round_trips {
            world.send(CLIENT, self.round_trip % SERVERS, &request(self.round_trip));
        }
    }

    fn hear(&mut self, world: &mut World, reply: &Message) -> io::Result<()> {
        check_reply(self.round_trip, reply)?;
        self.round_trip += 1;
        if self.pause.is_zero() {
            self.ask(world);
        } else {
            world.schedule(self.pause, CLIENT, What::Timer);
        }
        Ok(())
    }
}

fn run(round_trips: u64, pause: Duration) -> Result<Duration, Box<dyn Error>> {
    let mut world = World::default();
    let mut client = Client { round_trip: 0, round_trips, pause };
    client.ask(&mut world);
    while let Some(Reverse(event)) = world.queue.pop() {
        world.now_ns = event.at_ns;
        match event.what {
            What::Message { from: _, bytes } if event.to == CLIENT => client.hear(&mut world, &bytes)?,
            What::Message { from, bytes } => world.send(event.to, from, &bytes),
            What::Timer => client.ask(&mut world),
        }
    }
    Ok(Duration::from_nanos(world.now_ns))
}
