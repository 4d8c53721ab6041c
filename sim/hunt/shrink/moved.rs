//! Deaths at the earliest moment that will do.
//!
//! Where a death strikes depends on all that went before, so dropping another fault, or an operation, often makes it
//! miss. Here the run is looked at without it, and it is tried wherever the node might die, from the start on.

use super::Work;
use crate::{
    hunt::scenario::AnyPlan,
    world::{Settings, draw::Scope, fault::Fault, study::Study},
};

/// So many candidates at most in one pass: the others want their turn.
const CANDIDATES_MAX: u64 = 300;
/// So many moments of a run are tried at most.
const MOMENTS_MAX: usize = 100;

impl Work<'_> {
    /// Moves each death, first with one of the other faults gone, then with all of them.
    pub(super) fn move_deaths(&mut self) {
        let until = self.candidates + CANDIDATES_MAX;
        let deaths: Vec<u32> =
            self.best.faults.iter().filter(|fault| fault.kind.is_death()).map(|fault| fault.id).collect();
        for death in deaths {
            let others = self.best.faults.iter().map(|fault| fault.id).filter(|id| *id != death);
            let gone: Vec<Option<u32>> = others.map(Some).chain([None]).collect();
            for gone in gone {
                self.move_death(death, gone, until);
            }
        }
    }

    /// Takes the first moment for a death at which the plan without `gone` fails.
    fn move_death(&mut self, death: u32, gone: Option<u32>, until: u64) {
        let mut plan = self.best.clone();
        plan.faults.retain(|fault| Some(fault.id) != gone);
        let Some(place) = plan.faults.iter().position(|fault| fault.id == death) else { return };
        for moved in self.moments(&plan, place) {
            // What comes now is no earlier than it is.
            if self.candidates >= until || self.is_over() || (gone.is_none() && moved == plan.faults[place]) {
                return;
            }
            let mut candidate = plan.clone();
            candidate.faults[place] = moved;
            let taken = self.take_some_way(&candidate);
            if taken || (gone.is_some() && self.take(in_an_earlier_life(candidate))) {
                return;
            }
        }
    }

    /// A death at each moment of the run that its plan would be without it.
    fn moments(&mut self, plan: &AnyPlan, place: usize) -> Vec<Fault> {
        let Ok(loaded) = self.suite.load(plan) else { return Vec::new() };
        let mut others = plan.faults.clone();
        let death = others.remove(place);
        self.candidates += 1;
        let study = Study { survey_from: Some(1), ..Study::default() };
        let (_, studied) = loaded.run(&others, study, &Settings::default());
        let spots = studied.spots.into_iter().filter(|spot| death.on.node(spot.node));
        spots.take(MOMENTS_MAX).map(|spot| Fault { at: spot.at.trigger(), ..death.clone() }).collect()
    }
}

/// The plan with what is drawn for a life of a node drawn for the life before it: what a power loss leaves is answered
/// life by life, and with one death less a node has one life less.
pub(super) fn in_an_earlier_life(mut plan: AnyPlan) -> AnyPlan {
    plan.draws = std::mem::take(&mut plan.draws)
        .into_iter()
        .map(|(key, value)| (earlier_life(&key).unwrap_or(key), value))
        .collect();
    plan
}

fn earlier_life(key: &str) -> Option<String> {
    let (stream, rest) = key.split_once(' ')?;
    let (scope, entity) = rest.split_once(' ')?;
    match scope.parse().ok()? {
        Scope::Node(node, life) if life > 1 => Some(format!("{stream} {} {entity}", Scope::Node(node, life - 1))),
        Scope::Node(..) | Scope::Op(_) | Scope::World => None,
    }
}

#[cfg(test)]
mod tests {
    use super::earlier_life;

    #[test]
    fn only_what_is_drawn_for_a_later_life_of_a_node_moves() {
        assert_eq!(earlier_life("power.names n0.2 path:a:1 #0").as_deref(), Some("power.names n0.1 path:a:1 #0"));
        assert_eq!(earlier_life("power.names n0.1 path:a:1 #0"), None);
        assert_eq!(earlier_life("client.think world c0 #3"), None);
        assert_eq!(earlier_life("disk.latency op7 path:a:1 #0"), None);
    }
}
