//! The sample is the reference: it must name every key, and say truly what each is when left out.

use std::collections::BTreeSet;

use super::resolve::Keys;
use super::*;

/// The sample with every `#key = value` and `#[section]` switched on.
fn uncommented() -> Vec<&'static str> {
    let on = |line: &'static str| match line.strip_prefix('#') {
        Some(key) if !key.is_empty() && !key.starts_with(' ') => key,
        _ => line,
    };
    SAMPLE.lines().map(on).collect()
}

fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("signpost.toml");
    std::io::Write::write_all(&mut std::fs::File::create(&file).unwrap(), text.as_bytes()).unwrap();
    load(&Sources::file(&file))
}

#[test]
fn the_sample_loads_without_a_warning() {
    let loaded = load_text(SAMPLE).unwrap();
    assert_eq!(loaded.warnings, []);
}

#[test]
fn a_key_that_is_no_example_shows_its_default() {
    let lines = uncommented();
    let all = load_text(&lines.join("\n")).unwrap().config;
    let mut defaults = 0;
    for (nth, line) in SAMPLE.lines().enumerate() {
        let commented = *line != *lines[nth] && line.contains(" = ");
        if commented && !line.ends_with("# example") {
            let mut without = lines.clone();
            without[nth] = "";
            let less = load_text(&without.join("\n")).unwrap().config;
            assert_eq!(less, all, "leaving {line:?} out changes something");
            defaults += 1;
        }
    }
    assert!(defaults >= 30, "{defaults} defaults found");
}

#[test]
fn the_sample_names_every_key_and_no_other() {
    let loaded = load_text(&uncommented().join("\n")).unwrap();
    let unknown: Vec<_> =
        loaded.warnings.iter().filter(|warning| warning.text.contains("unknown")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    let mut schema = Vec::new();
    <Keys as Setting>::keys("", &mut schema);
    let named: BTreeSet<String> = loaded.origins.keys().cloned().collect();
    let conditions = |key: &str| key.starts_with("owner.allow.");
    let missing: Vec<&String> = schema
        .iter()
        .filter(|key| !conditions(key))
        .filter(|key| !named.iter().any(|named| matches(key, named)))
        .collect();
    assert!(missing.is_empty(), "the sample does not name {missing:?}");
    for condition in schema.iter().filter(|key| conditions(key)) {
        let word = condition.trim_end_matches(".*").rsplit('.').next().unwrap();
        assert!(SAMPLE.contains(&format!("{word} = ")), "the sample does not name {condition}");
    }
}

/// Whether `key` is an instance of `pattern`, whose `*` stands for one name.
fn matches(pattern: &str, key: &str) -> bool {
    let (mut pattern, mut rest) = (pattern.split('.'), key);
    loop {
        match pattern.next() {
            None => return rest.is_empty(),
            Some("*") if rest.starts_with('"') => {
                rest = rest[1..].split_once('"').map_or("", |(_, after)| after);
                rest = rest.strip_prefix('.').unwrap_or(rest);
            }
            Some(part) => {
                let (head, tail) = rest.split_once('.').unwrap_or((rest, ""));
                if part != "*" && part != head {
                    return false;
                }
                rest = tail;
            }
        }
    }
}

#[test]
fn every_environment_variable_that_the_schema_allows_is_understood() {
    let mut schema = Vec::new();
    <Keys as Setting>::keys("", &mut schema);
    for key in schema.iter().filter(|key| !key.contains('*')) {
        let name = format!("SIGNPOST__{}", key.to_uppercase().replace('.', "__"));
        let sources = Sources::default().environment([(name.into(), "".into())]);
        let error = load(&sources).unwrap_err().to_string();
        assert!(!error.contains("unknown key"), "{error}");
    }
}
