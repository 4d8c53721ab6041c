//! A pass of consolidation over a store, by rules that are given.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde_json::json;

use super::{
    CommandError,
    data::{Opening, config_at, start},
};
use crate::memory::{ConsolidationRules, EPISODE_MAX, EPISODES_MAX, Op, Pass, RecordId, Reply};

/// What to do.
#[derive(clap::Subcommand)]
pub(super) enum Which {
    /// Make firmer what was active, and have links learn what follows what
    Nrem {
        /// Episodes: a line of ids for each, in the order in which the records were active
        episodes: PathBuf,
        /// How much of what it lacks to 1 an activation adds to kappa
        #[arg(long, default_value_t = ConsolidationRules::default().kappa_gain)]
        kappa_gain: f32,
        /// The same for the weight of a link between records that were active one right after the other
        #[arg(long, default_value_t = ConsolidationRules::default().link_gain)]
        link_gain: f32,
    },
    /// Make prototypes of records that are near each other
    Rem {
        /// Only of records of this kappa or more
        #[arg(long, default_value_t = ConsolidationRules::default().rem_kappa_min)]
        kappa: f32,
        /// How far a record may be from the first of its cluster, by the metric of the store
        #[arg(long, default_value_t = ConsolidationRules::default().rem_radius)]
        radius: f32,
        /// How many make a prototype
        #[arg(long, default_value_t = ConsolidationRules::default().rem_members_min)]
        members: u32,
    },
    /// Remove records of low kappa that are old, not pinned, and that no other record links to
    Prune {
        /// Only records of a lower kappa than this
        #[arg(long, default_value_t = ConsolidationRules::default().prune_kappa)]
        kappa: f32,
        /// Only records of this age or more, in days
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
}

pub(super) fn run(opening: &Opening, which: Which, json: bool) -> Result<ExitCode, CommandError> {
    let mut config = config_at(opening)?;
    let rules = &mut config.consolidation;
    let (pass, episodes) = match which {
        Which::Nrem { episodes, kappa_gain, link_gain } => {
            (rules.kappa_gain, rules.link_gain) = (kappa_gain, link_gain);
            (Pass::Nrem, read_episodes(&episodes)?)
        }
        Which::Rem { kappa, radius, members } => {
            (rules.rem_kappa_min, rules.rem_radius, rules.rem_members_min) = (kappa, radius, members);
            rules.prune_kappa = rules.prune_kappa.min(kappa);
            (Pass::Rem, Vec::new())
        }
        Which::Prune { kappa, days } => {
            (rules.prune_kappa, rules.prune_age_ms) = (kappa, u64::from(days) * 24 * 3600 * 1000);
            rules.rem_kappa_min = rules.rem_kappa_min.max(kappa);
            (Pass::Prune, Vec::new())
        }
    };
    let store = start(opening, config)?;
    let client = store.client();
    let (mut changed_all, mut spared_all, mut rest) = (0, 0, &episodes[..]);
    loop {
        let (now, later) = rest.split_at(rest.len().min(EPISODES_MAX));
        for ids in now {
            match client.call(Op::Activate { ids: ids.clone() })? {
                Reply::Activated { .. } => {}
                other => return Err(other.into()),
            }
        }
        match client.call(Op::Consolidate { pass })? {
            Reply::Consolidated { changed, spared } => {
                changed_all += changed;
                spared_all += spared;
            }
            other => return Err(other.into()),
        }
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    store.stop();
    if json {
        writeln!(io::stdout(), "{}", json!({ "pass": pass, "changed": changed_all, "spared": spared_all }))?;
    } else {
        let what = match pass {
            Pass::Nrem => "records became firmer",
            Pass::Rem => "prototypes were made",
            Pass::Prune => "records were removed",
        };
        writeln!(io::stdout(), "{changed_all} {what}")?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read_episodes(file: &Path) -> Result<Vec<Vec<RecordId>>, CommandError> {
    let unread = |source| CommandError::Unread { dir: file.to_owned(), source };
    let text = fs::read_to_string(file).map_err(unread)?;
    let episode = |(at, line): (usize, &str)| {
        let bad = |found: String| CommandError::Episode { file: file.to_owned(), line: at + 1, found: found.into() };
        let id = |word: &str| word.parse().map(RecordId).map_err(|_| bad(format!("`{word}`")));
        let ids: Vec<RecordId> = line.split_whitespace().map(id).collect::<Result<_, _>>()?;
        if ids.len() > EPISODE_MAX { Err(bad(format!("{} ids", ids.len()))) } else { Ok(ids) }
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(episode).collect()
}
