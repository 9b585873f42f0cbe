//! Replays every file of every corpus, without a fuzzer.

use std::fs;
use std::path::Path;

#[test]
fn corpora_replay() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for target in parley_xmpp_fuzz::TARGETS {
        let name = target.name;
        let corpus = fs::read_dir(corpora.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut files: Vec<_> = corpus.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no corpus");
        for file in files {
            println!("{}", file.display());
            let data = fs::read(&file).unwrap();
            let took = target.run(&data);
            println!("{} bytes, {took} allocated at once", data.len());
        }
    }
}

#[test]
fn every_corpus_has_a_target() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    for entry in fs::read_dir(corpora).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            parley_xmpp_fuzz::TARGETS
                .iter()
                .any(|target| target.name == name),
            "{name}"
        );
    }
}
