//! What is fuzzed (`fuzz/`), on stable: every target over its seeds and over mutations of them, the same in every run.
//! `FUZZ_ROUNDS=100000 cargo test --test fuzz` tries more of them. What fails is written to a file, for
//! `cargo +nightly fuzz run TARGET FILE` as much as for a look.

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use fuzz::{Dice, TARGETS};
use serde_json::Value;
use std::{env, fs, path::PathBuf, thread};

const ROUNDS: usize = 1000;

#[test]
fn every_target_holds_for_its_seeds_and_for_mutations_of_them() {
    let rounds = env::var("FUZZ_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let table: Value = serde_json::from_slice(&fs::read(folder("fuzz/targets.json")).unwrap()).unwrap();
    assert_eq!(table.as_object().unwrap().keys().collect::<Vec<_>>(), TARGETS.map(|(name, _)| name));
    thread::scope(|scope| {
        for (name, run) in TARGETS {
            let (seeds, words) = (seeds(name, &table[name]), words(&table[name]));
            let targeted = move || {
                let check = |input: &[u8]| {
                    let _shown = Shown { name, input };
                    run(input);
                };
                seeds.iter().for_each(|seed| check(seed));
                let mut dice = Dice::of(name.as_bytes());
                (0..rounds).for_each(|_| check(&mutated(&seeds, &words, &mut dice)));
            };
            thread::Builder::new().name(name.to_owned()).spawn_scoped(scope, targeted).unwrap();
        }
    });
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The files of a folder, in a fixed order.
fn files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The corpus of a target, and the vectors, where they are bodies for it.
fn seeds(name: &str, entry: &Value) -> Vec<Vec<u8>> {
    let corpus = files(&format!("fuzz/corpus/{name}"));
    assert!(corpus.len() >= 3, "{name} has seeds");
    let vectors = if entry["vectors"] == true { files("tests/vectors") } else { Vec::new() };
    corpus.into_iter().chain(vectors).map(|path| fs::read(path).unwrap()).collect()
}

/// The words of a target's dictionaries, in the fuzzer's own notation: `"\x0A"`, `"\\"`, `"\""`, a line each.
fn words(entry: &Value) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    for name in entry["dictionaries"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        let text = fs::read_to_string(folder(&format!("fuzz/dictionaries/{name}.dict"))).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        words.extend(lines.map(|line| word(line.strip_prefix('"').unwrap().strip_suffix('"').unwrap())));
    }
    words
}

fn word(mut text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some((before, behind)) = text.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        text = if let Some(hexadecimal) = behind.strip_prefix('x') {
            bytes.push(u8::from_str_radix(&hexadecimal[..2], 16).unwrap());
            &hexadecimal[2..]
        } else {
            bytes.push(behind.as_bytes()[0]);
            &behind[1..]
        };
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// One of the seeds, with one to four changes.
fn mutated(seeds: &[Vec<u8>], words: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(4) {
        let from = dice.below(input.len() + 1);
        let to = (from + 1 + dice.below(40)).min(input.len());
        match dice.below(7) {
            0 => input.truncate(from),
            1 if from < to => input[from] ^= 1 << dice.below(8),
            2 if from < to => input[from] = dice.below(256) as u8,
            3 => drop(input.drain(from..to)),
            4 => {
                let again = input[from..to].to_vec();
                input.splice(to..to, again);
            }
            5 => {
                let other = &seeds[dice.below(seeds.len())];
                input.truncate(from);
                input.extend_from_slice(&other[dice.below(other.len() + 1)..]);
            }
            _ if !words.is_empty() => drop(input.splice(from..from, words[dice.below(words.len())].iter().copied())),
            _ => {}
        }
    }
    input
}

/// Tells which input it was that a target failed for.
struct Shown<'a> {
    name: &'a str,
    input: &'a [u8],
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.failed", self.name));
            eprintln!("{} failed for {}: {}", self.name, file.display(), self.input.escape_ascii());
            let _ = fs::write(file, self.input);
        }
    }
}
