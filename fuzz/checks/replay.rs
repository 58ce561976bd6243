//! Replays a committed corpus.

use std::fs;
use std::path::Path;

/// Checks every input of the corpus of this target. The one that fails is named in the output of the test.
pub(crate) fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "the corpus of {target} is there");
    for file in files {
        println!("{}", file.display());
        check(&fs::read(&file).unwrap());
    }
}
