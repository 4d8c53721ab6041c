//! Whether a tree is one that the model allows a killed process to leave.
//!
//! What the process was told is there. The call that it was in has happened, or has not, or has happened in part, where
//! the model has such a part:
//! - a **write**: some of its first bytes, as by the short write that the contract allows and the world injects;
//! - an **allocation**: the file has grown by a part of what was asked, as by a smaller allocation;
//! - a **clone**: the new file holds some of the first bytes, as the contract says of a process that dies in the middle.
//!
//! Everything else is one step: a rename, a link, a directory made, a name removed, a file cut.

use super::{
    calls::Call,
    player::{Tree, perform, tree},
    simulated::on_simulated_disk,
};
use stormproof_sim::world::fs::Profile;

/// How much of the call in progress was done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Done {
    Nothing,
    Part,
    All,
}

/// What the model shows when so many calls have returned, and after one more.
pub(crate) fn around(calls: &[Call], acknowledged: usize) -> (Tree, Tree) {
    let one_more = calls.len().min(acknowledged + 1);
    let after = |count: usize| {
        on_simulated_disk(Profile::Weakest, |disk| {
            perform(disk, &calls[..count], |_| {});
            tree(disk)
        })
    };
    (after(acknowledged), after(one_more))
}

/// How much of the call in progress was done; `None` if the model has no such tree at that moment.
pub(crate) fn within(calls: &[Call], acknowledged: usize, found: &Tree) -> Option<Done> {
    let (before, after) = around(calls, acknowledged);
    if *found == after {
        return Some(if acknowledged == calls.len() { Done::Nothing } else { Done::All });
    }
    if *found == before {
        return Some(Done::Nothing);
    }
    let part = match calls.get(acknowledged)? {
        Call::Write { offset, parts, .. } => {
            let len = parts.iter().map(|part| part.len).sum();
            in_part(&before, &after, found, |old, new, now| written(old, new, now, *offset as usize, len))
        }
        Call::Allocate { .. } => in_part(&before, &after, found, |old, new, now| {
            (old.len()..new.len()).contains(&now.len()).then(|| new[..now.len()].to_vec())
        }),
        Call::Clone { .. } => in_part(&before, &after, found, |_, new, now| new.get(..now.len()).map(<[u8]>::to_vec)),
        _ => false,
    };
    part.then_some(Done::Part)
}

/// Whether `found` is `before` but for the file that the call changes, under all of its names, and that is as `expected`
/// has it, which is given the file before, after, and as it was found.
fn in_part(
    before: &Tree,
    after: &Tree,
    found: &Tree,
    expected: impl Fn(&[u8], &[u8], &[u8]) -> Option<Vec<u8>>,
) -> bool {
    let mut allowed = before.clone();
    let mut file = None;
    for (path, new) in after.iter().filter(|(path, new)| before.get(*path) != Some(*new)) {
        let (Some(new), Some(Some(now))) = (new, found.get(path)) else { return false };
        let old = before.get(path).and_then(Option::as_deref).unwrap_or_default();
        file = file.or_else(|| expected(old, new, now));
        allowed.insert(path.clone(), file.clone());
    }
    allowed == *found
}

/// The file with as many of the first bytes of a write as were found.
fn written(old: &[u8], new: &[u8], now: &[u8], offset: usize, len: usize) -> Option<Vec<u8>> {
    let done = if now.len() > old.len() {
        now.len().checked_sub(offset)?
    } else {
        now.iter().zip(new).skip(offset).take_while(|(now, new)| now == new).count().min(len)
    };
    let mut file = old.to_vec();
    if done > 0 {
        file.resize(old.len().max(offset + done), 0);
        file[offset..offset + done].copy_from_slice(new.get(offset..offset + done)?);
    }
    Some(file)
}

#[cfg(test)]
mod tests {
    use stormproof_contract::Open;

    use super::*;
    use crate::calls::Part;

    /// Ten bytes, synced or not, and then six more over and beyond their end.
    fn calls() -> Vec<Call> {
        let write = |offset, first, len| Call::Write { slot: 0, offset, parts: vec![Part { first, len }] };
        vec![
            Call::Open { slot: 0, path: "a".into(), how: Open::Create },
            Call::Link { existing: "a".into(), new: "b".into() },
            write(0, 1, 10),
            write(7, 100, 6),
            Call::Clone { from: "a".into(), to: "c".into() },
        ]
    }

    fn found(files: &[(&str, &[u8])]) -> Tree {
        files.iter().map(|(name, bytes)| ((*name).to_owned(), Some(bytes.to_vec()))).collect()
    }

    const OLD: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    const NEW: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 100, 101, 102, 103, 104, 105];

    #[test]
    fn a_write_may_be_cut_anywhere_and_in_no_other_way() {
        let judge = |bytes: &[u8]| within(&calls(), 3, &found(&[("a", bytes), ("b", bytes)]));
        assert_eq!(judge(OLD), Some(Done::Nothing));
        assert_eq!(judge(NEW), Some(Done::All));
        for cut in 8..13 {
            let part = [&NEW[..cut], OLD.get(cut..).unwrap_or_default()].concat();
            assert_eq!(judge(&part), Some(Done::Part), "{part:?}");
        }
        let without_its_first = [&OLD[..8], &NEW[8..]].concat();
        assert_eq!(judge(&without_its_first), None, "the end without the beginning");
        assert_eq!(judge(&[OLD, &[0, 0, 0]].concat()), None, "the length without the bytes");
        assert_eq!(judge(&OLD[..9]), None, "a byte that was acknowledged is gone");
    }

    #[test]
    fn all_names_of_a_file_show_the_same_and_other_files_stay() {
        let judge = |files: &[(&str, &[u8])]| within(&calls(), 3, &found(files));
        assert_eq!(judge(&[("a", &NEW[..11]), ("b", &NEW[..12])]), None, "two names, two lengths");
        assert_eq!(judge(&[("a", &NEW[..11])]), None, "a name is gone");
        assert_eq!(judge(&[("a", NEW), ("b", NEW), ("c", b"")]), None, "a file from nowhere");
    }

    #[test]
    fn a_clone_may_be_cut_and_what_was_acknowledged_may_not() {
        let judge =
            |acknowledged, copy: &[u8]| within(&calls(), acknowledged, &found(&[("a", NEW), ("b", NEW), ("c", copy)]));
        assert_eq!(judge(4, &NEW[..5]), Some(Done::Part));
        assert_eq!(judge(4, b"x"), None, "other bytes than those of the original");
        assert_eq!(judge(5, &NEW[..5]), None, "it was acknowledged");
        assert_eq!(judge(5, NEW), Some(Done::Nothing));
    }
}
