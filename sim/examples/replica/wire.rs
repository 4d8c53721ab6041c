//! What nodes tell each other and their journals, as words.
//!
//! Messages are framed with a checksum, so a damaged one is not a message. One that is whole and makes no sense is
//! none either: the network is not trusted.

use stormproof_contract::OpId;

use super::{
    super::frame::{seal, unseal},
    Op,
};

/// One entry of the replicated log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    /// The term of the leader that took it in.
    pub(super) term: u64,
    /// Whose it is and what is to be done; a new leader's first entry does nothing.
    pub(super) op: Option<(OpId, Op)>,
}

/// Where a log ends, or a part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// How many entries there are up to here.
    pub(super) index: u64,
    /// The term of the last; 0 where there is none.
    pub(super) term: u64,
}

/// A message, without the term it was sent in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Message {
    /// A candidate, whose log ends there, asks for a vote.
    Vote {
        /// The end of the candidate's log.
        last: Place,
    },
    /// The answer.
    Voted {
        /// Whether the vote is the candidate's.
        granted: bool,
    },
    /// A leader sends entries, or none to be heard.
    Append {
        /// The leader's clock when it sent this.
        stamp: u64,
        /// What stands before the entries.
        before: Place,
        /// Up to where the log is committed.
        commit: u64,
        /// What follows there.
        entries: Vec<Entry>,
    },
    /// The answer.
    Appended {
        /// The stamp of what this answers.
        stamp: u64,
        /// Whether the entries fitted.
        fits: bool,
        /// Up to where the two logs agree; if they did not fit, no further than this.
        index: u64,
    },
}

/// A record of the journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Record {
    /// The node is in this term, and has voted for that node.
    Term {
        /// The term.
        term: u64,
        /// The number of the node.
        vote: Option<u32>,
    },
    /// The log's entry at this index, replacing whatever stood there and behind it.
    Entry {
        /// Its index, counted from 1.
        index: u64,
        /// The entry.
        entry: Entry,
    },
}

const ENTRY_WORDS: usize = 6;

impl Entry {
    fn encode(self) -> [u64; ENTRY_WORDS] {
        let term = self.term;
        match self.op {
            None => [term, 0, 0, 0, 0, 0],
            Some((OpId(id), Op::Put { key, value })) => [term, id, 1, key, value, 0],
            Some((OpId(id), Op::Get { key })) => [term, id, 2, key, 0, 0],
            Some((OpId(id), Op::Swap { key, expected, value })) => [term, id, 3, key, expected, value],
        }
    }

    fn decode([term, id, kind, key, a, b]: [u64; ENTRY_WORDS]) -> Option<Entry> {
        let op = match kind {
            0 => return Some(Entry { term, op: None }),
            1 => Op::Put { key, value: a },
            2 => Op::Get { key },
            3 => Op::Swap { key, expected: a, value: b },
            4.. => return None,
        };
        Some(Entry { term, op: Some((OpId(id), op)) })
    }
}

impl Message {
    /// As the bytes of a message sent in `term`.
    pub(super) fn encode(&self, term: u64) -> Vec<u8> {
        match self {
            Message::Vote { last } => seal(&[0, term, last.index, last.term]),
            Message::Voted { granted } => seal(&[1, term, u64::from(*granted)]),
            Message::Append { stamp, before, commit, entries } => {
                let mut words = vec![2, term, *stamp, before.index, before.term, *commit];
                words.extend(entries.iter().flat_map(|entry| entry.encode()));
                seal(&words)
            }
            Message::Appended { stamp, fits, index } => seal(&[3, term, *stamp, u64::from(*fits), *index]),
        }
    }

    /// The term and the message, if the bytes are one.
    pub(super) fn decode(bytes: &[u8]) -> Option<(u64, Message)> {
        let (words, _) = unseal(bytes)?;
        let (&[kind, term], words) = words.split_first_chunk()?;
        let message = match (kind, words) {
            (0, &[index, last]) => Message::Vote { last: Place { index, term: last } },
            (1, &[granted]) => Message::Voted { granted: granted == 1 },
            (2, &[stamp, index, before, commit, ref rest @ ..]) => {
                Message::Append { stamp, before: Place { index, term: before }, commit, entries: entries(rest)? }
            }
            (3, &[stamp, fits, index]) => Message::Appended { stamp, fits: fits == 1, index },
            _ => return None,
        };
        Some((term, message))
    }
}

fn entries(words: &[u64]) -> Option<Vec<Entry>> {
    let (entries, rest) = words.as_chunks();
    rest.is_empty().then_some(())?;
    entries.iter().map(|words| Entry::decode(*words)).collect()
}

impl Record {
    /// As words.
    pub(super) fn encode(&self) -> Vec<u64> {
        match self {
            Record::Term { term, vote } => vec![0, *term, vote.map_or(0, |node| u64::from(node) + 1)],
            Record::Entry { index, entry } => [&[1, *index], &entry.encode()[..]].concat(),
        }
    }

    /// The record, if the words are one.
    pub(super) fn decode(words: &[u64]) -> Option<Record> {
        match *words {
            [0, term, 0] => Some(Record::Term { term, vote: None }),
            [0, term, vote] => Some(Record::Term { term, vote: Some(u32::try_from(vote - 1).ok()?) }),
            [1, index, ref entry @ ..] => Some(Record::Entry { index, entry: Entry::decode(entry.try_into().ok()?)? }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            any::<(u64, u64)>().prop_map(|(key, value)| Op::Put { key, value }),
            any::<u64>().prop_map(|key| Op::Get { key }),
            any::<(u64, u64, u64)>().prop_map(|(key, expected, value)| Op::Swap { key, expected, value }),
        ]
    }

    fn entry() -> impl Strategy<Value = Entry> {
        (any::<u64>(), prop::option::of((any::<u64>().prop_map(OpId), op()))).prop_map(|(term, op)| Entry { term, op })
    }

    fn place() -> impl Strategy<Value = Place> {
        any::<(u64, u64)>().prop_map(|(index, term)| Place { index, term })
    }

    fn message() -> impl Strategy<Value = Message> {
        prop_oneof![
            place().prop_map(|last| Message::Vote { last }),
            any::<bool>().prop_map(|granted| Message::Voted { granted }),
            (any::<u64>(), place(), any::<u64>(), prop::collection::vec(entry(), 0..4))
                .prop_map(|(stamp, before, commit, entries)| Message::Append { stamp, before, commit, entries }),
            any::<(u64, bool, u64)>().prop_map(|(stamp, fits, index)| Message::Appended { stamp, fits, index }),
        ]
    }

    proptest! {
        #[test]
        fn a_message_arrives_as_it_was_sent(term: u64, message in message()) {
            prop_assert_eq!(Message::decode(&message.encode(term)), Some((term, message)));
        }

        #[test]
        fn a_record_is_read_as_it_was_written(term: u64, vote: Option<u32>, index: u64, entry in entry()) {
            for record in [Record::Term { term, vote }, Record::Entry { index, entry }] {
                prop_assert_eq!(Record::decode(&record.encode()), Some(record));
            }
        }

        #[test]
        fn whole_frames_of_nonsense_are_no_messages(words: Vec<u64>) {
            let _ = Message::decode(&seal(&words));
            let _ = Record::decode(&words);
        }
    }
}
