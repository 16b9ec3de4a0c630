//! The pages for people who set an issuer up: what they tell to write can be loaded, the faults that they name exist,
//! and their links lead somewhere.
#![expect(clippy::unwrap_used, reason = "what is not as expected here is a failed test")]

use std::fs;
use std::path::{Path, PathBuf};

use signpost::config::{self, Sources};
use signpost_core::fault::Fault;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Path and text of every page.
fn pages() -> Vec<(PathBuf, String)> {
    let folder = docs().join("issuers");
    let mut paths: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.push(docs().join("lost-device.md"));
    paths.sort();
    let pages = paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap()));
    pages.collect()
}

/// The fenced blocks of `language`.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    text.split(fence.as_str()).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A file as an operator has it, loaded as the agent does at its start, files of secrets apart.
fn load(block: &str) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signpost.toml");
    #[expect(clippy::disallowed_methods, reason = "a test's own folder")]
    fs::write(&file, block).unwrap();
    let loaded = config::load(&Sources::file(&file)).map_err(|error| error.to_string())?;
    Ok(loaded.warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn every_setting_that_a_page_shows_is_accepted() {
    let mut count = 0;
    for (path, text) in pages() {
        let blocks = blocks(&text, "toml");
        let is_vendor =
            path.parent() == Some(&docs().join("issuers")) && !path.ends_with("README.md");
        assert_eq!(!blocks.is_empty(), is_vendor, "{}", path.display());
        for block in blocks {
            assert_eq!(load(block), Ok(Vec::new()), "{}:\n{block}", path.display());
            count += 1;
        }
    }
    assert!(count >= 14, "{count} blocks were found");
    assert!(load("[issuer]\nurl = \"https://a.example\"\nclient_idd = \"x\"\n").is_err());
}

#[test]
fn there_is_a_page_for_every_profile() {
    let index = fs::read_to_string(docs().join("issuers/README.md")).unwrap();
    for profile in signpost_core::profile::ALL.map(|profile| profile.name) {
        assert!(index.contains(&format!("| `{profile}` |")), "{profile}");
    }
}

#[test]
fn every_fault_that_a_page_names_exists() {
    let known = Fault::ALL.map(|fault| fault.row().code);
    let mut named = 0;
    for (path, text) in pages() {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let is_code = |word: &&str| {
            word.len() == 3
                && word.starts_with('E')
                && word[1..].bytes().all(|b| b.is_ascii_digit())
        };
        for code in words.filter(is_code) {
            assert!(known.contains(&code), "{}: {code}", path.display());
            named += 1;
        }
    }
    assert!(named > 30, "{named}");
}

/// Ours alone: nobody else's pages are asked.
#[test]
fn links_between_pages_lead_somewhere() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("README.md");
    let readme = (readme.clone(), fs::read_to_string(readme).unwrap());
    let mut count = 0;
    for (path, text) in pages().into_iter().chain([readme]) {
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if link.contains("://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                file => path.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !heading.is_empty() {
                let headings = fs::read_to_string(&target).unwrap();
                let headings = headings.lines().filter_map(|line| line.strip_prefix('#'));
                assert!(headings.map(anchor).any(|it| it == heading), "{}: {link}", path.display());
            }
            count += 1;
        }
    }
    assert!(count > 25, "{count}");
}

/// A heading as links name it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-')
        .collect::<String>()
        .replace(' ', "-")
}
