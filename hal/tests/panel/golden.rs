//! Comparison with `golden/*.txt`. `UPDATE_GOLDEN=1` writes the pictures anew; look at each change
//! before it is committed.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use signpost_hal::screen::Screen;

/// One picture of every screen, each under its name.
pub(crate) fn compare(
    file: &str,
    screens: Vec<(&str, Screen)>,
    picture: impl Fn(&Screen) -> String,
) {
    let mut all = String::new();
    for (name, screen) in screens {
        let _ = writeln!(all, "== {name}\n{}", picture(&screen));
    }
    compare_text(file, &all);
}

pub(crate) fn compare_text(file: &str, picture: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/panel/golden").join(file);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        File::create(&path).unwrap().write_all(picture.as_bytes()).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    if golden == picture {
        return;
    }
    let (mut old, mut new) = (golden.lines(), picture.lines());
    let mut report = String::new();
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => break,
            (old, new) if old == new => {}
            (old, new) => {
                let _ = writeln!(
                    report,
                    "{number:4} golden |{}\n     now    |{}",
                    old.unwrap_or("<end>"),
                    new.unwrap_or("<end>")
                );
            }
        }
    }
    panic!("{} differs (UPDATE_GOLDEN=1 accepts):\n{report}", path.display());
}
