//! Reads a tree of values into sections and settings, strictly, reporting every problem it meets
//! instead of stopping at the first.
//!
//! A section names each key once, with its type and default; from that come the struct, its
//! `Default`, the strict reading of a source and the list that `config show` prints.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use config::{Value, ValueKind};

use super::problem::{Place, Problem, Weight, nearest};

/// Sections where a misspelt key could hand the device to somebody else or lose its tokens.
const STRICT: [&str; 4] = ["issuer", "owner", "store", "broker"];

/// Longest piece of a wrong value that an error repeats.
const MOST_QUOTED: usize = 60;

/// Most items of a list, and entries of a table whose keys are the person's own.
const MOST_ITEMS: usize = 64;

/// Most problems of one source that are kept.
const MOST_PROBLEMS: usize = 200;

/// The map inside a table value, as the `config` crate has it.
pub(super) type Table = config::Map<String, Value>;

/// Something that can stand to the right of a key.
pub(super) trait Setting: Sized {
    /// Reads `node`, or reports to `at` why not. Removes keys that nobody knows from the tree.
    fn read(node: &mut Value, at: &mut Reading) -> Option<Self>;

    /// Appends its effective keys, secrets hidden.
    fn list(&self, key: &str, out: &mut Vec<(String, String)>);

    /// Appends every key there is, `*` standing for a name that the person chooses.
    #[cfg(test)]
    fn keys(path: &str, out: &mut Vec<String>) {
        out.push(path.to_owned());
    }
}

/// A setting that is written as one piece of text.
pub(super) trait Scalar: Sized {
    /// Whether listings must not show it.
    const SECRET: bool = false;

    /// Whether errors must not repeat it: somebody may have put a secret here by mistake.
    const GUARDED: bool = Self::SECRET;

    /// What a person may write, in a few words.
    fn allowed() -> Cow<'static, str>;

    /// Parses the text; the error is advice beyond `allowed`, or empty.
    fn parse(text: &str) -> Result<Self, &'static str>;

    /// The text that `parse` takes.
    fn text(&self) -> String;
}

/// One pass over one tree.
#[derive(Default)]
pub(super) struct Reading {
    path: Vec<String>,
    problems: Vec<Problem>,
}

impl Reading {
    /// Reads a whole tree; the problems come in the order of their lines.
    pub(super) fn of<T: Setting>(node: &mut Value) -> (Option<T>, Vec<Problem>) {
        let mut reading = Self::default();
        let read = T::read(node, &mut reading);
        reading.problems.sort_by(|a, b| (&a.place, &a.key).cmp(&(&b.place, &b.key)));
        (read, reading.problems)
    }

    /// The table in `node`, freed from unknown keys.
    pub(super) fn table<'a>(
        &mut self,
        node: &'a mut Value,
        known: &[&str],
    ) -> Option<&'a mut Table> {
        if !matches!(node.kind, ValueKind::Table(_)) {
            self.refuse::<()>(node, &found(node, false), "a table", "");
            return None;
        }
        let ValueKind::Table(table) = &mut node.kind else { return None };
        let unknown: Vec<String> =
            table.keys().filter(|key| !known.contains(&key.as_str())).cloned().collect();
        for key in unknown {
            if let Some(value) = table.remove(&key) {
                self.unknown(&key, &value, known);
            }
        }
        Some(table)
    }

    /// Reads one key of a table, if it is there.
    pub(super) fn key<T: Setting>(&mut self, table: &mut Table, key: &str) -> Option<T> {
        let node = self.enter(table, key)?;
        let read = T::read(node, self);
        self.path.pop();
        read
    }

    #[inline(never)]
    fn enter<'a>(&mut self, table: &'a mut Table, key: &str) -> Option<&'a mut Value> {
        let node = table.get_mut(key)?;
        self.path.push(segment(key).into_owned());
        Some(node)
    }

    /// The names in a table whose keys are the person's own, sorted.
    fn names(&mut self, node: &Value) -> Option<Vec<String>> {
        let ValueKind::Table(table) = &node.kind else {
            return self.refuse(node, &found(node, true), "a table", "");
        };
        if table.len() > MOST_ITEMS {
            let found = format!("{} entries", table.len());
            return self.refuse(node, &found, &format!("at most {MOST_ITEMS}"), "");
        }
        let mut names: Vec<String> = table.keys().cloned().collect();
        names.sort();
        Some(names)
    }

    /// Reports a name that is not allowed in a table and takes its entry out.
    fn refuse_name(&mut self, table: &mut Table, name: &str, allowed: &str, advice: &str) {
        if let Some(value) = table.remove(name) {
            let found = format!("the name {}", quoted(&shortened(name)));
            self.refuse::<()>(&value, &found, allowed, advice);
        }
    }

    /// A whole number in a range; written as text in the environment only.
    pub(super) fn number(&mut self, node: &Value, range: RangeInclusive<i64>) -> Option<i64> {
        let number = if let ValueKind::I64(number) = node.kind {
            Some(number)
        } else {
            environment_text(node).and_then(decimal)
        };
        number.filter(|number| range.contains(number)).or_else(|| {
            let allowed = format!("a whole number from {} to {}", range.start(), range.end());
            self.refuse(node, &found(node, false), &allowed, "")
        })
    }

    /// How many problems there are so far.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    /// Reports a value that is not allowed here.
    pub(super) fn refuse<T>(
        &mut self,
        node: &Value,
        found: &str,
        allowed: &str,
        advice: &str,
    ) -> Option<T> {
        if !self.is_full(node) {
            let remedy = if advice.is_empty() { String::new() } else { format!("; {advice}") };
            let text = format!("found {found}, allowed: {allowed}{remedy}");
            self.problems.push(Problem::stops(place(node), &self.path.join("."), text));
        }
        None
    }

    /// Whether so much is wrong that more would help nobody; that alone stops the start, for among
    /// what is not listed may be anything.
    fn is_full(&mut self, node: &Value) -> bool {
        if self.problems.len() == MOST_PROBLEMS {
            let text = "more is wrong than can be listed; is this the right file?";
            self.problems.push(Problem::stops(place(node), "", text));
        }
        self.problems.len() > MOST_PROBLEMS
    }

    fn unknown(&mut self, key: &str, value: &Value, known: &[&str]) {
        if self.is_full(value) {
            return;
        }
        let path = below(&self.path.join("."), &segment(key));
        let meant = nearest(key, known);
        let advice = match meant {
            Some(meant) => format!("did you mean \"{meant}\"?"),
            None => format!("known here: {}", words(known.iter().copied())),
        };
        // [onwer] is as bad as a slip within [owner].
        let section = self.path.first().map_or(meant.unwrap_or(key), String::as_str);
        let weight = if STRICT.contains(&section) { Weight::Stops } else { Weight::Ignored };
        let text = format!("unknown key; {advice}");
        self.problems
            .push(Problem { weight, ..Problem::stops(place(value), &shortened(&path), text) });
    }
}

impl<T: Scalar> Setting for T {
    fn read(node: &mut Value, at: &mut Reading) -> Option<Self> {
        match text(node).map_or(Err(""), Self::parse) {
            Ok(value) => Some(value),
            Err(advice) => at.refuse(node, &found(node, Self::GUARDED), &Self::allowed(), advice),
        }
    }

    fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
        let text = if Self::SECRET { "(hidden)".to_owned() } else { self.text() };
        out.push((key.to_owned(), quoted(&text)));
    }
}

impl Setting for bool {
    fn read(node: &mut Value, at: &mut Reading) -> Option<Self> {
        if let ValueKind::Boolean(value) = node.kind {
            return Some(value);
        }
        match environment_text(node) {
            Some("true") => Some(true),
            Some("false") => Some(false),
            _ => at.refuse(node, &found(node, false), "true | false", ""),
        }
    }

    fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
        out.push((key.to_owned(), self.to_string()));
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(node: &mut Value, at: &mut Reading) -> Option<Self> {
        T::read(node, at).map(Some)
    }

    fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
        if let Some(value) = self {
            value.list(key, out);
        }
    }

    #[cfg(test)]
    fn keys(path: &str, out: &mut Vec<String>) {
        T::keys(path, out);
    }
}

/// A list; in the environment separated by commas.
impl<T: Scalar> Setting for Vec<T> {
    fn read(node: &mut Value, at: &mut Reading) -> Option<Self> {
        if let Some(text) = environment_text(node) {
            let origin = node.origin().map(str::to_owned);
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items = items.map(|item| Value::new(origin.as_ref(), item)).collect::<Vec<_>>();
            node.kind = ValueKind::Array(items);
        }
        let mut said = found(node, T::GUARDED);
        if let ValueKind::Array(items) = &mut node.kind {
            if items.len() <= MOST_ITEMS {
                // Every item is read, so that each that is wrong is reported.
                let read: Vec<Option<T>> = items.iter_mut().map(|item| T::read(item, at)).collect();
                return read.into_iter().collect();
            }
            said = format!("a list of {}", items.len());
        }
        let allowed = format!("a list of at most {MOST_ITEMS}, each: {}", T::allowed());
        at.refuse(node, &said, &allowed, "")
    }

    fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
        let items: Vec<String> = self
            .iter()
            .map(|item| if T::SECRET { quoted("(hidden)") } else { quoted(&item.text()) })
            .collect();
        out.push((key.to_owned(), format!("[{}]", items.join(", "))));
    }
}

/// A table whose keys are the person's own: names of panels, rules, headers; in their order.
impl<K: Scalar, V: Setting> Setting for Vec<(K, V)> {
    #[inline(never)]
    fn read(node: &mut Value, at: &mut Reading) -> Option<Self> {
        let names = at.names(node)?;
        let ValueKind::Table(table) = &mut node.kind else { return None };
        let mut entries = Self::with_capacity(names.len());
        for name in names {
            match K::parse(&name) {
                Ok(key) => entries.extend(at.key(table, &name).map(|value| (key, value))),
                Err(advice) => at.refuse_name(table, &name, &K::allowed(), advice),
            }
        }
        Some(entries)
    }

    fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
        for (name, value) in self {
            value.list(&below(key, &segment(&name.text())), out);
        }
    }

    #[cfg(test)]
    fn keys(path: &str, out: &mut Vec<String>) {
        V::keys(&below(path, "*"), out);
    }
}

/// The value as a text, if it is one.
pub(super) fn text(node: &Value) -> Option<&str> {
    if let ValueKind::String(text) = &node.kind { Some(text) } else { None }
}

/// The text of an environment variable, where numbers and lists are texts too.
fn environment_text(node: &Value) -> Option<&str> {
    text(node).filter(|_| node.origin().is_some_and(|origin| origin.starts_with('$')))
}

/// Where the value was set; a table is where its first key is.
fn place(node: &Value) -> Place {
    fn first(node: &Value) -> Option<Place> {
        let own = node.origin().map(Place::from_origin);
        let ValueKind::Table(table) = &node.kind else { return own };
        own.or_else(|| table.values().filter_map(first).min())
    }
    first(node).unwrap_or_else(|| Place::whole("configuration"))
}

/// What stands there, in a person's words; of a secret only its kind.
pub(super) fn found(node: &Value, secret: bool) -> String {
    match &node.kind {
        ValueKind::String(text) if secret || text.contains('@') => {
            format!("a text of {} characters (hidden)", text.chars().count())
        }
        ValueKind::String(text) => quoted(&shortened(text)),
        ValueKind::Boolean(_) | ValueKind::I64(_) if secret => {
            "a value without quotes (hidden)".to_owned()
        }
        ValueKind::Boolean(value) => format!("{value} (not a text)"),
        ValueKind::I64(number) => format!("the number {number}"),
        ValueKind::Array(_) => "a list".to_owned(),
        ValueKind::Table(_) => "a table".to_owned(),
        ValueKind::Nil
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_) => "something else".to_owned(),
    }
}

/// The text as TOML writes it on one line.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key as it stands in a path: in quotes where a bare one would not do.
pub(super) fn segment(key: &str) -> Cow<'_, str> {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    if !key.is_empty() && key.bytes().all(bare) { key.into() } else { quoted(key).into() }
}

/// The path of a key below another.
pub(super) fn below(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// A few words as a person reads them.
pub(super) fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// As much of a text as an error repeats.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(MOST_QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Digits without a leading zero: `0123` is a slip, not 123.
pub(super) fn decimal<N: std::str::FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok()).flatten()
}

/// Declares a section: each key once, with its type and, where `Default` will not do, its default.
macro_rules! section {
    (
        $(#[$meta:meta])* $vis:vis struct $name:ident {
            $($(#[$about:meta])* $key:ident : $type:ty $(= $default:expr)?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name { $($(#[$about])* pub $key: $type,)* }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $crate::config::reading::section!(@default $($default)?),)* }
            }
        }

        impl $crate::config::reading::Setting for $name {
            fn read(
                node: &mut ::config::Value,
                at: &mut $crate::config::reading::Reading,
            ) -> Option<Self> {
                let table = at.table(node, &[$(stringify!($key)),*])?;
                let default = Self::default();
                Some(Self {
                    $($key: at.key(table, stringify!($key)).unwrap_or(default.$key),)*
                })
            }

            fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
                $(self.$key.list(&$crate::config::reading::below(key, stringify!($key)), out);)*
            }

            #[cfg(test)]
            fn keys(path: &str, out: &mut Vec<String>) {
                $(<$type as $crate::config::reading::Setting>::keys(&$crate::config::reading::below(path, stringify!($key)), out);)*
            }
        }
    };
    (@default) => { Default::default() };
    (@default $default:expr) => { $default };
}
pub(super) use section;

/// Declares a setting that is one of a few words.
macro_rules! choice {
    (
        $(#[$meta:meta])* pub enum $name:ident {
            $($(#[$about:meta])* $variant:ident = $word:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$about])* $variant,)* }

        impl $name {
            /// Every word, in the order of the documentation.
            pub const WORDS: &[&str] = &[$($word),*];

            /// The word in the configuration.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl $crate::config::reading::Scalar for $name {
            fn allowed() -> std::borrow::Cow<'static, str> {
                Self::WORDS.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" | ").into()
            }

            fn parse(text: &str) -> Result<Self, &'static str> {
                match text { $($word => Ok(Self::$variant),)* _ => Err("") }
            }

            fn text(&self) -> String {
                self.word().to_owned()
            }
        }
    };
}
pub(super) use choice;

/// Declares a whole number with a range.
macro_rules! whole {
    ($(#[$meta:meta])* pub struct $name:ident($inner:ty), $from:literal..=$to:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name($inner);

        impl $name {
            /// The number.
            pub fn get(self) -> $inner {
                self.0
            }
        }

        impl $crate::config::reading::Setting for $name {
            fn read(
                node: &mut ::config::Value,
                at: &mut $crate::config::reading::Reading,
            ) -> Option<Self> {
                at.number(node, $from..=$to).and_then(|n| <$inner>::try_from(n).ok()).map(Self)
            }

            fn list(&self, key: &str, out: &mut Vec<(String, String)>) {
                out.push((key.to_owned(), self.0.to_string()));
            }
        }
    };
}
pub(super) use whole;
