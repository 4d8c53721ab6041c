//! What holding writes costs: of each batch while all is well, and of each write while the disk takes none.
#![allow(missing_docs, reason = "`criterion_group` makes a public function without one")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use stormproof_contract::Tick;
use stormproof_engine::{
    memory::{breaker, degrade},
    protocol::degrade::{Degrade, Input, Output},
};

/// Writes that are held, and tried again.
const HELD: u64 = 1000;

fn config() -> degrade::Config {
    let breaker = breaker::Config { failures_max: 1, open_for: Tick(1), ..breaker::Config::default() };
    degrade::Config { breaker, ..degrade::Config::default() }
}

fn well(criterion: &mut Criterion) {
    let (mut machine, mut out) = (Degrade::<u64>::new(degrade::Config::default()), Vec::new());
    criterion.bench_function("degrade/a batch while all is well", |b| {
        b.iter(|| {
            machine.step(black_box(Input::Succeeded), &mut out);
            assert!(out.is_empty());
        });
    });
}

/// Held, and drained by a hundred.
fn held(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("degrade");
    group.throughput(Throughput::Elements(HELD));
    group.bench_function("held and drained", |b| {
        b.iter(|| {
            let (mut machine, mut out) = (Degrade::new(config()), Vec::new());
            machine.step(Input::Failed(Tick(0)), &mut out);
            (0..HELD).for_each(|write| machine.step(Input::Arrived(black_box(write), 4096), &mut out));
            let (mut now, mut drained) = (1, 0);
            while machine.due().is_some() {
                out.clear();
                machine.step(Input::Boundary(Tick(now)), &mut out);
                if let Some(Output::Try(writes)) = out.pop() {
                    drained += writes.len() as u64;
                    machine.step(Input::Succeeded, &mut out);
                }
                now += 1;
            }
            assert_eq!(drained, HELD);
        });
    });
    group.finish();
}

criterion_group!(benches, well, held);
criterion_main!(benches);
