//! Whole files, read with a bound.

use stormproof_contract::{Disk, DiskError, Open};

use super::{StoreError, StoreResult};

/// Reads a file whole; `None` if there is none of that name. More than `bytes_max` is damage: nothing we write is as
/// long.
pub(super) fn read_whole(disk: &dyn Disk, path: &str, bytes_max: u64) -> StoreResult<Option<Vec<u8>>> {
    let file = match disk.open(path, Open::Read) {
        Err(error) if error.is_not_found() => return Ok(None),
        opened => opened?,
    };
    let len = file.meta()?.len;
    if len > bytes_max {
        let (expected, found) = (format!("at most {bytes_max} bytes"), format!("{len}"));
        return Err(StoreError::Damaged {
            path: path.into(),
            offset: 0,
            expected: expected.into(),
            found: found.into(),
        });
    }
    let mut bytes = vec![0; len as usize];
    let got = file.read_at(0, &mut bytes)?;
    bytes.truncate(got);
    Ok(Some(bytes))
}

/// The paths of all files in a directory, whatever they are; none if there is no such directory.
pub(super) fn list_paths(disk: &dyn Disk, directory: &str) -> StoreResult<Vec<String>> {
    match disk.list(directory) {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        listed => Ok(listed?.into_iter().map(|entry| format!("{directory}/{}", entry.name)).collect()),
    }
}

/// Copies a file, durably but for its name. What was under the other name is replaced. One that is missing is left out.
pub(crate) fn copy_whole(disk: &dyn Disk, from: &str, to: &str) -> StoreResult<()> {
    let Some(bytes) = read_whole(disk, from, u64::MAX)? else { return Ok(()) };
    let copy = disk.open(to, Open::Truncate)?;
    copy.write_all_at(0, &[&bytes])?;
    Ok(copy.sync()?)
}

/// The error of a file that must be there and is not.
pub(super) fn missing(path: &str, expected: &str) -> StoreError {
    StoreError::Damaged { path: path.into(), offset: 0, expected: expected.into(), found: "no such file".into() }
}

/// Removes a file, if it is there.
pub(crate) fn remove_if_there(disk: &dyn Disk, path: &str) -> Result<(), DiskError> {
    match disk.remove(path) {
        Err(error) if error.is_not_found() => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use stormproof_contract::{DiskErrorKind, DiskOp};

    use super::*;
    use crate::store::test_disk::TestDisk;

    #[test]
    fn a_file_is_read_up_to_its_bound_and_one_that_is_missing_is_none() {
        let disk = TestDisk::new();
        disk.set("file", &[7; 5]);
        assert_eq!(read_whole(&*disk, "file", 5), Ok(Some(vec![7; 5])));
        let error = read_whole(&*disk, "file", 4).expect_err("longer").to_string();
        assert!(error.contains("at most 4 bytes") && error.contains("found 5"), "{error}");
        assert_eq!(read_whole(&*disk, "none", 5), Ok(None));
        disk.fail_next(DiskOp::Open, DiskErrorKind::Io);
        assert!(read_whole(&*disk, "file", 5).is_err(), "a file that cannot be opened is not missing");
    }

    #[test]
    fn what_is_not_there_is_removed_and_what_cannot_be_removed_is_not() {
        let disk = TestDisk::new();
        disk.set("file", &[7]);
        assert_eq!(remove_if_there(&*disk, "none"), Ok(()));
        disk.fail_next(DiskOp::Remove, DiskErrorKind::Io);
        assert!(remove_if_there(&*disk, "file").is_err());
        assert_eq!(remove_if_there(&*disk, "file"), Ok(()));
        assert!(disk.paths().is_empty());
    }
}
