//! Finds the sources, reads each strictly by itself, and lays them over one another.
//!
//! The `config` crate merges; alone it would accept `client_id = 5`, turn `0123` into 123 and forget
//! in which file a wrong key stands, so every source is parsed and checked here before it is merged,
//! and what nobody knows never gets that far.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::files::read_bounded;
use super::problem::{Place, Problem};
use super::reading::{Reading, below, segment, shortened};
use super::resolve::Keys;

/// Largest file that is read.
const MOST_BYTES: u64 = 256 << 10;
/// Most drop-ins in one folder.
const MOST_DROP_INS: usize = 64;
/// What an environment variable of ours starts with.
const PREFIX: &str = "SIGNPOST__";

/// Where configuration comes from. Nothing else is looked at: no variable and no file of the
/// machine that is not named here.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
    environment: Vec<(OsString, OsString)>,
    first_named: PathBuf,
    partial: bool,
}

#[derive(Clone, Debug)]
enum Source {
    /// Must be there.
    Required(PathBuf),
    /// May be missing.
    Optional(PathBuf),
    /// Its `*.toml`, in the order of their names; may be missing.
    DropIns(PathBuf),
}

impl Sources {
    /// The layers of an installed system below `root` (`/`, or an image that is being built):
    /// the maker's drop-ins, the operator's file, the operator's drop-ins.
    pub fn installed(root: &Path) -> Self {
        let main = root.join("etc/signpost/signpost.toml");
        Self {
            files: vec![
                Source::DropIns(root.join("usr/lib/signpost/signpost.d")),
                Source::Optional(main.clone()),
                Source::DropIns(root.join("etc/signpost/signpost.d")),
            ],
            first_named: main,
            ..Self::default()
        }
    }

    /// What `--config FILE` means: the file and, beside it, the drop-ins of the folder named after
    /// it (`board.toml` → `board.d/*.toml`); nothing of the installed layers.
    pub fn file(file: &Path) -> Self {
        let mut files = vec![Source::Required(file.to_owned())];
        let folder = file.with_extension("d");
        if folder != file {
            files.push(Source::DropIns(folder));
        }
        Self { files, first_named: file.to_owned(), ..Self::default() }
    }

    /// These files as layers, in this order, and nothing else. Where none of them says anything of
    /// the issuer they are taken for drop-ins, and what they leave out is not missed.
    pub fn files(files: &[PathBuf]) -> Self {
        Self {
            files: files.iter().cloned().map(Source::Required).collect(),
            first_named: files.first().cloned().unwrap_or_default(),
            partial: true,
            ..Self::default()
        }
    }

    /// Adds environment variables on top; those that are not `SIGNPOST__…` are passed over.
    #[must_use]
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let ours = |(name, _): &(OsString, OsString)| {
            name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
        };
        self.environment.extend(variables.into_iter().filter(ours));
        self.environment.sort();
        self
    }
}

/// All layers laid over one another.
pub(super) struct Merged {
    /// The values, known keys only.
    pub(super) tree: Value,
    /// Where each of them was set.
    pub(super) origins: BTreeMap<String, String>,
    /// What was wrong in the sources.
    pub(super) problems: Vec<Problem>,
    /// Which file to name where a key is set nowhere.
    pub(super) fallback: String,
    /// Whether a key that is missing here may stand in a file that is not at hand.
    pub(super) partial: bool,
}

impl Merged {
    /// Reads every source; what can be read is merged, whatever else is wrong.
    pub(super) fn of(sources: &Sources) -> Self {
        let mut problems = Vec::new();
        let mut layers = Vec::new();
        for file in list(&sources.files, &mut problems) {
            layers.extend(read_layer(&file, &mut problems));
        }
        // Who knows what a source that could not be read would have said.
        let unread = !problems.is_empty();
        layers.extend(environment_layer(&sources.environment, &mut problems));
        for layer in &mut layers {
            problems.extend(Reading::of::<Keys>(layer).1);
        }
        let tree = merge(layers);
        let mut origins = BTreeMap::new();
        collect_origins(&tree, "", &mut origins);
        let drop_ins = sources.partial && !origins.keys().any(|key| key.starts_with("issuer."));
        let fallback = source_name(&sources.first_named);
        Self { tree, origins, problems, fallback, partial: drop_ins || unread }
    }
}

/// A layer as the `config` crate takes it.
#[derive(Clone, Debug)]
struct Layer(Map<String, Value>);

impl config::Source for Layer {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

fn merge(layers: Vec<Value>) -> Value {
    let mut builder = config::Config::builder();
    for layer in layers {
        if let ValueKind::Table(table) = layer.kind {
            builder = builder.add_source(Layer(table));
        }
    }
    // No source of ours fails, so neither does building.
    builder
        .build()
        .map(|merged| merged.cache)
        .unwrap_or_else(|_| Map::<String, Value>::new().into())
}

fn collect_origins(node: &Value, path: &str, origins: &mut BTreeMap<String, String>) {
    if let ValueKind::Table(table) = &node.kind {
        for (key, value) in table {
            collect_origins(value, &below(path, &segment(key)), origins);
        }
    } else if let Some(origin) = node.origin() {
        origins.insert(path.to_owned(), origin.to_owned());
    }
}

/// The files to read, in their order.
fn list(sources: &[Source], problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for source in sources {
        match source {
            Source::Required(file) => files.push(file.clone()),
            Source::Optional(file) if is_missing(file) => {}
            Source::Optional(file) => files.push(file.clone()),
            Source::DropIns(folder) if is_missing(folder) => {}
            Source::DropIns(folder) => match drop_ins(folder) {
                Ok(found) if found.len() <= MOST_DROP_INS => files.extend(found),
                Ok(_) => problems.push(Problem::stops(
                    Place::whole(&source_name(folder)),
                    "",
                    format!("found more than {MOST_DROP_INS} drop-ins; join some of them"),
                )),
                Err(error) => problems.push(unreadable(folder, &error)),
            },
        }
    }
    files
}

fn is_missing(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

fn drop_ins(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            found.push(path);
        }
        if found.len() > MOST_DROP_INS {
            break;
        }
    }
    found.sort();
    Ok(found)
}

fn read_layer(path: &Path, problems: &mut Vec<Problem>) -> Option<Value> {
    let name = source_name(path);
    let bytes = match read_bounded(path, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            problems.push(unreadable(path, &error));
            return None;
        }
    };
    let mut problem =
        |place, key: &str, text: String| problems.push(Problem::stops(place, key, text));
    let text = match std::str::from_utf8(&bytes) {
        // Some editors begin a file with a byte order mark.
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            let line = line_at(&bytes, error.valid_up_to());
            let text = "found bytes that are not UTF-8; save the file as UTF-8".to_owned();
            problem(Place::file(&name, line), "", text);
            return None;
        }
    };
    match DeTable::parse(text) {
        Ok(table) => {
            let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            let ends = ends.map(|(offset, _)| offset).collect();
            let mut converting = Converting { name: &name, line_ends: ends, problems };
            Some(converting.table(table.get_ref(), &mut Vec::new(), 0))
        }
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let place = Place::file(&name, line_at(text.as_bytes(), at));
            let key = key_at(text, at);
            problem(place, &shortened(&key), format!("not TOML: {}", error.message()));
            None
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest has no remedy of its own")]
    let text = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file; create it or name another".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "not allowed to read it; let the agent's user read it, or run this as root".to_owned()
        }
        _ => format!("cannot be read: {error}"),
    };
    Problem::stops(Place::whole(&source_name(path)), "", text)
}

/// How a path is named in problems and origins; never like an environment variable.
fn source_name(path: &Path) -> String {
    let name = path.display().to_string();
    if name.starts_with('$') { format!("./{name}") } else { name }
}

fn line_at(bytes: &[u8], offset: usize) -> u32 {
    let before = bytes.get(..offset).unwrap_or(bytes);
    u32::try_from(before.iter().filter(|byte| **byte == b'\n').count()).unwrap_or(u32::MAX - 1) + 1
}

/// The key on the line of a syntax error, as far as it can be told.
fn key_at(text: &str, offset: usize) -> String {
    let bare = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let mut section = "";
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        end += line.len();
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.split(']').next().filter(|name| bare(name)).unwrap_or_default();
        }
        if end > offset {
            let key = line.split_once('=').map_or("", |(key, _)| key.trim());
            return match (bare(key), section) {
                (true, "") => key.to_owned(),
                (true, section) if !key.is_empty() => format!("{section}.{key}"),
                _ => section.to_owned(),
            };
        }
    }
    section.to_owned()
}

/// From TOML's tree to the merge's, each value with its place.
struct Converting<'a> {
    name: &'a str,
    line_ends: Vec<usize>,
    problems: &'a mut Vec<Problem>,
}

impl Converting<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &mut Vec<String>, at: usize) -> Value {
        let mut out = Map::new();
        for (key, value) in table {
            path.push(segment(key.get_ref()).into_owned());
            // A table of a section header has no place of its own: its key has.
            let at = key.span().start;
            if let Some(value) = self.value(value.get_ref(), path, at) {
                out.insert(key.get_ref().to_string(), value);
            }
            path.pop();
        }
        Value::new(Some(&self.place(at).to_string()), ValueKind::Table(out))
    }

    fn value(&mut self, value: &DeValue<'_>, path: &mut Vec<String>, at: usize) -> Option<Value> {
        let kind = match value {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Boolean(value) => ValueKind::Boolean(*value),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => ValueKind::I64(number),
                    Err(_) => return self.refuse(path, at, "a number of more than 64 bits"),
                }
            }
            DeValue::Float(_) => return self.refuse(path, at, "a number with a fraction"),
            DeValue::Datetime(_) => return self.refuse(path, at, "a date without quotes"),
            DeValue::Array(items) => {
                let mut out = Vec::new();
                for item in items.iter() {
                    out.push(self.value(item.get_ref(), path, item.span().start)?);
                }
                ValueKind::Array(out)
            }
            DeValue::Table(table) => return Some(self.table(table, path, at)),
        };
        Some(Value::new(Some(&self.place(at).to_string()), kind))
    }

    fn refuse<T>(&mut self, path: &[String], at: usize, found: &str) -> Option<T> {
        let text = format!("found {found}; no key takes one");
        self.problems.push(Problem::stops(self.place(at), &path.join("."), text));
        None
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.line_ends.partition_point(|end| *end < offset) + 1;
        Place::file(self.name, u32::try_from(line).unwrap_or(u32::MAX))
    }
}

/// The environment as a layer: `SIGNPOST__SECTION__KEY`, texts, numbers, true and false, and lists
/// separated by commas.
fn environment_layer(
    variables: &[(OsString, OsString)],
    problems: &mut Vec<Problem>,
) -> Option<Value> {
    let mut flat = Map::new();
    let mut last: Option<String> = None;
    for (name, value) in variables {
        let place = Place::whole(&format!("${}", name.to_string_lossy()));
        let mut refuse = |text: &str| problems.push(Problem::stops(place.clone(), "", text));
        let parts = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).map(|rest| {
            rest.to_ascii_lowercase().split("__").map(str::to_owned).collect::<Vec<_>>()
        });
        let word = |part: &String| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let path = match parts {
            Some(parts) if parts.len() >= 2 && parts.iter().all(word) => parts.join("."),
            _ => {
                refuse("not a key's name; write SIGNPOST__SECTION__KEY in capitals");
                continue;
            }
        };
        let Some(text) = value.to_str().filter(|text| text.len() as u64 <= MOST_BYTES) else {
            refuse("found bytes that are not UTF-8, or more than 256 KiB");
            continue;
        };
        if last.as_ref().is_some_and(|last| path.starts_with(&format!("{last}."))) {
            refuse("set together with the table that holds it; unset one of the two");
            continue;
        }
        flat.insert(path.clone(), Value::new(Some(&place.to_string()), text));
        last = Some(path);
    }
    (!flat.is_empty()).then(|| merge(vec![Value::new(None, ValueKind::Table(flat))]))
}
