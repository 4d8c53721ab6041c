//! A plan: everything that a run was, as data that a person can read and change.
//!
//! A plan says what was drawn (configuration, tuning), what was asked (the operations of every client), what went wrong
//! (the faults), and which draws were not mild. Played with the code it was recorded from it gives the same run, event
//! for event. Played with changed code it gives the nearest run to it: draws that no longer occur are reported as
//! unused, draws it does not know are mild.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{draw::Overrides, fault::Fault, stage::Phase, tuning::Tuning};

/// The version of the file format.
pub const FORMAT: u32 = 1;

/// A run, as data.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan<Op> {
    /// The version of this format.
    pub format: u32,
    /// The suite.
    pub suite: String,
    /// The case.
    pub case: String,
    /// The seed it was drawn from; still decides what a node draws for itself.
    pub seed: u64,
    /// Why it was kept, in a line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What else whoever reads it should know, in a line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The hash of the trace of the run that was recorded.
    pub trace: String,
    /// What the suite drew, in its own terms.
    pub params: toml::Value,
    /// How the world behaves, where that is not the mild default.
    #[serde(serialize_with = "unusual")]
    pub tuning: Tuning,
    /// What goes wrong.
    #[serde(default, rename = "fault")]
    pub faults: Vec<Fault>,
    /// What clients ask, in order for each client.
    #[serde(default = "Vec::new", rename = "op", bound(deserialize = "Op: Deserialize<'de>"))]
    pub ops: Vec<PlannedOp<Op>>,
    /// The draws that were not mild.
    #[serde(default)]
    pub draws: Overrides,
}

/// The settings that are not the default: nobody wants to read the others.
fn unusual<S: serde::Serializer>(tuning: &Tuning, serializer: S) -> Result<S::Ok, S::Error> {
    let table = |tuning| toml::Table::try_from(tuning).map_err(serde::ser::Error::custom);
    let (mut settings, usual) = (table(tuning)?, table(&Tuning::default())?);
    settings.retain(|name, value| usual.get(name) != Some(value));
    settings.serialize(serializer)
}

/// An operation of a plan.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedOp<Op> {
    /// Whose.
    pub client: u32,
    /// Before the healing, or after.
    pub phase: Phase,
    /// What is asked.
    pub ask: Op,
}

/// What one client asks.
#[derive(Clone, Debug)]
pub(crate) struct Script<Op> {
    pub(crate) storm: Vec<Op>,
    pub(crate) calm: Vec<Op>,
}

impl<Op> Default for Script<Op> {
    fn default() -> Self {
        Script { storm: Vec::new(), calm: Vec::new() }
    }
}

impl<Op: Clone> Script<Op> {
    pub(crate) fn push(&mut self, phase: Phase, op: &Op) {
        match phase {
            Phase::Storm => self.storm.push(op.clone()),
            Phase::Calm => self.calm.push(op.clone()),
        }
    }

    /// The scripts of all clients of a plan.
    pub(crate) fn of_plan(plan: &Plan<Op>, clients: u32) -> Vec<Self> {
        let mut scripts: Vec<Self> = (0..clients).map(|_| Script::default()).collect();
        for op in &plan.ops {
            if let Some(script) = scripts.get_mut(op.client as usize) {
                script.push(op.phase, &op.ask);
            }
        }
        scripts
    }

    /// The operations of all clients, for a plan.
    pub(crate) fn to_plan(scripts: Vec<Self>) -> Vec<PlannedOp<Op>> {
        let mut ops = Vec::new();
        for (client, script) in scripts.into_iter().enumerate() {
            let client = client as u32;
            let planned = |phase| move |ask| PlannedOp { client, phase, ask };
            ops.extend(script.storm.into_iter().map(planned(Phase::Storm)));
            ops.extend(script.calm.into_iter().map(planned(Phase::Calm)));
        }
        ops
    }
}

/// What a plan file says of itself before its operations can be understood.
#[derive(Clone, Debug, Deserialize)]
pub struct Heading {
    /// The version of the format.
    pub format: u32,
    /// The suite whose plan it is.
    pub suite: String,
    /// The case of it.
    pub case: String,
    /// Why it was kept, in a line.
    #[serde(default)]
    pub why: String,
    /// The hash of the trace of the run that was recorded.
    #[serde(default)]
    pub trace: String,
}

impl<Op: Serialize + DeserializeOwned> Plan<Op> {
    /// The plan as a file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a plan holds nothing that TOML cannot")
    }

    /// A plan from a file. The error names line and column.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        Heading::from_toml(text)?;
        toml::from_str(text).map_err(|error| error.to_string())
    }
}

impl<Op: Serialize> Plan<Op> {
    /// The same plan with operations that nobody needs to understand.
    pub fn into_any(self) -> Plan<toml::Value> {
        let any = |op: PlannedOp<Op>| PlannedOp {
            client: op.client,
            phase: op.phase,
            ask: toml::Value::try_from(op.ask).expect("an operation holds nothing that TOML cannot"),
        };
        self.with_ops(|ops| Ok::<_, String>(ops.into_iter().map(any).collect())).expect("nothing can fail in it")
    }
}

impl Plan<toml::Value> {
    /// The same plan with operations of a system. The error names the one that is none.
    pub fn of_ops<Op: DeserializeOwned>(self) -> Result<Plan<Op>, String> {
        let known = |(n, op): (usize, PlannedOp<toml::Value>)| {
            let ask = op.ask.try_into().map_err(|error| format!("operation {n}: {error}"))?;
            Ok(PlannedOp { client: op.client, phase: op.phase, ask })
        };
        self.with_ops(|ops| ops.into_iter().enumerate().map(known).collect())
    }
}

impl<Op> Plan<Op> {
    fn with_ops<To, E>(
        self,
        change: impl FnOnce(Vec<PlannedOp<Op>>) -> Result<Vec<PlannedOp<To>>, E>,
    ) -> Result<Plan<To>, E> {
        let Plan { format, suite, case, seed, why, note, trace, params, tuning, faults, ops, draws } = self;
        let ops = change(ops)?;
        Ok(Plan { format, suite, case, seed, why, note, trace, params, tuning, faults, ops, draws })
    }
}

impl Heading {
    /// The heading of a plan file. The error names line and column.
    pub fn from_toml(text: &str) -> Result<Self, String> {
        let heading: Heading = toml::from_str(text).map_err(|error| error.to_string())?;
        if heading.format == FORMAT {
            return Ok(heading);
        }
        Err(format!("the plan has format {}, this program reads format {FORMAT}", heading.format))
    }
}
