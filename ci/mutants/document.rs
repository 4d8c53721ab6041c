//! What `--json` writes. Times stand under `times`, as in the reports of the command itself.

use serde_json::{Value, json};

use super::{Trial, Tried};

/// The version of the document.
const SCHEMA: u32 = 1;

/// The whole, ending in a line break.
pub(super) fn render(trial: &Trial) -> String {
    let claims = trial.claims.iter().map(|claim| (claim.clone(), json!(trial.red(claim))));
    let times = trial.tried.iter().map(|tried| (tried.mutant.name.clone(), json!(tried.hunted.wall.as_secs_f64())));
    let document = json!({
        "schema": SCHEMA,
        "command": "mutants",
        "mutants": trial.tried.iter().map(mutant).collect::<Vec<_>>(),
        "claims": claims.collect::<serde_json::Map<_, _>>(),
        "missing": trial.missing(),
        "times": {
            "wall_s": trial.wall.as_secs_f64(),
            "hunted_s": times.collect::<serde_json::Map<_, _>>(),
        },
    });
    format!("{document:#}\n")
}

fn mutant(tried: &Tried) -> Value {
    let fallen = tried.hunted.fallen.iter().map(|fallen| {
        let shrunk = fallen.shrunk.map(|[faults, operations, candidates]| {
            json!({ "faults": faults, "operations": operations, "candidates": candidates })
        });
        json!({ "claim": fallen.claim, "kind": fallen.kind, "seed": fallen.seed, "shrunk": shrunk })
    });
    json!({
        "name": tried.mutant.name,
        "about": tried.mutant.about,
        "suite": tried.mutant.suite,
        "declared": tried.mutant.claims,
        "caught": tried.is_caught(),
        "caught_by": tried.named().map(|fallen| &fallen.claim),
        "ran": tried.hunted.ran,
        "seeds": tried.hunted.seeds,
        "fallen": fallen.collect::<Vec<_>>(),
        "survives_own_tests": tried.survives,
    })
}
