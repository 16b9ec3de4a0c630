//! Texts by key and language, from one text file a language.

use std::fmt;

use super::Day;

/// A language that screens speak.
#[derive(Clone, Copy)]
pub struct Language {
    /// As in BCP 47, e.g. `de`.
    tag: &'static str,
    texts: &'static str,
}

/// Each file of the folder `languages`.
const ALL: &[Language] = include!(concat!(env!("OUT_DIR"), "/languages.rs"));

impl Language {
    /// The language that stands in for all others.
    pub const ENGLISH: Self = Self { tag: "en", texts: include_str!("languages/en.txt") };

    /// Every language that there is, by tag.
    pub fn all() -> &'static [Self] {
        ALL
    }

    /// The language of a tag such as `de` or `de-AT` (BCP 47); English where there is none.
    pub fn of(tag: &str) -> Self {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        let found = ALL.iter().find(|language| language.tag.eq_ignore_ascii_case(primary));
        found.copied().unwrap_or_default()
    }

    /// Its tag, e.g. `de`.
    pub fn tag(self) -> &'static str {
        self.tag
    }

    /// The text of `key`, or the English one.
    pub(super) fn text(self, key: &str) -> &'static str {
        self.own(key).or_else(|| Self::ENGLISH.own(key)).unwrap_or_default()
    }

    /// The text of `key` if this language itself has one.
    pub(super) fn own(self, key: &str) -> Option<&'static str> {
        self.entries().find(|(at, _)| *at == key).map(|(_, text)| text)
    }

    /// The text of `key` with each `{name}` filled in, and nothing that was filled in read again.
    pub(super) fn fill(self, key: &str, values: &[(&str, &str)]) -> String {
        let mut parts = self.text(key).split('{');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap_or((part, ""));
            let value = values.iter().find(|(at, _)| *at == name);
            filled.push_str(value.map_or("", |(_, value)| value));
            filled.push_str(rest);
        }
        filled
    }

    /// A whole number, in groups of three from five digits on.
    pub(super) fn number(self, number: u64) -> String {
        let digits = number.to_string();
        let between = match self.text("number.group") {
            "space" => " ",
            mark => mark,
        };
        if digits.len() < 5 {
            return digits;
        }
        let mut grouped = String::new();
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                grouped.push_str(between);
            }
            grouped.push(digit);
        }
        grouped
    }

    /// A day of the year in a few characters.
    pub(super) fn date(self, day: Day) -> String {
        let months = self.text("months").split(' ');
        let month = months.into_iter().nth(usize::from(day.month).saturating_sub(1));
        let values = [("day", &*day.day.to_string()), ("month", month.unwrap_or_default())];
        self.fill("date", &values)
    }

    /// `text` in ASCII: by this language's own rules, then the usual ones, then `?`.
    pub(super) fn ascii(self, text: &str) -> String {
        let mut plain = String::new();
        for c in text.chars() {
            match c {
                c if c.is_ascii() => plain.push(c),
                c => plain.push_str(self.fallback(c).unwrap_or("?")),
            }
        }
        plain
    }

    /// What stands for `c` where there are fewer characters, if anything does.
    pub(super) fn fallback(self, c: char) -> Option<&'static str> {
        let rules = self.text("ascii").split(' ').filter_map(|rule| rule.split_once(':'));
        let mut own = rules.filter(|(from, _)| from.chars().eq([c])).map(|(_, to)| to);
        own.next().or_else(|| plain_letter(c))
    }

    fn entries(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let lines = self.texts.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| line.split_once('=')).map(|(key, text)| (key.trim(), text.trim()))
    }
}

/// Letters without their marks, and punctuation that ASCII has in another shape.
fn plain_letter(c: char) -> Option<&'static str> {
    Some(match c {
        'À'..='Å' | 'Ā' | 'Ă' | 'Ą' => "A",
        'Æ' => "AE",
        'Ç' | 'Ć' | 'Ĉ' | 'Ċ' | 'Č' => "C",
        'Ď' | 'Đ' | 'Ð' => "D",
        'È'..='Ë' | 'Ē' | 'Ĕ' | 'Ė' | 'Ę' | 'Ě' => "E",
        'Ĝ' | 'Ğ' | 'Ġ' | 'Ģ' => "G",
        'Ì'..='Ï' | 'Ī' | 'Į' | 'İ' => "I",
        'Ĺ' | 'Ļ' | 'Ľ' | 'Ł' => "L",
        'Ñ' | 'Ń' | 'Ņ' | 'Ň' => "N",
        'Ò'..='Ö' | 'Ø' | 'Ō' | 'Ő' => "O",
        'Œ' => "OE",
        'Ŕ' | 'Ř' => "R",
        'Ś' | 'Ş' | 'Š' | 'Ș' => "S",
        'Ţ' | 'Ť' | 'Ț' => "T",
        'Ù'..='Ü' | 'Ū' | 'Ů' | 'Ű' | 'Ų' => "U",
        'Ý' | 'Ÿ' => "Y",
        'Ź' | 'Ż' | 'Ž' => "Z",
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ª' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ì'..='ï' | 'ī' | 'į' | 'ı' => "i",
        'ĺ' | 'ļ' | 'ľ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ő' | 'º' => "o",
        'œ' => "oe",
        'ŕ' | 'ř' => "r",
        'ś' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ț' => "t",
        'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ų' => "u",
        'ý' | 'ÿ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        '¿' | '¡' => "",
        '«' | '»' | '“' | '”' | '„' => "\"",
        '‘' | '’' | '´' => "'",
        '–' | '—' => "-",
        '…' => "..",
        '€' => "EUR",
        '\u{a0}' | '\u{202f}' => " ",
        _ => return None,
    })
}

impl Default for Language {
    fn default() -> Self {
        Self::ENGLISH
    }
}

impl PartialEq for Language {
    fn eq(&self, other: &Self) -> bool {
        self.tag == other.tag
    }
}

impl Eq for Language {}

impl fmt::Debug for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Language").field(&self.tag).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::words::SHORT;
    use super::*;

    /// Columns of the larger character displays.
    const ROOMY: usize = 20;

    fn texts(language: Language) -> BTreeMap<&'static str, &'static str> {
        language.entries().collect()
    }

    /// Faults bring their English with them, and a reason its own sentence.
    fn is_beside_english(key: &str) -> bool {
        key == "again.reason" || key.starts_with('E') && key[1..3].parse::<u8>().is_ok()
    }

    fn names(text: &str) -> BTreeSet<&str> {
        text.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|it| it.0).collect()
    }

    #[test]
    fn every_language_has_every_text_with_the_same_gaps() {
        let english = texts(Language::ENGLISH);
        let german = texts(Language::of("de"));
        for language in Language::all() {
            let own = texts(*language);
            assert_eq!(own.len(), language.entries().count(), "{}: a key twice", language.tag);
            for (key, text) in &english {
                let gaps = own.get(key).map(|text| names(text));
                assert_eq!(gaps, Some(names(text)), "{}: {key}", language.tag);
            }
            for key in own.keys() {
                let known = english.contains_key(key) || is_beside_english(key);
                assert!(known, "{}: {key} means nothing", language.tag);
            }
            if *language != Language::ENGLISH {
                let beside = |texts: &BTreeMap<&'static str, _>| -> Vec<_> {
                    texts.keys().copied().filter(|key| is_beside_english(key)).collect()
                };
                assert_eq!(beside(&own), beside(&german), "{}", language.tag);
            }
        }
    }

    #[test]
    fn titles_and_short_lines_fit_the_smallest_display_in_ascii_too() {
        let mut breaches = Vec::new();
        for language in Language::all() {
            for (key, text) in language.entries() {
                let columns = match key {
                    "sign-in.title" | "serial.title" => ROOMY,
                    _ if key.ends_with(".title") || key.ends_with(".short") => SHORT,
                    _ => continue,
                };
                let room = |text: &str| text.chars().count() <= columns;
                let ascii = language.ascii(text);
                let filled = names(text)
                    .iter()
                    .fold(ascii.clone(), |text, name| text.replace(&format!("{{{name}}}"), ""));
                if !room(&filled) || ascii.contains('?') && !text.contains('?') {
                    breaches.push(format!("{} {key}: {filled}", language.tag));
                }
            }
        }
        assert_eq!(breaches, [""; 0]);
    }

    #[test]
    fn every_letter_of_every_language_has_a_plain_one() {
        for language in Language::all() {
            let missing: BTreeSet<char> = language
                .entries()
                .flat_map(|(_, text)| text.chars())
                .filter(|c| !c.is_ascii() && language.fallback(*c).is_none())
                .collect();
            assert!(missing.is_empty(), "{}: {missing:?}", language.tag);
        }
    }

    #[test]
    fn a_tag_finds_its_language_or_english() {
        let found = ["de", "de-AT", "DE", "fr_CA", "es-419", "pl", "", "en-GB"];
        let found = found.map(|tag| Language::of(tag).tag());
        assert_eq!(found, ["de", "de", "de", "fr", "es", "en", "en", "en"]);
    }

    #[test]
    fn numbers_and_days_are_written_as_usual_there() {
        let [de, en, es, fr] = ["de", "en", "es", "fr"].map(Language::of);
        assert_eq!([en.number(0), en.number(1284), en.number(12840)], ["0", "1284", "12,840"]);
        assert_eq!([de.number(1_234_567), fr.number(12840)], ["1.234.567", "12 840"]);
        let day = Day { month: 3, day: 14 };
        let days = [en, de, es, fr].map(|language| language.date(day));
        assert_eq!(days, ["14 Mar", "14. März", "14 mar", "14 mars"]);
        assert_eq!(en.date(Day { month: 13, day: 1 }), "1 ", "nonsense is no failure");
    }

    #[test]
    fn what_was_filled_in_is_not_read_again() {
        let shown = Language::ENGLISH.fill("wrong.short", &[("hint", "{hint}{code}")]);
        assert_eq!(shown, "Use {hint}{code}");
    }

    #[test]
    fn ascii_follows_the_language() {
        assert_eq!(Language::of("de").ascii("Gerät Łódź ß…"), "Geraet Lodz ss..");
        assert_eq!(Language::of("fr").ascii("Démarrage à 漢"), "Demarrage a ?");
    }
}
