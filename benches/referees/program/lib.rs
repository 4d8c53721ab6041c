//! The program that every referee runs, as far as it does not depend on the simulator: its numbers, the content of
//! its messages, the arguments, the clock and the line that is printed.
//!
//! One client asks three servers in turn: a request of 100 bytes, the reply of 100 bytes, then the next server. The
//! client checks each reply, so that a simulator that drops or swaps a message fails instead of looking fast.

use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::{Duration, Instant};

pub const SERVERS: u64 = 3;
pub const MESSAGE_BYTES: usize = 100;
/// Of every message, in each direction.
pub const LATENCY: Duration = Duration::from_millis(1);
/// Of the client, after each round trip. The first variant measures the message path; the second shows what a
/// simulator spends while nothing happens.
const PAUSES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(100)];

/// A message as it travels. A request holds its round trip's number, and the reply returns it.
pub type Message = [u8; MESSAGE_BYTES];

pub fn request(round_trip: u64) -> Message {
    let mut message = [0; MESSAGE_BYTES];
    message[..8].copy_from_slice(&round_trip.to_le_bytes());
    message
}

pub fn check_reply(round_trip: u64, reply: &[u8]) -> io::Result<()> {
    if reply == request(round_trip) {
        return Ok(());
    }
    Err(io::Error::other(format!("round trip {round_trip}: the reply is not the request: {reply:?}")))
}

/// The program on one simulator, over one of its message paths.
pub struct Referee {
    pub name: &'static str,
    /// Without pauses and with them; chosen so that a whole executable ends in 5 to 10 seconds.
    pub default_round_trips: [u64; 2],
    /// Makes the given number of round trips with the given pause; returns the time that passed on the simulator's
    /// own clock, rather than what the program should have taken.
    pub run: fn(u64, Duration) -> Result<Duration, Box<dyn Error>>,
}

/// Runs both variants of each referee and prints a line of JSON for each.
///
/// The arguments are the number of round trips of the two variants; one number holds for both.
pub fn main(referees: &[Referee]) -> ExitCode {
    let asked = match arguments() {
        Ok(asked) => asked,
        Err(wrong) => {
            eprintln!("{wrong}");
            return ExitCode::from(2);
        }
    };
    for referee in referees {
        for (round_trips, pause) in asked.unwrap_or(referee.default_round_trips).into_iter().zip(PAUSES) {
            match referee.measure(round_trips, pause) {
                Ok(line) => println!("{line}"),
                Err(error) => {
                    eprintln!("{}, pause of {} ms: {error}", referee.name, pause.as_millis());
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    ExitCode::SUCCESS
}

/// `None` where each referee shall take its own default.
fn arguments() -> Result<Option<[u64; 2]>, String> {
    let count = |text: String| match text.parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("`{text}` is not a number of round trips; expected a whole number of at least 1")),
    };
    match std::env::args().skip(1).map(count).collect::<Result<Vec<u64>, String>>()?[..] {
        [] => Ok(None),
        [both] => Ok(Some([both; 2])),
        [without, with] => Ok(Some([without, with])),
        _ => Err("expected at most two arguments: [ROUND_TRIPS [ROUND_TRIPS_WITH_PAUSES]]".into()),
    }
}

impl Referee {
    #[allow(clippy::disallowed_methods, reason = "a measurement needs the machine's clock")]
    fn measure(&self, round_trips: u64, pause: Duration) -> Result<String, Box<dyn Error>> {
        let start = Instant::now();
        let simulated = (self.run)(round_trips, pause)?;
        let wall = start.elapsed();
        let wall_s = wall.as_secs_f64();
        Ok(format!(
            concat!(
                r#"{{"program":"{}","pause_ms":{},"round_trips":{},"wall_ns":{},"sim_ns":{},"#,
                r#""round_trips_per_wall_s":{:.0},"ns_per_round_trip":{:.1},"sim_s_per_wall_s":{:.1}}}"#
            ),
            self.name,
            pause.as_millis(),
            round_trips,
            wall.as_nanos(),
            simulated.as_nanos(),
            round_trips as f64 / wall_s,
            wall_s * 1e9 / round_trips as f64,
            simulated.as_secs_f64() / wall_s,
        ))
    }
}
