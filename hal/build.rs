//! Lists the languages: each file of `src/screen/languages` is one, named by its tag.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{File, read_dir};
use std::io::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("src/screen/languages");
    let mut tags = Vec::new();
    for file in read_dir(&folder)? {
        let path = file?.path();
        if path.extension().is_some_and(|end| end == "txt") {
            tags.extend(path.file_stem().map(|tag| tag.to_string_lossy().into_owned()));
        }
    }
    tags.sort_unstable();
    let mut list = String::from("&[");
    for tag in tags {
        let path = folder.join(format!("{tag}.txt"));
        write!(list, "Language {{ tag: {tag:?}, texts: include_str!({path:?}) }}, ")?;
    }
    list.push(']');
    let out = Path::new(&std::env::var("OUT_DIR")?).join("languages.rs");
    File::create(out)?.write_all(list.as_bytes())?;
    writeln!(std::io::stdout(), "cargo::rerun-if-changed={}", folder.display())?;
    Ok(())
}
