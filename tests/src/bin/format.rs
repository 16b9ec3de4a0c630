//! Makes the token store of an agent what another version of it would have left there: a table of one line each, for
//! tests that up- and downgrade the real program.
//!
//! `format first STATE MACHINE-ID` rewrites `tokens.flash` in the folder STATE, sealed by the key file there and bound to
//! the id in the file MACHINE-ID, as the first version kept it: its records and their fields alone, bound to nothing.
//! `format version N FILE` has every segment of the store in FILE say that it is of format N, as one to come would.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for scripts")]

use std::error::Error;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use signpost_hal::flash::file::FileFlash;
use signpost_store::fields::Fields;
use signpost_store::{OuterKeys, TokenStore};
use signpost_tests::flash::chance::Chance;

const USAGE: &str = "usage: format first STATE MACHINE-ID | format version N FILE";

/// What the first version kept, by key of the token store.
const NAMES: [&str; 4] = ["device", "session", "metadata", "owners"];
const FIRST: &str = include_str!("../../../agent/tests/first_version/records.txt");

/// A store's size by default, and the size of its segments in a file.
const SIZE: u64 = 64 << 10;
const SEGMENT: usize = 4096;
/// A header without its checksum (`signpost_store`, "The format").
const HEADER: usize = 20;
const MAGIC: u8 = 0xA5;

type Done = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["first", state, machine] => as_first(Path::new(state), Path::new(machine)),
        ["version", number, file] => as_version(number, Path::new(file)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("format: {error}");
            ExitCode::FAILURE
        }
    }
}

fn as_first(state: &Path, machine: &Path) -> Done {
    let key: [u8; 32] = fs::read(state.join("signpost.key"))?.as_slice().try_into()?;
    let id = fs::read_to_string(machine)?;
    let bound = OuterKeys::new(key).bound_to(format!("machine:{}", id.trim()).as_bytes());
    let (path, draft) = (state.join("tokens.flash"), state.join("tokens.flash.first"));
    let (mut now, _) = open(&path, &bound)?;
    let (mut first, fresh) = open(&draft, &OuterKeys::new(key))?;
    if !fresh {
        return Err(format!("{} is there already", draft.display()).into());
    }
    let mut left_out = Vec::new();
    for key in now.keys().collect::<Vec<u8>>() {
        let Some(value) = now.get(key)? else { continue };
        let Some(known) = known_to_the_first(key)? else {
            left_out.push(format!("record {key}"));
            continue;
        };
        let mut fields = Fields::parse(&value)?;
        for tag in fields.tags().filter(|tag| !known.contains(tag)).collect::<Vec<u16>>() {
            fields.remove(tag);
            left_out.push(format!("field {tag} of record {key}"));
        }
        first.put(key, &fields.to_bytes())?;
    }
    drop((now, first));
    // Whose the store was, it stays.
    let meta = fs::metadata(&path)?;
    chown(&draft, Some(meta.uid()), Some(meta.gid()))?;
    fs::rename(&draft, &path)?;
    println!("as the first version kept it, without {}", left_out.join(", "));
    Ok(())
}

fn open(path: &Path, keys: &OuterKeys) -> Result<(TokenStore<FileFlash>, bool), Box<dyn Error>> {
    let entropy = Chance::seeded(u64::from(std::process::id())).entropy();
    let (store, opened) = TokenStore::open(FileFlash::open(path, SIZE)?, keys, entropy)?;
    Ok((store, opened.fresh))
}

/// The tags of the first version's record under `key`; `None` if it had no such record.
fn known_to_the_first(key: u8) -> Result<Option<Vec<u16>>, Box<dyn Error>> {
    let Some(name) = usize::from(key).checked_sub(1).and_then(|at| NAMES.get(at)) else {
        return Ok(None);
    };
    let hex = FIRST.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let hex = hex.ok_or_else(|| format!("no record {name} of the first version"))?;
    let bytes: Result<Vec<u8>, _> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16)).collect();
    Ok(Some(Fields::parse(&bytes?)?.tags().collect()))
}

fn as_version(number: &str, file: &Path) -> Done {
    let version: u8 = number.parse()?;
    let mut image = fs::read(file)?;
    let mut changed = 0;
    for segment in image.chunks_exact_mut(SEGMENT).filter(|segment| segment[0] == MAGIC) {
        segment[1] = version << 4 | segment[1] & 0x0F;
        let sum = crc32fast::hash(&segment[..HEADER]);
        segment[HEADER..HEADER + 4].copy_from_slice(&sum.to_le_bytes());
        changed += 1;
    }
    if changed == 0 {
        return Err(format!("{} holds no store", file.display()).into());
    }
    fs::File::options().write(true).open(file)?.write_all(&image)?;
    println!("{changed} segments say that they are of format {version}");
    Ok(())
}
