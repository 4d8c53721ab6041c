//! What a life of a small engine costs in the model: printed, since a bound on time would fail on a busy machine.

use std::time::Instant;

use super::*;

const FRAME: [u8; 200] = [7; 200];

/// Boots, appends to a preallocated log with a sync each, replaces a manifest, loses power, and recovers.
fn life(fs: &mut Fs, choose: &mut dyn Choose) -> Vec<u8> {
    let log = fs.open("log", Open::Create).expect("room");
    fs.allocate(log, 65_536).expect("room");
    fs.sync(log);
    for n in 0..10 {
        write(fs, log, n * 200, &FRAME);
        fs.sync(log);
    }
    let next = fs.open("manifest.new", Open::Truncate).expect("room");
    write(fs, next, 0, b"a manifest");
    fs.sync(next);
    fs.rename("manifest.new", "manifest").expect("exists");
    fs.sync_dir("").expect("exists");
    write(fs, log, 2000, &FRAME);
    fs.lose_power(choose);
    let manifest = fs.open("manifest", Open::Read).expect("durable");
    let log = fs.open("log", Open::Write).expect("durable");
    bytes(fs, log, choose);
    bytes(fs, manifest, choose)
}

#[test]
#[expect(clippy::disallowed_methods, reason = "it measures, and decides nothing by it")]
fn a_life_with_ten_commits_and_a_crash() {
    const LIVES: u32 = 2_000;
    for profile in BOTH {
        let mut choose = Random(1);
        let start = Instant::now();
        for _ in 0..LIVES {
            let mut fs = Fs::new(profile, ROOM);
            assert_eq!(life(&mut fs, &mut choose), b"a manifest");
        }
        println!("{profile:?}: {:?} per life of about 30 calls and a crash", start.elapsed() / LIVES);
        let mut fs = Fs::new(profile, ROOM);
        life(&mut fs, &mut choose);
        let (digest, start) = (fs.digest(), Instant::now());
        for _ in 0..LIVES {
            assert_eq!(std::hint::black_box(&fs).clone().digest(), digest);
        }
        println!("{profile:?}: {:?} per clone and digest", start.elapsed() / LIVES);
    }
}
