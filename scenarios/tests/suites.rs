//! Every suite over a fixed set of seeds: what the engine promises, in a few seconds. `stormproof run` takes longer over it.

use stormproof::suites;
use stormproof_sim::{
    check::invariant::Violation,
    hunt::{Budget, Hunt, Shard, Suite},
};

const SEEDS: u64 = 240;

fn hold(suite: &dyn Suite) {
    let shard = Shard { index: 0, of: 1 };
    let hunt = Hunt {
        budget: Budget::Seeds(SEEDS),
        from: 40_000,
        threads: 2,
        shard,
        case: None,
        sample_every: 0,
        failures_max: 3,
    };
    let report = hunt.run(suite, &|_| {});
    let fallen = report.failures.values().map(|failure| (failure.seed, &failure.violation));
    let fallen: Vec<(u64, String)> = fallen.map(|(seed, fell): (u64, &Violation)| (seed, fell.to_string())).collect();
    assert!(fallen.is_empty(), "{}: {fallen:#?}", suite.name());
    assert_eq!(report.seeds, SEEDS, "{}", suite.name());
}

#[test]
fn every_suite_holds_over_a_fixed_set_of_seeds() {
    for suite in suites::all(None) {
        hold(&*suite);
    }
}
