//! Files that are well formed, and every way in which a small one is not.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;

use super::{Agreement, DataError, Nearest, Truth, Vectors, fashion_mnist, write_fvecs, write_ivecs};
use crate::scan::uniform;

fn dir() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn put(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).expect("written");
    path
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(bytes).expect("in memory");
    packer.finish().expect("in memory")
}

fn read(path: &Path) -> Result<(usize, Vec<f32>), DataError> {
    let vectors = Vectors::open(path, None)?;
    Ok((vectors.dim(), vectors.all(1000)?))
}

fn npy(descr: &str, order: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let dictionary = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((dictionary.len() as u16).to_le_bytes());
    bytes.extend(dictionary.as_bytes());
    bytes.extend(data);
    bytes
}

/// Two rows, `[1, 2]` and `[3, 4]`, as each kind of file has them.
fn well_formed() -> Vec<(&'static str, Vec<u8>)> {
    let floats: Vec<u8> = [1_f32, 2.0, 3.0, 4.0].iter().flat_map(|it| it.to_le_bytes()).collect();
    let halves: Vec<u8> = [0x3c00_u16, 0x4000, 0x4200, 0x4400].iter().flat_map(|it| it.to_le_bytes()).collect();
    let head = 2_i32.to_le_bytes();
    let idx = |kind: u8, data: &[u8]| [&[0, 0, kind, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2], data].concat();
    let big: Vec<u8> = [1_f32, 2.0, 3.0, 4.0].iter().flat_map(|it| it.to_be_bytes()).collect();
    vec![
        ("a.fvecs", [&head, &floats[..8], &head, &floats[8..]].concat()),
        ("a.bvecs", [&head[..], &[1, 2], &head, &[3, 4]].concat()),
        ("a.idx", idx(0x08, &[1, 2, 3, 4])),
        ("b.idx", idx(0x0d, &big)),
        ("t10k-images-idx3-ubyte", idx(0x08, &[1, 2, 3, 4])),
        ("f4.npy", npy("<f4", "False", "(2, 2)", &floats)),
        ("f2.npy", npy("<f2", "False", "(2, 2)", &halves)),
        ("u1.npy", npy("|u1", "False", "(2, 2)", &[1, 2, 3, 4])),
    ]
}

#[test]
fn the_same_vectors_are_read_from_every_kind_of_file_packed_or_not() {
    let dir = dir();
    for (name, bytes) in well_formed() {
        let plain = put(dir.path(), name, &bytes);
        let gz = put(dir.path(), &format!("{name}.gz"), &packed(&bytes));
        for path in [plain, gz] {
            assert_eq!(read(&path).expect("well formed"), (2, vec![1.0, 2.0, 3.0, 4.0]), "{}", path.display());
            let mut cut = Vectors::open(&path, Some(1)).expect("well formed");
            assert_eq!(cut.block(10).expect("well formed"), [1.0, 2.0], "{}", path.display());
            assert!(cut.block(10).expect("well formed").is_empty(), "{}", path.display());
        }
    }
}

#[test]
fn every_truncation_of_every_kind_of_file_is_an_error_that_names_file_and_offset() {
    let dir = dir();
    for (name, bytes) in well_formed() {
        for len in 0..bytes.len() {
            // A file without a length of its own that ends between two rows is a shorter file.
            let is_whole = matches!(name, "a.fvecs" | "a.bvecs") && len == bytes.len() / 2;
            for (name, bytes) in
                [(name.to_owned(), bytes[..len].to_vec()), (format!("{name}.gz"), packed(&bytes[..len]))]
            {
                let path = put(dir.path(), &name, &bytes);
                match read(&path) {
                    Ok((dim, rows)) => assert!(is_whole && rows == [1.0, 2.0] && dim == 2, "{name} of {len} bytes"),
                    Err(error) => {
                        assert!(matches!(error, DataError::Malformed { .. }), "{name} of {len} bytes: {error}");
                        let words = error.to_string();
                        assert!(words.contains(&name) && words.contains("offset"), "{words}");
                    }
                }
            }
        }
        let whole = packed(&bytes);
        for len in 0..whole.len() {
            let path = put(dir.path(), &format!("{name}.gz"), &whole[..len]);
            assert!(matches!(read(&path), Err(DataError::Malformed { .. })), "{name}.gz of {len} bytes");
        }
    }
}

#[test]
fn what_is_wrong_is_said_with_what_was_expected_and_found() {
    let dir = dir();
    let floats = 2.0_f32.to_le_bytes();
    let row = |dim: i32, data: &[u8]| [&dim.to_le_bytes()[..], data].concat();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a.fvecs", row(-1, &floats), "offset 0: expected 1 to 65536 components, found -1"),
        ("b.fvecs", row(i32::MAX, &floats), "offset 0: expected 1 to 65536 components, found 2147483647"),
        ("c.fvecs", [row(1, &floats), row(2, &floats)].concat(), "offset 8: expected 1 components, as before, found 2"),
        ("d.fvecs", row(1, &f32::NAN.to_le_bytes()), "offset 4: expected a finite number, found NaN"),
        ("e.fvecs", [row(1, &floats), vec![1, 0]].concat(), "offset 8: expected a row of 8 bytes, found 2 bytes"),
        ("a.idx", vec![0, 1, 8, 1, 0, 0, 0, 1, 0], "offset 0: expected two zero bytes, found 0x00 0x01"),
        ("b.idx", vec![0, 0, 9, 1, 0, 0, 0, 1, 0], "offset 2: expected 0x08 (bytes) or 0x0d (floats), found 0x09"),
        ("c.idx", vec![0, 0, 8, 9], "offset 3: expected 1 to 8 dimensions, found 9"),
        (
            "d.idx",
            vec![0, 0, 8, 2, 0, 0, 0, 1, 255, 255, 255, 255],
            "offset 8: expected 1 to 65536 components in all, found 1 times 4294967295",
        ),
        ("e.idx", vec![0, 0, 8, 1, 0, 0, 0, 1, 0, 0], "offset 9: expected 9 bytes in all, found 10 bytes"),
        ("a.npy", b"\x93NUMPX\x01\x00".to_vec(), "offset 0: expected \\x93NUMPY, found \\x93NUMPX"),
        ("b.npy", npy("<f8", "False", "(1, 1)", &[0; 8]), "expected 'descr' to be '<f4', '<f2' or '|u1'"),
        ("c.npy", npy("<f4", "True", "(1, 1)", &[0; 4]), "expected 'fortran_order' to be False"),
        ("d.npy", npy("<f4", "False", "(1,)", &[0; 4]), "expected 'shape' to be two lengths"),
        ("e.npy", npy("<f4", "False", "(9223372036854775807, 2)", &[0; 4]), "expected fewer rows in 'shape'"),
        ("f.npy", npy("<f4", "False", "(1, 70000)", &[0; 4]), "expected 1 to 65536 components in 'shape'"),
        (
            "g.npy",
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
            "offset 12: expected a dictionary of up to 65536 bytes",
        ),
        ("a.hdf5", Vec::new(), if cfg!(feature = "hdf5") { "what can be read as HDF5" } else { "`--features hdf5`" }),
        ("a.hdf5.gz", Vec::new(), "unpack it first"),
        ("a.csv", Vec::new(), "no known kind of file"),
    ];
    for (name, bytes, words) in cases {
        let error = read(&put(dir.path(), name, &bytes)).expect_err(name).to_string();
        assert!(error.contains(words) && error.contains(name), "{error}");
    }
}

#[test]
fn halves_are_read_to_the_last_bit() {
    let dir = dir();
    let bits = [0x0001_u16, 0x03ff, 0x0400, 0x7bff, 0xbc01, 0x8000];
    let data: Vec<u8> = bits.iter().flat_map(|it| it.to_le_bytes()).collect();
    let (_, rows) = read(&put(dir.path(), "a.npy", &npy("<f2", "False", "(1, 6)", &data))).expect("well formed");
    assert_eq!(rows, [5.960_464_5e-8, 6.097_555e-5, 6.103_515_6e-5, 65504.0, -1.000_976_6, 0.0]);
}

#[test]
fn what_is_written_is_read_again() {
    let dir = dir();
    let (path, rows) = (dir.path().join("a.fvecs"), uniform(30, 1));
    assert_eq!(write_fvecs(&path, 3, [Ok(rows[..12].to_vec()), Ok(rows[12..].to_vec())]).expect("written"), 10);
    assert_eq!(read(&path).expect("well formed"), (3, rows));
    let path = dir.path().join("a.ivecs");
    let truth = Truth { k: 2, ids: vec![0, 1, 7, 3] };
    write_ivecs(&path, 2, &truth.ids).expect("written");
    assert_eq!(Truth::read(&path, 2).expect("well formed"), truth);
    let error = Truth::read(&path, 3).expect_err("an answer is missing").to_string();
    assert!(error.ends_with("expected answers to 3 queries, found 2"), "{error}");
    let bytes = fs::read(&path).expect("written");
    for len in (0..bytes.len()).filter(|len| *len != bytes.len() / 2) {
        let path = put(dir.path(), "b.ivecs", &bytes[..len]);
        assert!(matches!(Truth::read(&path, 2), Err(DataError::Malformed { .. })), "{len} bytes");
    }
}

#[test]
fn exact_answers_are_those_of_sorting_all_rows_however_many_threads() {
    let dir = dir();
    for (dim, count) in [(1, 50), (19, 700)] {
        let path = dir.path().join("a.fvecs");
        let mut rows = uniform(dim * count, 1);
        // Rows that are equally far come in the order of their numbers.
        rows.copy_within(0..dim * 10, dim * 20);
        write_fvecs(&path, dim, [Ok(rows.clone())]).expect("written");
        let queries = [&uniform(dim * 7, 2), &rows[..dim]].concat();
        let mut expected = Vec::new();
        for query in queries.chunks(dim) {
            let far = |row: &[f32]| -> f64 {
                row.iter().zip(query).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum()
            };
            let mut all: Vec<_> = (0_u32..).zip(rows.chunks(dim)).map(|(id, row)| (far(row), id)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            expected.extend(all.iter().take(20).map(|it| it.1));
        }
        for threads in [1, 3, 100] {
            let mut base = Vectors::open(&path, None).expect("well formed");
            let found = Nearest::exact(&mut base, &queries, 20, threads, |_| {}).expect("well formed");
            assert_eq!((found.truth.k, &found.truth.ids), (20, &expected), "{threads} threads");
        }
        let mut base = Vectors::open(&path, Some(5)).expect("well formed");
        let few = Nearest::exact(&mut base, &queries, 20, 2, |_| {}).expect("well formed");
        assert_eq!((few.truth.k, few.truth.queries()), (5, 8), "as many as there are");
    }
}

#[test]
fn answers_that_are_not_exact_are_seen_but_for_rows_equally_far() {
    let dir = dir();
    let (path, dim) = (dir.path().join("a.fvecs"), 4);
    let mut rows = uniform(dim * 300, 1);
    rows.copy_within(0..dim, dim);
    write_fvecs(&path, dim, [Ok(rows.clone())]).expect("written");
    let queries = [&rows[..dim], &uniform(dim, 3)[..]].concat();
    let open = || Vectors::open(&path, None).expect("well formed");
    let exact = Nearest::exact(&mut open(), &queries, 10, 1, |_| {}).expect("well formed").truth;
    let agrees = |truth: &Truth| truth.agrees(&mut open(), &queries, &[0, 1], 1).expect("well formed");
    assert_eq!(agrees(&exact), Agreement::Agrees);
    let mut swapped = exact.clone();
    swapped.ids.swap(0, 1);
    assert_eq!(agrees(&swapped), Agreement::Agrees, "rows 0 and 1 are the same");
    let mut wrong = exact.clone();
    wrong.ids.swap(10, 19);
    let (expected, found) = (exact.ids[10], exact.ids[19]);
    assert_eq!(agrees(&wrong), Agreement::Differs { query: 1, place: 0, expected, found });
}

#[test]
fn the_images_of_a_package_become_base_queries_and_answers() {
    let (from, out) = (dir(), dir());
    let images = |count: u8| {
        let head = [0, 0, 8, 3, 0, 0, 0, count, 0, 0, 0, 2, 0, 0, 0, 3];
        let grey = (0..count).flat_map(|nth| [nth, 7, nth, 7, nth, 7]);
        packed(&head.into_iter().chain(grey).collect::<Vec<_>>())
    };
    let error = fashion_mnist(from.path(), out.path(), 1, |_, _| {}).expect_err("nothing is there").to_string();
    assert!(error.contains("dataset-fashion-mnist"), "{error}");
    put(from.path(), "train-images-idx3-ubyte.gz", &images(150));
    put(from.path(), "t10k-images-idx3-ubyte.gz", &images(9));
    let made = fashion_mnist(from.path(), out.path(), 2, |_, _| {}).expect("made");
    assert_eq!((made.rows, made.queries, made.dim, made.k), (150, 9, 6, 100));
    let truth = Truth::read(&out.path().join("fashion-mnist_groundtruth.ivecs"), 9).expect("well formed");
    assert!((0_u32..9).all(|nth| truth.of(nth as usize)[0] == nth), "each is nearest to its own copy");
}
