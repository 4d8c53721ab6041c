//! A run can be had again: from its seed, and from the plan that was recorded of it.

use stormproof::suites;
use stormproof_sim::{hunt::compare_exactly, world::Settings};

const SEEDS: u64 = 24;

#[test]
fn a_seed_gives_the_same_run_twice_and_its_plan_gives_it_once_more() {
    let all = Settings { words: true, record: true };
    for suite in suites::all(None) {
        for seed in 0..SEEDS {
            let first = suite.run_seed(seed, &all);
            let again = suite.run_seed(seed, &Settings::default());
            let name = format!("{}:{seed}", suite.name());
            assert_eq!(again.result.trace_hash, first.result.trace_hash, "{name} differs when run again");

            let plan = first.plan.expect("a recorded run has a plan");
            let played = suite.run_plan(&plan, &all).unwrap_or_else(|error| panic!("{name}: {error}\n{plan}"));
            let recorded: Vec<String> = first.result.lines.iter().map(ToString::to_string).collect();
            let parted = compare_exactly(recorded.iter().map(String::as_str), &played.result.lines);
            assert_eq!(parted, None, "{name}: the plan gives another run than the seed");
            assert_eq!(played.result.trace_hash, first.result.trace_hash, "{name}");
            assert_eq!(played.result.unused, Vec::<String>::new(), "{name}: overrides that nothing asked for");
            assert_eq!(played.plan.as_deref(), Some(plan.as_str()), "{name}: the plan of the plan is another");
        }
    }
}

#[test]
fn a_plan_that_was_changed_by_hand_still_plays() {
    let all = Settings { words: false, record: true };
    let suite = &suites::all(None)[0];
    let plan = suite.run_seed(3, &all).plan.expect("a recorded run has a plan");
    let quiet: String = plan.split("\n[[fault]]").next().expect("there is a part before the first fault").into();
    let tail = plan.find("\n[[op]]").map_or("", |at| &plan[at..]);
    let played = suite.run_plan(&(quiet + tail), &all).expect("a plan without faults can be played");
    assert!(played.result.delivered.is_empty());
    assert_eq!(played.result.violation, None);
}

#[test]
fn what_is_wrong_with_a_plan_is_said_with_its_place() {
    let suite = &suites::all(None)[0];
    let plan = suite.run_seed(3, &Settings { words: false, record: true }).plan.expect("a recorded run has a plan");
    let play = |text: &str| suite.run_plan(text, &Settings::default()).expect_err("it cannot be played").0;
    let broken = plan.replacen("seed = ", "seed = x", 1);
    assert!(play(&broken).contains("line "), "{}", play(&broken));
    assert!(play(&plan.replacen("format = 1", "format = 99", 1)).contains("format 99"));
    assert!(play(&plan.replacen("case = ", "case = \"no-such-case\" #", 1)).contains("no-such-case"));
    let unknown = plan.replacen("[draws]", "[draws]\n\"no.such.draw op1 - #0\" = \"1\"", 1);
    assert!(play(&unknown).contains("no.such.draw"), "{}", play(&unknown));
}
