//! The sample is the reference: it must name every key, and say truly what each is when left out.

use std::collections::BTreeSet;

use super::resolve::Keys;
use super::*;

/// The sample with `#key = value` lines switched on, those marked as examples included or not.
fn uncommented(examples: bool) -> String {
    let mut commented_section = false;
    let mut out = String::new();
    for line in SAMPLE.lines() {
        let key = line.strip_prefix('#').filter(|key| !key.is_empty() && !key.starts_with(' '));
        if line.starts_with('[') || key.is_some_and(|key| key.starts_with('[')) {
            commented_section = key.is_some();
        }
        let on = key.filter(|key| examples || !(commented_section || key.ends_with("# example")));
        out.push_str(on.unwrap_or(line));
        out.push('\n');
    }
    out
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
fn the_sample_shows_every_default_as_it_is() {
    let plain = load_text(SAMPLE).unwrap();
    let spelled_out = load_text(&uncommented(false)).unwrap();
    assert_eq!(spelled_out.config, plain.config);
    assert_eq!(spelled_out.effective, plain.effective);
    assert!(spelled_out.origins.len() > plain.origins.len() + 25, "the defaults were not read");
}

#[test]
fn defaults_in_commented_sections_are_true_too() {
    let unset = [
        "panel.other.enabled",
        "panel.other.baud",
        "lamp.status.enabled",
        "lamp.status.active_low",
        "button.main.enabled",
        "button.main.active_low",
        "buzzer.enabled",
        "buzzer.active_low",
        "broker.allow.telemetry.enabled",
    ];
    let every = uncommented(true).replace("auth = \"secret-basic\"", "").replace("dpop = true", "");
    let all = load_text(&every).unwrap();
    let stripped: String = {
        let mut section = String::new();
        let keep = |line: &&str| {
            if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section = header.to_owned();
            }
            let key = line.split(" = ").next().unwrap_or_default();
            !unset.contains(&format!("{section}.{key}").as_str())
        };
        every.lines().filter(keep).map(|line| format!("{line}\n")).collect()
    };
    assert_eq!(every.lines().count() - stripped.lines().count(), unset.len());
    assert_eq!(load_text(&stripped).unwrap().config, all.config);
}

#[test]
fn the_sample_names_every_key_and_no_other() {
    let loaded = load_text(&uncommented(true)).unwrap();
    let unknown: Vec<_> =
        loaded.warnings.iter().filter(|warning| warning.text.contains("unknown")).collect();
    assert!(unknown.is_empty(), "{unknown:?}");

    let mut schema = Vec::new();
    Keys::keys("", &mut schema);
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
    Keys::keys("", &mut schema);
    for key in schema.iter().filter(|key| !key.contains('*')) {
        let name = format!("SIGNPOST__{}", key.to_uppercase().replace('.', "__"));
        let sources = Sources::default().environment([(name.into(), "".into())]);
        let error = load(&sources).unwrap_err().to_string();
        assert!(!error.contains("unknown key"), "{error}");
    }
}
