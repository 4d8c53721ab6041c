//! All answers to a list of open questions, or the most telling ones.
//!
//! Which questions are asked depends on the answers before: a page that is never read is never asked about. So answers
//! are enumerated like the readings of an odometer whose wheels appear as it turns: the last question that has another
//! answer gets it, and what follows is asked afresh.
//!
//! Where the questions of the mildest state alone have more answers than the bound allows, the usual suspects are
//! tried: everything up to some question survives and nothing after it (*prefixes*), exactly one thing is lost
//! (*omissions*), exactly one survives (*survivors*), two are lost (*pairs*), a page is torn at its ends, and the rest
//! of the bound goes to random answers.

use std::collections::BTreeSet;

use crate::world::study::{Question, Rest, Script, Unit};

/// Stands for the last alternative of a question, whatever it is; tears nothing.
const LAST: u32 = u32::MAX;

/// What an enumeration has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Counted {
    /// States that were visited.
    pub(super) states: u64,
    /// States that the bound has left out, as far as is known: a lower estimate.
    pub(super) left_out: u64,
    /// The most questions that one state has asked beyond those that were settled.
    pub(super) questions_max: u64,
}

/// Visits states. `settled` are answers that stay as they are; `visit` plays the script and says what was asked.
pub(super) fn enumerate(settled: &[u32], bound: u64, mut visit: impl FnMut(Script) -> Vec<Question>) -> Counted {
    let mut counted = Counted::default();
    let mut look = |counted: &mut Counted, given: Vec<u32>, rest| {
        let asked = visit(Script::new(given, rest));
        counted.states += 1;
        counted.questions_max = counted.questions_max.max(asked.len().saturating_sub(settled.len()) as u64);
        asked
    };
    let mut asked = look(&mut counted, settled.to_vec(), Rest::Kept);
    let open = asked.get(settled.len()..).unwrap_or_default().to_vec();
    let all = alternatives(&open);
    if all <= bound {
        while let Some(given) = next(settled.len(), &asked) {
            if counted.states >= bound {
                counted.left_out = all.saturating_sub(counted.states).max(1);
                break;
            }
            asked = look(&mut counted, given, Rest::Kept);
        }
        return counted;
    }
    let mut seen: BTreeSet<Vec<u32>> = BTreeSet::from([answers(&asked)]);
    for (answers_given, rest) in suspects(&open).chain(samples(&open)) {
        if counted.states >= bound {
            break;
        }
        let given = [settled, &answers_given].concat();
        seen.insert(answers(&look(&mut counted, given, rest)));
    }
    counted.states = seen.len() as u64;
    counted.left_out = all.saturating_sub(counted.states);
    counted
}

/// The answers that were given.
pub(super) fn answers(asked: &[Question]) -> Vec<u32> {
    asked.iter().map(|question| question.answer).collect()
}

fn alternatives(open: &[Question]) -> u64 {
    open.iter().fold(1, |product: u64, question| product.saturating_mul(u64::from(question.options)))
}

/// The next reading of the odometer; `None` after the last.
fn next(settled: usize, asked: &[Question]) -> Option<Vec<u32>> {
    let turns = |question: &Question| question.answer + 1 < question.options;
    let place = asked.iter().rposition(turns).filter(|place| *place >= settled)?;
    let mut given = answers(&asked[..=place]);
    given[place] += 1;
    Some(given)
}

/// The states that bugs are most often found in, by the answers that they begin with.
fn suspects(open: &[Question]) -> impl Iterator<Item = (Vec<u32>, Rest)> {
    let n = open.len();
    let lone = |at: usize, answer: u32| [vec![0; at], vec![answer]].concat();
    let prefixes = (0..=n).map(move |kept| (vec![0; kept], Rest::Lost));
    let each: Vec<(usize, Question)> = open.iter().copied().enumerate().collect();
    let whole = |question: &Question| !matches!(question.unit, Unit::Tear | Unit::Sector);
    let ones = each.clone().into_iter().filter(move |(_, question)| whole(question));
    let omissions = ones
        .clone()
        .flat_map(move |(at, question)| (1..question.options).map(move |answer| (lone(at, answer), Rest::Kept)));
    let survivors = ones.clone().map(move |(at, _)| ([vec![LAST; at], vec![0]].concat(), Rest::Lost));
    let later = ones.clone();
    let pairs = ones.flat_map(move |(one, _)| {
        later.clone().filter(move |(other, _)| *other > one).map(move |(other, _)| {
            let mut given = lone(other, LAST);
            given[one] = LAST;
            (given, Rest::Kept)
        })
    });
    let tears = each.into_iter().filter(|(_, question)| question.unit == Unit::Tear).flat_map(move |(at, _)| {
        let torn = lone(at, 1);
        [
            (torn.clone(), Rest::Lost),
            ([torn.clone(), vec![LAST]].concat(), Rest::Kept),
            ([torn, vec![0]].concat(), Rest::Lost),
        ]
    });
    prefixes.chain(omissions).chain(survivors).chain(pairs).chain(tears)
}

/// Random answers to all questions, without end.
fn samples(open: &[Question]) -> impl Iterator<Item = (Vec<u32>, Rest)> {
    let seed = open.len() as u64;
    (1..).map(move |n| (Vec::new(), Rest::Random(seed << 32 | n)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::fs::{Choice, Choose as _};

    /// Asks about so many names of so many alternatives each.
    fn names(options: &'static [u32]) -> impl FnMut(Script) -> Vec<Question> {
        move |mut script| {
            for (op, options) in options.iter().enumerate() {
                script.choose(Choice::Name { path: "f", op: op as u32 }, *options);
            }
            script.into_asked()
        }
    }

    #[test]
    fn few_questions_are_answered_in_every_way() {
        let mut seen = BTreeSet::new();
        let mut visit = names(&[2, 3, 2]);
        let counted = enumerate(&[], 100, |script| {
            let asked = visit(script);
            assert!(seen.insert(answers(&asked)), "no state is visited twice");
            asked
        });
        assert_eq!((counted.states, counted.left_out, counted.questions_max), (12, 0, 3));
    }

    #[test]
    fn what_is_settled_stays_as_it_is() {
        let mut visit = names(&[2, 2, 2]);
        let counted = enumerate(&[1], 100, |script| {
            let asked = visit(script);
            assert_eq!(asked[0].answer, 1);
            asked
        });
        assert_eq!(counted.states, 4);
    }

    #[test]
    fn a_question_that_only_one_answer_leads_to_is_asked_below_it_alone() {
        let counted = enumerate(&[], 100, |mut script| {
            if script.choose(Choice::Name { path: "f", op: 0 }, 2) == 1 {
                script.choose(Choice::Name { path: "g", op: 1 }, 3);
            }
            script.into_asked()
        });
        assert_eq!(counted.states, 4);
    }

    #[test]
    fn at_most_one_page_of_a_crash_is_torn() {
        let mut most = 0;
        enumerate(&[], 10_000, |mut script| {
            let torn = (0..3).map(|page| script.choose(Choice::Tear { path: "f", page }, 2)).sum::<u32>();
            most = most.max(torn);
            script.into_asked()
        });
        assert_eq!(most, 1);
    }

    #[test]
    fn of_many_questions_the_telling_answers_come_first_and_what_is_left_out_is_said() {
        const MANY: [u32; 20] = [2; 20];
        let mut seen: BTreeSet<Vec<u32>> = BTreeSet::new();
        let mut visit = names(&MANY);
        let counted = enumerate(&[], 400, |script| {
            let asked = visit(script);
            seen.insert(answers(&asked));
            asked
        });
        for at in 0..20 {
            let kept: Vec<u32> = (0..20).map(|n| u32::from(n >= at)).collect();
            let omitted: Vec<u32> = (0..20).map(|n| u32::from(n == at)).collect();
            let survived: Vec<u32> = (0..20).map(|n| u32::from(n != at)).collect();
            assert!([kept, omitted, survived].iter().all(|state| seen.contains(state)), "{at}");
            for other in at + 1..20 {
                let pair: Vec<u32> = (0..20).map(|n| u32::from(n == at || n == other)).collect();
                assert!(seen.contains(&pair), "{at} and {other}");
            }
        }
        assert_eq!(counted.states, seen.len() as u64);
        assert_eq!(counted.left_out, (1 << 20) - counted.states);
    }
}
